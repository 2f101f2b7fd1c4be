import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** One file of `server/migrations`. */
export type MigrationFile = {
  /** File name, such as `0007_api_key_notes.sql`. */
  readonly name: string;
  /** SHA-256 of the text with Unix line ends, in hex: a checkout on Windows is no change. */
  readonly checksum: string;
  readonly sql: string;
  /** Whether it runs in a transaction; see `noTransactionMarker`. */
  readonly isTransactional: boolean;
};

/**
 * First line of a file that must not run in a transaction (CREATE INDEX CONCURRENTLY).
 *
 * Such a file can stop half-way and is then run again from its start, so each of its statements has to bear that:
 * `drop index concurrently if exists` before `create index concurrently`, for one that failed leaves an invalid
 * index behind. Statements end with a semicolon at the end of a line, and there are no function bodies in it.
 */
export const noTransactionMarker = '-- gatelodge: no transaction';

/**
 * Reads a directory's migrations in the order they run.
 *
 * @throws Error when a name is not `NNNN_name.sql` or a number occurs twice
 */
export async function readMigrationFiles(directory: string): Promise<MigrationFile[]> {
  const names = await readMigrationNames(directory);
  return Promise.all(names.map((name) => readMigrationFile(directory, name)));
}

/** As `readMigrationFiles`, the names alone. */
export async function readMigrationNames(directory: string): Promise<string[]> {
  const names = (await readdir(directory)).filter((name) => name.endsWith('.sql')).sort();
  const numbers = new Set<string>();
  for (const name of names) {
    if (!/^\d{4}_[a-z0-9_]+\.sql$/.test(name)) throw new Error(`${name} is not named NNNN_name.sql.`);
    const number = name.slice(0, 4);
    if (numbers.has(number)) throw new Error(`Two migrations have the number ${number}.`);
    numbers.add(number);
  }
  return names;
}

/** The statements of a file that runs without a transaction. */
export function splitStatements(sql: string): string[] {
  return sql
    .split(/;[ \t]*$/m)
    .map((statement) => statement.trim())
    .filter((statement) => statement.replaceAll(/^\s*--.*$/gm, '').trim() !== '');
}

async function readMigrationFile(directory: string, name: string): Promise<MigrationFile> {
  const sql = (await readFile(join(directory, name), 'utf8')).replaceAll('\r\n', '\n');
  return {
    name,
    checksum: createHash('sha256').update(sql).digest('hex'),
    sql,
    isTransactional: sql.split('\n', 1)[0]?.trim() !== noTransactionMarker,
  };
}
