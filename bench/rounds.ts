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
export class Pairs {
  readonly #pairs: readonly { ours: Measured; other: Measured }[];

  constructor(pairs: readonly { ours: Measured; other: Measured }[]) {
    this.#pairs = pairs;
  }

  ours(pick: (measured: Measured) => number): number {
    return median(this.#pairs.map(({ ours }) => pick(ours)));
  }

  other(pick: (measured: Measured) => number): number {
    return median(this.#pairs.map(({ other }) => pick(other)));
  }

  /** The median of the ratios, each of two rounds that followed each other. */
  ratio(pick: (measured: Measured) => number): number {
    return median(this.#pairs.map(({ ours, other }) => pick(ours) / pick(other)));
  }
}

/**
 * Measures two contenders in alternated rounds; which one goes first changes from round to round, so that a drift of the
 * machine helps neither.
 */
export async function alternate(
  ours: Contender,
  other: Contender,
  connections: number,
  pace: Pace,
): Promise<Pairs> {
  const pairs: { ours: Measured; other: Measured }[] = [];
  await measure(ours, connections, pace);
  await measure(other, connections, pace);
  for (let index = 0; index < pace.rounds; index++) {
    const first = index % 2 === 0 ? ours : other;
    const a = await measure(first, connections, pace);
    const b = await measure(first === ours ? other : ours, connections, pace);
    pairs.push(first === ours ? { ours: a, other: b } : { ours: b, other: a });
  }
  return new Pairs(pairs);
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
