import { setTimeout as sleep } from 'node:timers/promises';
import { AppError } from '../errors.ts';
import { answerWithin } from '../postgres/attentive-delay.ts';
import { isUnavailable } from '../postgres/unavailable.ts';

/** How long whoever waits for an answer is kept waiting for this one; a failover is often over by then. */
const findOutMs = 5_000;
const pauseMs = 100;

/** Of each statement that asks. */
export const timeoutOfAskingMs = 1_500;

/**
 * Finds out whether a transaction has been committed of whose commit the answer was lost: asks again and again until
 * Postgres answers, for five seconds at the most.
 *
 * @param ask whether what it has written is there; has to wait for the transaction itself where that has not ended yet
 * @returns null where nobody knows
 */
export function findOutCommit(ask: () => Promise<boolean>): Promise<boolean | null> {
  return answerWithin(findOutMs, askUntilAnswered(ask, performance.now() + findOutMs), null);
}

async function askUntilAnswered(ask: () => Promise<boolean>, untilMs: number): Promise<boolean | null> {
  while (performance.now() < untilMs) {
    try {
      return await ask();
    } catch (error) {
      // Where there was no slot for the question, that says as little as where there is no Postgres.
      const hasNoAnswer = isUnavailable(error) || (error instanceof AppError && error.code === 'unavailable');
      if (!hasNoAnswer) throw error;
    }
    await sleep(pauseMs);
  }
  return null;
}
