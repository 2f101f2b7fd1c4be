import { sql } from 'kysely';
import type { Transaction } from '../postgres/database.ts';

/** What a session of a client is begun or carried on with. */
export interface ClientSession {
  accountId: string;
  issuerId: string;
  sessionId: string;
  clientId: string;
  userId: string;
  /** The browser login that it comes from; null where there is none, as with a device. */
  loginUid: string | null;
  amr: readonly string[];
  authTime: Date;
  scopes: readonly string[];
  /** What it has asked the userinfo endpoint for, by name. */
  userinfoClaims: readonly string[];
  /** What its user has agreed to of scopes in organizations; null: whatever it has. */
  organizationScopes: readonly string[] | null;
  ip: string | null;
  userAgent: string | null;
  now: Date;
  expiresAt: Date;
}

/**
 * Begins the session of a client with a user who is active, or carries it on where there is one that has not ended; and
 * makes sure that nobody suspends or deletes the user meanwhile.
 *
 * @returns null where the user is not active or the session has ended
 */
export async function beginClientSession(
  tx: Transaction,
  session: ClientSession,
): Promise<'begun' | 'carried-on' | null> {
  const { accountId, issuerId, now, expiresAt } = session;
  const organizationScopes = session.organizationScopes && [...session.organizationScopes];
  const { rows } = await sql<{ is_new: boolean }>`
    with holder as (
      select u.id from users u
      where u.account_id = ${accountId} and u.issuer_id = ${issuerId} and u.id = ${session.userId}
        and u.status = 'active'
      for share
    )
    insert into sessions (id, account_id, issuer_id, user_id, client_id, login_uid, amr, auth_time, scopes,
      userinfo_claims, organization_scopes, ip, user_agent, created_at, last_used_at, refreshes_since, expires_at)
    select ${session.sessionId}, ${accountId}, ${issuerId}, h.id, ${session.clientId}, ${session.loginUid},
      ${[...session.amr]}::text[], ${session.authTime}, ${[...session.scopes]}::text[],
      ${[...session.userinfoClaims]}::text[], ${organizationScopes}::text[], ${session.ip},
      ${session.userAgent}, ${now}, ${now}, ${now}, ${expiresAt}
    from holder h
    on conflict (id) do update set
      last_used_at = excluded.last_used_at, expires_at = greatest(sessions.expires_at, excluded.expires_at),
      amr = excluded.amr, auth_time = excluded.auth_time, scopes = excluded.scopes,
      userinfo_claims = excluded.userinfo_claims, organization_scopes = excluded.organization_scopes
    where sessions.ended_at is null and sessions.account_id = excluded.account_id
      and sessions.issuer_id = excluded.issuer_id and sessions.user_id = excluded.user_id
      and sessions.client_id = excluded.client_id
    returning xmax = 0 as is_new`.execute(tx);
  if (rows[0] === undefined) return null;
  return rows[0].is_new ? 'begun' : 'carried-on';
}

/** How the session stands that a browser login has with a client; null where there is none yet. */
export async function findClientSession(
  tx: Transaction,
  { accountId, issuerId, sessionId }: { accountId: string; issuerId: string; sessionId: string },
): Promise<{ ended_at: Date | null; expires_at: Date } | null> {
  const row = await tx
    .selectFrom('sessions')
    .select(['ended_at', 'expires_at'])
    .where('account_id', '=', accountId)
    .where('issuer_id', '=', issuerId)
    .where('id', '=', sessionId)
    .executeTakeFirst();
  return row ?? null;
}

/** Whether one of these sessions has ended. */
export async function hasEndedSession(
  tx: Transaction,
  { accountId, issuerId, sessionIds }: { accountId: string; issuerId: string; sessionIds: readonly string[] },
): Promise<boolean> {
  if (sessionIds.length === 0) return false;
  const row = await tx
    .selectFrom('sessions')
    .select('id')
    .where('account_id', '=', accountId)
    .where('issuer_id', '=', issuerId)
    .where('id', 'in', sessionIds)
    .where('ended_at', 'is not', null)
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}
