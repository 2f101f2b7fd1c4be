import { type Selectable, sql } from 'kysely';
import type { Principal } from '../authentication/principal.ts';
import type { NewEvent } from '../events/event.ts';
import { found, foundUnchanged } from '../http/found.ts';
import { type PageRequest, paged } from '../http/listing.ts';
import type { CursorCodec } from '../http/pagination.ts';
import { isVisibleIssuer } from '../issuers/visible-issuer.ts';
import type { Environment } from '../key-profiles/key-profile.ts';
import type { Transaction } from '../postgres/database.ts';
import type { EndReason, SessionsTable } from '../postgres/schema.ts';
import type { AccountRecord, IssuerRecord } from '../verification/records.ts';
import { endBrowserLogins } from './browser-login-store.ts';
import { builtInClientId } from './built-in-client.ts';
import { noteLogouts } from './logout-notice-store.ts';
import { refreshesAtMost, refreshWindowMs } from './refresh-budget.ts';

export type SessionRow = Selectable<SessionsTable>;

/**
 * The sessions of one issuer that the caller can see: none of a deleted issuer or user, or of a live issuer for a sandbox
 * key.
 */
function visibleSessions(tx: Transaction, principal: Principal, issuerId: string) {
  return tx
    .selectFrom('sessions')
    .selectAll('sessions')
    .where('sessions.account_id', '=', principal.accountId)
    .where('sessions.issuer_id', '=', issuerId)
    .where((eb) =>
      eb.exists(eb.selectFrom('users').select('users.id').whereRef('users.id', '=', 'sessions.user_id')),
    )
    .where(isVisibleIssuer(principal, issuerId));
}

/** @throws not_found */
export async function requireSession(
  tx: Transaction,
  principal: Principal,
  params: { issuer_id: string; session_id: string },
): Promise<SessionRow> {
  const row = await visibleSessions(tx, principal, params.issuer_id)
    .where('sessions.id', '=', params.session_id)
    .executeTakeFirst();
  return found(row);
}

/** As `requireSession`, and nobody changes it before the transaction ends. @throws not_found, precondition_failed */
export async function lockSession(
  tx: Transaction,
  principal: Principal,
  params: { issuer_id: string; session_id: string },
  ifMatch: string | undefined,
): Promise<SessionRow> {
  const row = await visibleSessions(tx, principal, params.issuer_id)
    .where('sessions.id', '=', params.session_id)
    .forUpdate('sessions')
    .executeTakeFirst();
  return foundUnchanged(row, ifMatch);
}

interface SessionFilter extends PageRequest {
  user_id?: string | undefined;
  status?: 'active' | 'ended' | undefined;
}

/** One row more than the page holds, newest first. */
export function listSessions(
  tx: Transaction,
  principal: Principal,
  issuerId: string,
  filter: SessionFilter,
  now: Date,
  cursors: CursorCodec,
): Promise<SessionRow[]> {
  let query = visibleSessions(tx, principal, issuerId);
  if (filter.user_id) query = query.where('sessions.user_id', '=', filter.user_id);
  if (filter.status === 'active')
    query = query.where('sessions.ended_at', 'is', null).where('sessions.expires_at', '>', now);
  else if (filter.status === 'ended')
    query = query.where((eb) =>
      eb.or([eb('sessions.ended_at', 'is not', null), eb('sessions.expires_at', '<=', now)]),
    );
  return paged(query, 'sessions', filter, cursors).execute();
}

/** Which sessions are to end: one, every one of a user, or those of a browser login with all the clients that it has. */
export type EndedScope = { accountId: string; issuerId: string; environment: Environment } & (
  | { sessionId: string }
  | { userId: string }
  | { loginUid: string }
);

/** What a client or a thief has done ends what that client has. Anything else ends the browser's login as well. */
const reasonsOfOneClient: ReadonlySet<EndReason> = new Set(['refresh_reuse', 'code_reuse', 'token_revoked']);

/** So many events are one statement. */
const eventsAtOnce = 1_000;

/** So many sessions of a user one request ends: those of 100,000 took longer than a statement may. */
const sessionsOfUserAtOnce = 1_000;

/**
 * Ends the sessions that have not ended yet, with an event each. From the commit on no node takes a token of theirs.
 *
 * Of a user, who has to be locked, it ends the newest thousand and leaves what there is beyond to `createSessionEnds`.
 *
 * @returns how many it has ended, or left to be
 */
