import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { parseIntoClientConfig } from 'pg-connection-string';
import { exitCodes, StartError, systemErrorCode } from '../supervisor/start-error.ts';
import { schemaName } from './connection-config.ts';
import type { DatabaseLog } from './log.ts';
import { migrationsDirectory } from './migrated.ts';
import { readMigrationFiles } from './migration-files.ts';
import { assertMigratable, findPending, prepareSchema } from './migration-history.ts';
import { holdMigrationLock } from './migration-lock.ts';
import { runMigration } from './migration-run.ts';
import { ensureRoles, MembershipNotSeen } from './roles.ts';
import { isUnavailable } from './unavailable.ts';

export type MigrateOptions = {
  /** Connection of the role that owns, or is to own, the schema `gatelodge`. Not through a transaction pooler. */
  ownerUrl: string;
  log: DatabaseLog;
  /** Directory of the files; `server/migrations` by default. */
  migrationsDir?: string;
  /** How long to wait for a Postgres that is starting. */
  connectWaitMs?: number;
  /** How long to wait for another process that is migrating, and for a table in use to come free. */
  lockWaitMs?: number;
};

/**
 * Brings the database to the state that this build needs: roles, the schema, and every migration that has not run
 * yet, each in a transaction of its own. Safe to call from any number of processes at once and under traffic.
 *
 * Forward only. A database that a newer build has migrated is left as it is, for older builds work on it. Nothing is
 * changed before version, contents and history of the database have been found fit.
 *
 * @returns names of the migrations that this call has run
 * @throws StartError that says what to do
 */
export async function migrateDatabase(options: MigrateOptions): Promise<{ applied: string[] }> {
  for (let session = 1; ; session++) {
    try {
      return await migrateInSession(options);
    } catch (error) {
      if (!(error instanceof MembershipNotSeen)) throw error;
      if (session === maxSessions) throw error.told;
    }
  }
}

async function migrateInSession(options: MigrateOptions): Promise<{ applied: string[] }> {
  const lockWaitMs = options.lockWaitMs ?? 60_000;
  const directory = options.migrationsDir ?? migrationsDirectory;
  const files = await readMigrationFiles(directory);
  const client = await connectOwner(options);
  try {
    await client.query(sessionSettings);
    await holdMigrationLock(client, { waitMs: lockWaitMs, log: options.log });
    await assertMigratable(client);
    const pending = await findPending(client, files);
    await ensureRoles(client);
    await prepareSchema(client);
    for (const file of pending) {
      await runMigration(client, file, { waitMs: lockWaitMs, log: options.log });
      options.log.info({ migration: file.name }, 'ran a migration');
    }
    return { applied: pending.map((file) => file.name) };
  } finally {
    // Ending the session frees the lock. An error here could only hide the one that matters.
    await client.end().catch(() => {});
  }
}

const maxSessions = 3;

// A migration may take long, and an administrator's defaults for sessions are not meant for it.
const sessionSettings = `
  set search_path = ${schemaName}, pg_temp;
  set statement_timeout = 0;
  set idle_in_transaction_session_timeout = 0;
  set default_transaction_isolation = 'read committed';
  set client_min_messages = warning`;

async function connectOwner(options: MigrateOptions): Promise<pg.Client> {
  const giveUpAt = performance.now() + (options.connectWaitMs ?? 30_000);
  for (let attempt = 0; ; attempt++) {
    const client = new pg.Client({
      ...parseIntoClientConfig(options.ownerUrl),
      application_name: 'gatelodge migrations',
      connectionTimeoutMillis: 5_000,
      keepAlive: true,
    });
    // A connection that breaks fails the query under way; the event itself must not end the process.
    client.on('error', () => {});
    try {
      await client.connect();
      return client;
    } catch (error) {
      await client.end().catch(() => {});
      if (!isUnavailable(error)) throw cannotConnect(error);
      if (performance.now() >= giveUpAt) throw cannotConnect(error, exitCodes.unavailable);
      if (attempt === 0) options.log.info({ reason: (error as Error).message }, 'waiting for Postgres');
      await delay(Math.min(1_000, 50 * 2 ** attempt));
    }
  }
}

function cannotConnect(cause: unknown, exitCode: number = exitCodes.configuration): StartError {
  // Node's own error of several refused addresses has a code and no message.
  const reason =
    cause instanceof Error ? cause.message || systemErrorCode(cause) || cause.name : String(cause);
  return new StartError(`Postgres cannot be reached for the migrations: ${reason}`, {
    hint: 'Check DATABASE_OWNER_URL (or DATABASE_URL where that is unset): host, port, database, user and password.',
    exitCode,
    cause,
  });
}
