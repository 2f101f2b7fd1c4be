import { sql } from 'kysely';
import { Periodic } from '../jobs/periodic.ts';
import type { Log } from '../logs/log.ts';
import type { Database } from '../postgres/database.ts';
import { deleteRows } from '../postgres/delete-rows.ts';

const everyMs = 60_000;
const accountsAtOnce = 200;
const rowsAtOnce = 1_000;

/** Nobody finds what has expired; a moment is left to those who have it in their hands. */
const graceMs = 60_000;

/**
 * The job that forgets what flows have kept and nobody needs any more.
 *
 * @param atOnce rows that one step deletes at most
 */
export function createRecordSweep(
  database: Database,
  log: Log,
  now: () => Date,
  atOnce = rowsAtOnce,
): Periodic {
  return new Periodic({
    name: 'OIDC record sweep',
    everyMs,
    log,
    async work() {
      const before = new Date(now().getTime() - graceMs);
      const { rows } = await sql<{ account_id: string }>`
        select account_id from lookup_accounts_with_past_oidc_records(${before}, ${accountsAtOnce})
          as found (account_id)`.execute(database.lookups);
      let hasMore = false;
      for (const { account_id: accountId } of rows) {
        // One account that fails must not keep the others waiting.
        const deleted = await database
          .withAccount(accountId, (tx) =>
            deleteRows(tx, 'oidc_records', sql`account_id = ${accountId} and expires_at < ${before}`, atOnce),
          )
          .catch((error: unknown) => {
            log.warn({ err: error, account_id: accountId }, 'A step of the OIDC record sweep failed');
            return 0;
          });
        hasMore = hasMore || deleted >= atOnce;
      }
      return hasMore;
    },
  });
}