export async function endSessions(
  tx: Transaction,
  scope: EndedScope,
  reason: EndReason,
  { now, recordAll }: { now: Date; recordAll: (events: readonly NewEvent[]) => Promise<void> },
): Promise<number> {
  if ('userId' in scope) {
    const step = { now, recordAll, atOnce: sessionsOfUserAtOnce };
    const { marked, ended } = await endSessionsOfUser(tx, scope, reason, step);
    await endBrowserLogins(tx, scope, []);
    return ended + (marked < sessionsOfUserAtOnce ? 0 : await leaveToJob(tx, scope, reason, now));
  }
  const rows = await markEnded(tx, scope, reason, now);
  if (!reasonsOfOneClient.has(reason)) {
    await endBrowserLogins(tx, scope, rows);
    // Those that came of the login before it was gone, and after its sessions were looked at. Beside the revocation of one of
    // them Postgres may break the one or the other off, and it is tried again.
    if ('loginUid' in scope) rows.push(...(await markEnded(tx, scope, reason, now)));
  }
  const ended = rows.filter((row) => row.expires_at > now);
  if (reason !== 'token_revoked') await noteLogouts(tx, scope.accountId, ended, now);
  const events = ended.map((row) => terminated(row, scope, reason));
  for (let from = 0; from < events.length; from += eventsAtOnce)
    await recordAll(events.slice(from, from + eventsAtOnce));
  return ended.length;
}

/**
 * Ends sessions of a user, the newest first, at most so many, as `endSessions` does.
 *
 * @param step.until those begun later stay; none do unless given, as another node's clock may be ahead of this one's
 * @param step.below those alone whose ids are below this one: whoever takes step after step does not look each time at what
 *   it has ended already
 * @returns how many have been looked at, fewer than `atOnce` when none are left; how many of them had not expired; and the
 *   lowest of their ids, null where there are none
 */
export async function endSessionsOfUser(
  tx: Transaction,
  scope: { accountId: string; issuerId: string; environment: Environment; userId: string },
  reason: EndReason,
  step: {
    now: Date;
    until?: Date;
    below?: string | undefined;
    atOnce: number;
    recordAll: (events: readonly NewEvent[]) => Promise<void>;
  },
): Promise<{ marked: number; ended: number; lowest: string | null }> {
  const { accountId, issuerId, userId } = scope;
  const { until = null, below = null } = step;
  // Expired ones too: one that is refreshed at this moment looks expired still, and would go on.
  const { rows } = await sql<Pick<SessionRow, 'id' | 'issuer_id' | 'user_id' | 'client_id' | 'expires_at'>>`
    update sessions set ended_at = ${step.now}, end_reason = ${reason}, version = version + 1
    where account_id = ${accountId} and issuer_id = ${issuerId} and ended_at is null and id = any (array(
      select s.id from sessions s
      where s.account_id = ${accountId} and s.issuer_id = ${issuerId} and s.user_id = ${userId} and s.ended_at is null
        and (${until}::timestamptz is null or s.created_at <= ${until}::timestamptz)
        and (${below}::text is null or s.id < ${below}::text)
      order by s.id desc limit ${step.atOnce} for update))
    returning id, issuer_id, user_id, client_id, expires_at`.execute(tx);
  const ended = rows.filter((row) => row.expires_at > step.now);
  await noteLogouts(tx, accountId, ended, step.now);
  await step.recordAll(ended.map((row) => terminated(row, scope, reason)));
  const lowest = rows.map(({ id }) => id).sort()[0] ?? null;
  return { marked: rows.length, ended: ended.length, lowest };
}

/** Answers how many there are. */
async function leaveToJob(
  tx: Transaction,
  { accountId, issuerId, userId }: { accountId: string; issuerId: string; userId: string },
  reason: EndReason,
  now: Date,
): Promise<number> {
  const { rows } = await sql<{ left: number }>`
    select count(*)::int as left from sessions
    where account_id = ${accountId} and issuer_id = ${issuerId} and user_id = ${userId} and ended_at is null
      and expires_at > ${now}`.execute(tx);
  await sql`
    update users set sessions_end_before = ${now}, sessions_end_reason = ${reason}
    where account_id = ${accountId} and issuer_id = ${issuerId} and id = ${userId}`.execute(tx);
  return rows[0]!.left;
}

function markEnded(
  tx: Transaction,
  scope: Exclude<EndedScope, { userId: string }>,
  reason: EndReason,
  now: Date,
) {
  return tx
    .updateTable('sessions')
    .set({ ended_at: now, end_reason: reason, version: sql`version + 1` })
    .where('account_id', '=', scope.accountId)
    .where('issuer_id', '=', scope.issuerId)
    .where('ended_at', 'is', null)
    .where((eb) => {
      if ('sessionId' in scope) return eb.and([eb('id', '=', scope.sessionId), eb('expires_at', '>', now)]);
      // Expired ones too: one that is refreshed at this moment looks expired still, and would go on.
      return eb('login_uid', '=', scope.loginUid);
    })
    .returning(['id', 'issuer_id', 'user_id', 'client_id', 'login_uid', 'expires_at'])
    .execute();
}

