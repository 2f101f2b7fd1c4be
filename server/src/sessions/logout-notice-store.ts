import { type Kysely, type Selectable, sql } from 'kysely';
import { idPrefixes, newId } from '../ids/ids.ts';
import type { Transaction } from '../postgres/database.ts';
import type { LogoutNoticesTable, Schema } from '../postgres/schema.ts';
import { builtInClientId } from './built-in-client.ts';

export type LogoutNotice = Selectable<LogoutNoticesTable>;

/** A session that would have gone on. */
export interface EndedSession {
  id: string;
  issuer_id: string;
  user_id: string;
  client_id: string;
}

/** So many notices are one statement. */
const noticesAtOnce = 1_000;

/** Leaves word for the clients that want to be told that sessions of theirs have ended. */
export async function noteLogouts(
  tx: Transaction,
  accountId: string,
  ended: readonly EndedSession[],
  now: Date,
): Promise<void> {
  const ofClients = ended.filter((row) => row.client_id !== builtInClientId);
  for (let from = 0; from < ofClients.length; from += noticesAtOnce) {
    const rows = ofClients.slice(from, from + noticesAtOnce);
    await sql`
      insert into logout_notices (id, account_id, issuer_id, client_id, user_id, session_id, created_at, due_at)
      select e.id, ${accountId}, e.issuer_id, e.client_id, e.user_id, e.session_id, ${now}, ${now}
      from unnest(
        ${rows.map(() => newId(idPrefixes.logoutNotice))}::text[], ${rows.map((row) => row.issuer_id)}::text[],
        ${rows.map((row) => row.client_id)}::text[], ${rows.map((row) => row.user_id)}::text[],
        ${rows.map((row) => row.id)}::text[]
      ) as e (id, issuer_id, client_id, user_id, session_id)
      join clients c on c.account_id = ${accountId} and c.issuer_id = e.issuer_id and c.id = e.client_id
      where c.status = 'active' and c.settings->'openid'->>'backchannel_logout_uri' is not null`.execute(tx);
  }
}

/**
 * Takes notices that are due for the length of a lease; of callers at the same time each gets others.
 *
 * @param turns.most in all
 * @param turns.mostEach of each account with those that are under way, so that one whose receivers do not answer leaves
 *   room to the others
 * @param turns.underWay the account of each notice that the caller has not done with
 */
export async function claimLogoutNotices(
  db: Kysely<Schema>,
  now: Date,
  leaseEnd: Date,
  { most, mostEach, underWay }: { most: number; mostEach: number; underWay: readonly string[] },
): Promise<LogoutNotice[]> {
  const { rows } = await sql<LogoutNotice>`
    select * from claim_logout_notices_v3(
      ${now}, ${leaseEnd}, ${most}::int, ${mostEach}::int, ${underWay}::text[])`.execute(db);
  return rows;
}

/** It has been delivered, or will never be. */
export async function deleteLogoutNotice(tx: Transaction, { account_id, id }: LogoutNotice): Promise<void> {
  await tx.deleteFrom('logout_notices').where('account_id', '=', account_id).where('id', '=', id).execute();
}

/** It is tried again then. */
export async function postponeLogoutNotice(
  tx: Transaction,
  { account_id, id }: LogoutNotice,
  dueAt: Date,
): Promise<void> {
  await tx
    .updateTable('logout_notices')
    .set({ due_at: dueAt })
    .where('account_id', '=', account_id)
    .where('id', '=', id)
    .execute();
}
