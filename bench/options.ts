import { parseArgs } from 'node:util';

/** What the command line says. */
export interface BenchOptions {
  /** Stored keys. */
  keys: number;
  /** Short rounds and few keys: to see that a benchmark works, not what it measures. */
  isQuick: boolean;
  pace: Pace;
}

/** How long is measured. */
export interface Pace {
  rounds: number;
  roundSeconds: number;
  /** Load before each round that is not measured, so that what runs beside (folding, collection) is under way. */
  leadInSeconds: number;
  /** Quiet after each round, so that what one server still has to do is not done in the other one's time. */
  restSeconds: number;
}

/** @throws TypeError or RangeError that says what is wrong */
export function readOptions(args: string[]): { name: string | undefined; options: BenchOptions } {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { keys: { type: 'string' }, quick: { type: 'boolean', default: false } },
  });
  const isQuick = values.quick;
  const keys = values.keys === undefined ? (isQuick ? 20_000 : 1_000_000) : Number(values.keys);
  if (!Number.isSafeInteger(keys) || keys < 10_000) throw new RangeError('--keys is 10000 or more');
  if (positionals.length > 1) throw new TypeError('one benchmark at a time, or all');
  const pace = isQuick
    ? { rounds: 3, roundSeconds: 0.5, leadInSeconds: 0.2, restSeconds: 0.2 }
    : { rounds: 7, roundSeconds: 2, leadInSeconds: 1, restSeconds: 1.5 };
  return { name: positionals[0], options: { keys, isQuick, pace } };
}