function terminated(
  { id, user_id }: Pick<SessionRow, 'id' | 'user_id'>,
  { environment, issuerId }: { environment: Environment; issuerId: string },
  reason: EndReason,
): NewEvent {
  return {
    type: 'session.terminated',
    subject: { type: 'session', id },
    environment,
    issuerId,
    data: { reason, user_id },
  };
}

/**
 * Ends sessions of a client that is being deleted, at most so many, with an event for each that had not expired.
 *
 * @param step.atOnce up to 1,000
 * @returns how many it has ended; fewer than `atOnce` when none are left
 */
export async function endSessionsOfClient(
  tx: Transaction,
  scope: { accountId: string; issuerId: string; environment: Environment; clientId: string },
  step: { now: Date; atOnce: number; recordAll: (events: readonly NewEvent[]) => Promise<void> },
): Promise<number> {
  // The built-in client is named for the index that serves this, which leaves its sessions out.
  const { rows } = await sql<Pick<SessionRow, 'id' | 'user_id' | 'expires_at'>>`
    update sessions set ended_at = ${step.now}, end_reason = 'client_deleted', version = version + 1
    where account_id = ${scope.accountId} and issuer_id = ${scope.issuerId} and ended_at is null and id = any (array(
      select s.id from sessions s
      where s.account_id = ${scope.accountId} and s.issuer_id = ${scope.issuerId} and s.client_id = ${scope.clientId}
        and s.ended_at is null and s.client_id <> ${sql.lit(builtInClientId)}
      order by s.id limit ${step.atOnce} for update))
    returning id, user_id, expires_at`.execute(tx);
  const ended = rows.filter((row) => row.expires_at > step.now);
  await step.recordAll(ended.map((row) => terminated(row, scope, 'client_deleted')));
  return rows.length;
}

/** A session to be begun. */
type NewSessionRow = Omit<
  SessionRow,
  | 'ended_at'
  | 'end_reason'
  | 'version'
  | 'created_at'
  | 'last_used_at'
  | 'refreshes_since'
  | 'refreshes'
  | 'login_uid'
  | 'userinfo_claims'
  | 'organization_scopes'
>;

/** What of an issuer decides whether tokens may be given out. */
export type InService = { status: IssuerRecord['status']; account_status: AccountRecord['status'] };

/**
 * Begins a session with its first refresh token where its user, issuer and account are active, and makes sure that nobody
 * suspends or deletes any of them meanwhile. One statement, since every sign-in waits for it.
 *
 * @returns how issuer and account stand, on which it depends whether there is a session now; null where the user or the
 *   issuer is not there to have one
 */
export async function insertSession(
  tx: Transaction,
  session: NewSessionRow,
  token: { digest: Buffer; generation: number },
): Promise<InService | null> {
  const { account_id: accountId, issuer_id: issuerId, auth_time: beganAt } = session;
  const { rows } = await sql<InService>`
    with holder as (
      select u.id, i.status, a.status as account_status
      from users u
      join issuers i on i.account_id = u.account_id and i.id = u.issuer_id and not i.deleting
      join accounts a on a.id = u.account_id
      where u.account_id = ${accountId} and u.issuer_id = ${issuerId} and u.id = ${session.user_id}
        and u.status = 'active'
      for share
    ), begun as (
      insert into sessions (id, account_id, issuer_id, user_id, client_id, amr, auth_time, scopes, ip, user_agent, created_at,
        last_used_at, refreshes_since, expires_at)
      select ${session.id}, ${accountId}, ${issuerId}, h.id, ${session.client_id}, ${session.amr}::text[], ${beganAt},
        ${session.scopes}::text[], ${session.ip}, ${session.user_agent}, ${beganAt}, ${beganAt}, ${beganAt},
        ${session.expires_at}
      from holder h
      where h.status = 'active' and h.account_status = 'active'
      returning id, account_id, issuer_id, created_at, expires_at
    ), given_out as (
      insert into refresh_tokens (digest, digest_generation, account_id, issuer_id, session_id, created_at, expires_at)
      select ${token.digest}, ${token.generation}::integer, b.account_id, b.issuer_id, b.id, b.created_at, b.expires_at
      from begun b
    )
    select status, account_status from holder`.execute(tx);
  return rows[0] ?? null;
}

