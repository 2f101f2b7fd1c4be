import { sql } from 'kysely';
import type { Transaction } from '../postgres/database.ts';
import { builtInClientId } from './built-in-client.ts';
import { type EndedSession, noteLogouts } from './logout-notice-store.ts';

/** When a session has expired that the sweep is to take away at its next turn. */
const gone = new Date(0);
/** The same, of one whose client has not been told. Before the others, so that the sweep meets it first. */
export const untold = new Date(-1);

/** So many logouts are noted in the request that deletes a user. */
const notedAtOnce = 1_000;

/**
 * Leaves the sessions of a user who is deleted in this transaction to the sweep, which takes them and their tokens away in
 * steps: as if they had been over for longer than any is kept. What they tell of the user goes at once. Clients are told of
 * them, where there are very many of some only once the sweep comes by.
 */
export async function abandonSessions(
  tx: Transaction,
  { accountId, issuerId, userId }: { accountId: string; issuerId: string; userId: string },
  now: Date,
): Promise<void> {
  await tx
    .updateTable('sessions')
    .set({
      ended_at: sql`coalesce(ended_at, ${now})`,
      end_reason: sql`coalesce(end_reason, 'revoked')`,
      expires_at: sql`case when ended_at is null and expires_at > ${now} and client_id <> ${builtInClientId}
        then ${untold}::timestamptz else ${gone}::timestamptz end`,
      ip: null,
      user_agent: null,
    })
    .where('account_id', '=', accountId)
    .where('issuer_id', '=', issuerId)
    .where('user_id', '=', userId)
    .execute();
  await noteAbandoned(tx, accountId, { now, atOnce: notedAtOnce });
}

/**
 * Leaves word of abandoned sessions for the clients that have not been told, at most so many.
 *
 * @returns of how many; fewer than `atOnce` when none are left that nobody else has in hand
 */
export async function noteAbandoned(
  tx: Transaction,
  accountId: string,
  { now, atOnce }: { now: Date; atOnce: number },
): Promise<number> {
  const { rows } = await sql<EndedSession>`
    update sessions set expires_at = ${gone}
    where account_id = ${accountId} and id = any (array(
      select s.id from sessions s
      where s.account_id = ${accountId} and least(s.ended_at, s.expires_at) = ${untold}
      limit ${atOnce} for update skip locked))
    returning id, issuer_id, user_id, client_id`.execute(tx);
  await noteLogouts(tx, accountId, rows, now);
  return rows.length;
}
