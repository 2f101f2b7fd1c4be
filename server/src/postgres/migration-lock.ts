import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { exitCodes, StartError } from '../supervisor/start-error.ts';
import type { DatabaseLog } from './log.ts';

/** Advisory locks are per database, so one fixed pair of numbers does ("gatl" in ASCII, and the first of its kind). */
const lockKey = [0x6761746c, 1] as const;

/**
 * Waits until this session is the only one that migrates the database. The lock ends with the session.
 *
 * @throws StartError when another process still holds it after `waitMs`
 */
export async function holdMigrationLock(
  client: pg.ClientBase,
  options: { waitMs: number; log: DatabaseLog },
): Promise<void> {
  const giveUpAt = performance.now() + options.waitMs;
  for (let hasSaid = false; !(await tryLock(client)); hasSaid = true) {
    if (performance.now() >= giveUpAt) throw await stillHeld(client);
    if (!hasSaid) options.log.info({}, 'waiting for another process that is migrating the database');
    // Asking again and again, not waiting within Postgres: a statement that waits holds a snapshot, and the other
    // process' CREATE INDEX CONCURRENTLY waits for every snapshot older than itself.
    await delay(100);
  }
}

async function tryLock(client: pg.ClientBase): Promise<boolean> {
  const { rows } = await client.query<{ is_held: boolean }>(
    'select pg_try_advisory_lock($1, $2) as is_held',
    [...lockKey],
  );
  return rows[0]!.is_held;
}

async function stillHeld(client: pg.ClientBase): Promise<StartError> {
  const { rows } = await client.query<{ pid: number }>(
    `select pid from pg_locks where locktype = 'advisory' and granted and classid = $1 and objid = $2
       and database = (select oid from pg_database where datname = current_database())`,
    [...lockKey],
  );
  const holder = rows[0] === undefined ? 'Another process' : `The session with pid ${rows[0].pid}`;
  return new StartError(`${holder} is still migrating the database.`, {
    hint: 'Wait until it is done and start again. If it hangs, see what it waits for in pg_stat_activity and end it.',
    exitCode: exitCodes.unavailable,
  });
}
