import { sql } from 'kysely';
import { Periodic } from '../jobs/periodic.ts';
import type { Log } from '../logs/log.ts';
import type { Database } from '../postgres/database.ts';

const everyMs = 60_000;
const rowsAtOnce = 1_000;

/** The job that forgets codes, budgets and devices once they say nothing any more. */
export function createOtpSweep(database: Database, log: Log, now: () => Date, atOnce = rowsAtOnce): Periodic {
  return new Periodic({
    name: 'sign-in sweep',
    everyMs,
    log,
    async work() {
      const { rows } = await sql<{ has_more: boolean }>`
        select sweep_otp(${now()}, ${atOnce}::int) as has_more`.execute(database.lookups);
      return rows[0]?.has_more === true;
    },
  });
}
