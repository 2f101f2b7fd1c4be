import { sql } from 'kysely';
import { insertEvents } from '../events/event-store.ts';
import { Periodic } from '../jobs/periodic.ts';
import type { Environment } from '../key-profiles/key-profile.ts';
import type { Log } from '../logs/log.ts';
import type { Database } from '../postgres/database.ts';
import { endSessionsOfUser } from './session-store.ts';

const everyMs = 5_000;
const sessionsAtOnce = 1_000;
const usersAtOnce = 100;

const actor = { type: 'system', id: 'session-ends', ip: null, user_agent: null } as const;

interface LeftUser {
  id: string;
  account_id: string;
  issuer_id: string;
  environment: Environment;
  ends_before: Date;
  reason: 'revoked' | 'user_suspended';
}

/**
 * The job that ends the sessions of users who have more than one request ends, in steps. What there is to do stands in the
 * users, so it goes on after a crash and on whichever node gets there first.
 *
 * @param atOnce sessions that one step ends at most; up to 1,000
 */
export function createSessionEnds(
  database: Database,
  log: Log,
  now: () => Date,
  atOnce = sessionsAtOnce,
): Periodic {
  /** How far each user has come, by the lowest id that has been ended: from the newest down. */
  const reached = new Map<string, string>();
  return new Periodic({
    name: 'session ends',
    everyMs,
    log,
    async work() {
      const { rows } = await sql<LeftUser>`
        select * from lookup_users_with_ending_sessions(${usersAtOnce}::int)`.execute(database.lookups);
      let hasMore = false;
      for (const user of rows) {
        // One that fails must not keep the others.
        const more = await endSome(database, user, { now: now(), atOnce, reached }).catch(
          (error: unknown) => {
            log.warn({ err: error, user_id: user.id }, 'A step of ending a user’s sessions failed');
            return false;
          },
        );
        hasMore = more || hasMore;
      }
      return hasMore;
    },
  });
}

/** One step of bounded length. Answers whether there may be more to do at once. */
async function endSome(
  database: Database,
  user: LeftUser,
  { now, atOnce, reached }: { now: Date; atOnce: number; reached: Map<string, string> },
): Promise<boolean> {
  const { account_id: accountId, issuer_id: issuerId, environment, id: userId, ends_before: until } = user;
  const below = reached.get(userId);
  const lowest = await database.withAccount(accountId, async (tx) => {
    // Two nodes at the same rows would wait for each other.
    const { rows } = await sql<{ ours: boolean }>`
      select pg_try_advisory_xact_lock(hashtextextended('end sessions ' || ${userId}, 0)) as ours`.execute(
      tx,
    );
    if (rows[0]?.ours !== true) return null;
    const step = await endSessionsOfUser(tx, { accountId, issuerId, environment, userId }, user.reason, {
      now,
      until,
      below,
      atOnce,
      recordAll: (events) => insertEvents(tx, { accountId, actor, requestId: null }, events),
    });
    if (step.marked === atOnce) return step.lowest;
    // Unless there are others by now. Whoever began further down looks at all of them once more.
    if (below === undefined)
      await sql`
        update users set sessions_end_before = null, sessions_end_reason = null
        where account_id = ${accountId} and id = ${userId} and sessions_end_before = ${until}`.execute(tx);
    return null;
  });
  if (lowest === null) reached.delete(userId);
  else reached.set(userId, lowest);
  return lowest !== null || below !== undefined;
}
