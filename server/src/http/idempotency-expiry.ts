import { sql } from 'kysely';
import { Periodic } from '../jobs/periodic.ts';
import type { Log } from '../logs/log.ts';
import type { Database } from '../postgres/database.ts';

const everyMs = 60_000;
const recordsAtOnce = 1000;

/** The job that forgets answers kept for replays once their day is over. */
export function createIdempotencyExpiry(database: Database, log: Log): Periodic {
  return new Periodic({
    name: 'idempotency expiry',
    everyMs,
    log,
    async work() {
      const { rows } = await sql<{ expired: number }>`
        select expire_idempotency_records(${recordsAtOnce}::int) as expired`.execute(database.lookups);
      return (rows[0]?.expired ?? 0) >= recordsAtOnce;
    },
  });
}
