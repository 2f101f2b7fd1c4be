import { sql } from 'kysely';
import { Periodic } from '../jobs/periodic.ts';
import type { Log } from '../logs/log.ts';
import type { Database } from '../postgres/database.ts';
import { deleteRows } from '../postgres/delete-rows.ts';
import { noteAbandoned, untold } from './abandoned-sessions.ts';

const everyMs = 60_000;
const accountsAtOnce = 200;
const rowsAtOnce = 1_000;

/** For how long a session that is over can still be read. */
const keptMs = 7 * 86_400_000;

/**
 * The job that forgets sessions which are over and refresh tokens which have expired. A used token is kept until then:
 * shown again before, it has to be known for what it is. Clients of deleted users are told first that their sessions ended.
 *
 * @param atOnce rows that one step deletes at most
 */
export function createSessionSweep(
  database: Database,
  log: Log,
  now: () => Date,
  atOnce = rowsAtOnce,
): Periodic {
  return new Periodic({
    name: 'session sweep',
    everyMs,
    log,
    async work() {
      const moment = now();
      const sessionsBefore = new Date(moment.getTime() - keptMs);
      const { rows } = await sql<{ account_id: string }>`
        select account_id from lookup_accounts_with_past_sessions(${sessionsBefore}, ${moment}, ${accountsAtOnce})
          as found (account_id)`.execute(database.lookups);
      let hasMore = false;
      for (const { account_id: accountId } of rows) {
        // One account that fails must not keep the others waiting.
        const more = await sweepAccount(database, accountId, { sessionsBefore, moment, atOnce }).catch(
          (error: unknown) => {
            log.warn({ err: error, account_id: accountId }, 'A step of the session sweep failed');
            return false;
          },
        );
        hasMore = more || hasMore;
      }
      return hasMore;
    },
  });
}

/** One step of bounded length. Answers whether the account needs another. */
async function sweepAccount(
  database: Database,
  accountId: string,
  { sessionsBefore, moment, atOnce }: { sessionsBefore: Date; moment: Date; atOnce: number },
): Promise<boolean> {
  const ofAccount = sql`account_id = ${accountId}`;
  // Those that no client has been told of wait for `noteAbandoned`, whoever has them in hand at this moment.
  const isOver = sql`least(ended_at, expires_at) < ${sessionsBefore} and expires_at <> ${untold}`;
  // In a transaction of its own: whoever deletes an issuer takes tokens before sessions, as what follows does.
  const noted = await database.withAccount(accountId, (tx) =>
    noteAbandoned(tx, accountId, { now: moment, atOnce }),
  );
  if (noted === atOnce) return true;
  return database.withAccount(accountId, async (tx) => {
    let rest = atOnce - noted;
    const steps = [
      ['refresh_tokens', sql`${ofAccount} and expires_at < ${moment}`],
      // Before the sessions themselves, with which any number of them would go at once.
      [
        'refresh_tokens',
        sql`${ofAccount} and session_id in (select id from sessions where ${ofAccount} and ${isOver})`,
      ],
      ['sessions', sql`${ofAccount} and ${isOver}`],
    ] as const;
    for (const [table, matches] of steps) {
      rest -= await deleteRows(tx, table, matches, rest);
      if (rest === 0) return true;
    }
    return false;
  });
}
