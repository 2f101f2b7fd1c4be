import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import type { BenchOptions } from './options.ts';

const directory = new URL('./results/', import.meta.url);

export type Row = Record<string, string | number>;

/** A benchmark's outcome, as it stands in `results/<name>.json`. */
export interface Results {
  benchmark: string;
  at: string;
  machine: string;
  node: string;
  commit: string;
  keys: number;
  rounds: number;
  roundSeconds: number;
  tables: Record<string, Row[]>;
}

/** Prints the tables and writes them to `results/<name>.json`; a quick run's go to `results/tmp/`, which git ignores. */
export function record(benchmark: string, options: BenchOptions, tables: Record<string, Row[]>): void {
  for (const [title, rows] of Object.entries(tables)) {
    process.stdout.write(`\n${title}\n`);
    console.table(rows);
  }
  const results: Results = {
    benchmark,
    at: new Date().toISOString(),
    machine: `${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}`,
    node: process.version,
    commit: commit(),
    keys: options.keys,
    rounds: options.pace.rounds,
    roundSeconds: options.pace.roundSeconds,
    tables,
  };
  writeResult(`${benchmark}.json`, `${JSON.stringify(results, null, 2)}\n`, options);
}

/** Writes a file beside the results. */
export function writeResult(name: string, content: string, options: BenchOptions): void {
  const place = options.isQuick ? new URL('tmp/', directory) : directory;
  mkdirSync(place, { recursive: true });
  writeFileSync(new URL(name, place), content);
}

/** The last full run's outcome; null where there was none. */
export function lastResults(benchmark: string): Results | null {
  try {
    return JSON.parse(readFileSync(new URL(`${benchmark}.json`, directory), 'utf8')) as Results;
  } catch {
    return null;
  }
}

function commit(): string {
  const root = new URL('..', import.meta.url);
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: root, encoding: 'utf8' }).trim();
  } catch {
    return 'unknown';
  }
}
