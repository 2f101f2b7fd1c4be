import { setTimeout as sleep } from 'node:timers/promises';
import { type Expected, type RoundResult, runRound } from './load.ts';
import type { Pace } from './options.ts';
import type { BenchServer } from './processes.ts';
import { median } from './statistics.ts';

/** Who is measured: a server, and what it is asked. */
export interface Contender {
  server: BenchServer;
  request: (index: number, count: number) => Buffer;
  expected: Expected;
}

export interface Measured extends RoundResult {
  /** Processor time that the serving process used for one request. */
  cpuUs: number;
}

/** The rounds of two contenders, one after the other each time. */
export class Pairs<T> {
  readonly #pairs: readonly { ours: T; other: T }[];

  constructor(pairs: readonly { ours: T; other: T }[]) {
    this.#pairs = pairs;
  }

  ours(pick: (measured: T) => number): number {
    return median(this.#pairs.map(({ ours }) => pick(ours)));
  }

  other(pick: (measured: T) => number): number {
    return median(this.#pairs.map(({ other }) => pick(other)));
  }

  /** The median of the ratios, each of two rounds that followed each other. */
  ratio(pick: (measured: T) => number): number {
    return median(this.#pairs.map(({ ours, other }) => pick(ours) / pick(other)));
  }
}

/**
 * Measures two contenders in alternated rounds, after one each that does not count. Which one goes first changes from
 * round to round, so that a drift of the machine helps neither.
 */
export async function alternate<T>(
  ours: () => Promise<T>,
  other: () => Promise<T>,
  rounds: number,
): Promise<Pairs<T>> {
  const pairs: { ours: T; other: T }[] = [];
  for (let index = 0; index <= rounds; index++) {
    const first = index % 2 === 0 ? ours : other;
    const a = await first();
    const b = await (first === ours ? other : ours)();
    if (index > 0) pairs.push(first === ours ? { ours: a, other: b } : { ours: b, other: a });
  }
  return new Pairs(pairs);
}

/** Two contenders under the same load. */
export function compare(
  ours: Contender,
  other: Contender,
  connections: number,
  pace: Pace,
): Promise<Pairs<Measured>> {
  return alternate(
    () => measure(ours, connections, pace),
    () => measure(other, connections, pace),
    pace.rounds,
  );
}

/** One round, after its lead-in. */
export async function measure(contender: Contender, connections: number, pace: Pace): Promise<Measured> {
  const { server, request, expected } = contender;
  const load = { port: server.port, connections, request, expected };
  await runRound({ ...load, seconds: pace.leadInSeconds });
  const before = await server.cpuSeconds();
  const result = await runRound({ ...load, seconds: pace.roundSeconds });
  const cpuSeconds = (await server.cpuSeconds()) - before;
  if (result.wrong > 0) throw new Error(`${result.wrong} answers were wrong, so the figures mean nothing`);
  await sleep(pace.restSeconds * 1000);
  return { ...result, cpuUs: (cpuSeconds * 1e6) / result.requests };
}