/** Where a refresh token belongs. */
export interface TokenScope {
  accountId: string;
  issuerId: string;
  sessionId: string;
}

export async function insertRefreshToken(
  tx: Transaction,
  { accountId, issuerId, sessionId }: TokenScope,
  token: { digest: Buffer; generation: number },
  { now, expiresAt }: { now: Date; expiresAt: Date },
): Promise<void> {
  await tx
    .insertInto('refresh_tokens')
    .values({
      digest: token.digest,
      digest_generation: token.generation,
      account_id: accountId,
      issuer_id: issuerId,
      session_id: sessionId,
      created_at: now,
      expires_at: expiresAt,
    })
    .execute();
}

/**
 * What of the issuer decides whether tokens may be given out. As it is now, not as it was when the transaction began to
 * wait; and from here on a suspension waits for its end.
 *
 * @returns null where it is gone
 */
export async function lockIssuerInService(tx: Transaction, { accountId, issuerId }: TokenScope) {
  const row = await tx
    .selectFrom('issuers as i')
    .innerJoin('accounts as a', 'a.id', 'i.account_id')
    .select(['i.status', 'a.status as account_status'])
    .where('i.account_id', '=', accountId)
    .where('i.id', '=', issuerId)
    .where('i.deleting', '=', false)
    .forShare('i')
    .executeTakeFirst();
  return row ?? null;
}

/** A session with its user, of which nobody ends or refreshes it before the transaction ends; null where it is gone. */
export async function lockOwnSession(tx: Transaction, { accountId, issuerId, sessionId }: TokenScope) {
  const row = await tx
    .selectFrom('sessions as s')
    .innerJoin('users as u', 'u.id', 's.user_id')
    .selectAll('s')
    .select(['u.status as user_status', 'u.username_type', 'u.username'])
    .where('s.account_id', '=', accountId)
    .where('s.issuer_id', '=', issuerId)
    .where('s.id', '=', sessionId)
    .forUpdate('s')
    .executeTakeFirst();
  return row ?? null;
}

/**
 * Whether a refresh token of the session is stored. Waits for whatever transaction has the session in hand, so the answer
 * also counts for what that one was doing.
 */
export async function hasRefreshToken(tx: Transaction, scope: TokenScope, digest: Buffer): Promise<boolean> {
  await lockOwnSession(tx, scope);
  const row = await tx
    .selectFrom('refresh_tokens')
    .select('digest')
    .where('account_id', '=', scope.accountId)
    .where('digest', '=', digest)
    .executeTakeFirst();
  return row !== undefined;
}

/**
 * Uses a refresh token up. The one statement decides, so of any number at once one is first.
 *
 * @returns `reused` for one that was used before, `expired` for one whose time is over
 */
export async function consumeRefreshToken(
  tx: Transaction,
  { accountId }: TokenScope,
  digest: Buffer,
  now: Date,
): Promise<'used' | 'reused' | 'expired'> {
  const used = await tx
    .updateTable('refresh_tokens')
    .set({ used_at: now })
    .where('account_id', '=', accountId)
    .where('digest', '=', digest)
    .where('used_at', 'is', null)
    .where('expires_at', '>', now)
    .returning('digest')
    .executeTakeFirst();
  if (used !== undefined) return 'used';
  const row = await tx
    .selectFrom('refresh_tokens')
    .select('used_at')
    .where('account_id', '=', accountId)
    .where('digest', '=', digest)
    .executeTakeFirst();
  return row?.used_at == null ? 'expired' : 'reused';
}

/**
 * The session goes on until its newest refresh token expires. Counts the refresh, and refuses it where the session has
 * had all of an hour's.
 *
 * @returns whether there was one left
 */
export async function prolongSession(
  tx: Transaction,
  { accountId, sessionId }: TokenScope,
  { now, expiresAt }: { now: Date; expiresAt: Date },
): Promise<boolean> {
  const before = new Date(now.getTime() - refreshWindowMs);
  const isOver = sql<boolean>`refreshes_since <= ${before}`;
  const prolonged = await tx
    .updateTable('sessions')
    .set({
      last_used_at: now,
      expires_at: expiresAt,
      refreshes: sql`case when ${isOver} then 1 else refreshes + 1 end`,
      refreshes_since: sql`case when ${isOver} then ${now}::timestamptz else refreshes_since end`,
    })
    .where('account_id', '=', accountId)
    .where('id', '=', sessionId)
    .where((eb) => eb.or([eb('refreshes', '<', refreshesAtMost), isOver]))
    .returning('id')
    .executeTakeFirst();
  return prolonged !== undefined;
}
