import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiAnswer } from './api-client.ts';

const maxAttempts = 20;

/**
 * Sends so many requests at the same time. Whoever is told to come back because no connection to Postgres was free
 * (a busy machine) comes back, as a client does.
 */
export function atOnce(count: number, ask: (index: number) => Promise<ApiAnswer>): Promise<ApiAnswer[]> {
  return Promise.all(Array.from({ length: count }, (_, index) => patiently(() => ask(index))));
}

/** Asks again where the answer is to come back later. */
export async function patiently(ask: () => Promise<ApiAnswer>): Promise<ApiAnswer> {
  for (let attempt = 1; ; attempt++) {
    const answer = await ask();
    if (answer.status !== 503 || attempt === maxAttempts) return answer;
    await sleep(Number(answer.headers.get('Retry-After') ?? 1) * 1000);
  }
}
