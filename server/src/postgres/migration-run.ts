import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { exitCodes, StartError } from '../supervisor/start-error.ts';
import { schemaName } from './connection-config.ts';
import type { DatabaseLog } from './log.ts';
import { type MigrationFile, splitStatements } from './migration-files.ts';

/**
 * Runs one migration and records it, in one transaction unless the file opts out.
 *
 * A statement that waits for a table in use makes every later query of that table wait behind it. So it gives up
 * after 2 s, lets the traffic through and tries again, until `waitMs` have passed.
 *
 * @throws StartError
 */
export async function runMigration(
  client: pg.ClientBase,
  file: MigrationFile,
  options: { waitMs: number; log: DatabaseLog },
): Promise<void> {
  const giveUpAt = performance.now() + options.waitMs;
  for (;;) {
    try {
      return await (file.isTransactional ? runInTransaction(client, file) : runStatements(client, file));
    } catch (error) {
      if (!isLockTrouble(error)) throw failed(file, error);
      if (performance.now() >= giveUpAt) throw stillInUse(file, error);
      options.log.warn({ migration: file.name }, 'a migration waits for tables in use; trying again');
      await delay(500 + Math.random() * 1_000);
    }
  }
}

async function runInTransaction(client: pg.ClientBase, file: MigrationFile): Promise<void> {
  try {
    await client.query(`begin; set local lock_timeout = '2s'`);
    await client.query(file.sql);
    await record(client, file);
    await client.query('commit');
  } catch (error) {
    // Where the connection is gone, so is the transaction.
    await client.query('rollback').catch(() => {});
    throw error;
  }
}

async function runStatements(client: pg.ClientBase, file: MigrationFile): Promise<void> {
  // What is done concurrently waits for older transactions, but nothing has to wait behind it.
  await client.query(`set lock_timeout = '5min'`);
  for (const statement of splitStatements(file.sql)) await client.query(statement);
  await client.query('set lock_timeout = 0');
  await record(client, file);
}

async function record(client: pg.ClientBase, file: MigrationFile): Promise<void> {
  await client.query(`insert into ${schemaName}.schema_migrations (name, checksum) values ($1, $2)`, [
    file.name,
    file.checksum,
  ]);
}

function isLockTrouble(error: unknown): boolean {
  return error instanceof pg.DatabaseError && (error.code === '55P03' || error.code === '40P01');
}

function stillInUse(file: MigrationFile, cause: unknown): StartError {
  return new StartError(`The migration ${file.name} could not get hold of a table that is in use.`, {
    hint: 'Look in pg_stat_activity for long transactions, end them, and start again.',
    exitCode: exitCodes.unavailable,
    cause,
  });
}

function failed(file: MigrationFile, cause: unknown): StartError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new StartError(`The migration ${file.name} failed${findLine(file, cause)}: ${reason}`, {
    hint: file.isTransactional
      ? 'It was rolled back as a whole; the database is as it was before.'
      : 'It can be run again from its start.',
    cause,
  });
}

function findLine(file: MigrationFile, error: unknown): string {
  if (!(error instanceof pg.DatabaseError) || error.position === undefined || !file.isTransactional)
    return '';
  return ` at line ${file.sql.slice(0, Number(error.position)).split('\n').length}`;
}
