import { errors, type RecordPayload } from 'oidc-provider';
import { actorOfUser } from '../events/actor.ts';
import { idPrefixes, isId } from '../ids/ids.ts';
import type { Transaction } from '../postgres/database.ts';
import { holdBrowserLogin } from '../sessions/browser-login-store.ts';
import { beginClientSession } from '../sessions/client-session-store.ts';
import { tooManyRefreshes } from '../sessions/refresh-budget.ts';
import { lockOwnSession, prolongSession } from '../sessions/session-store.ts';
import { secondsOfSession } from './client-metadata.ts';
import { agreedInOrganizations } from './grants.ts';
import { visitOf } from './record-visits.ts';
import type { IssuerRuntime } from './runtime.ts';
import { claimNames } from './scopes.ts';

/**
 * Begins the session that a code is of, or carries it on, in the transaction that writes the code: with the request of the
 * browser, not with that of the client's backend which redeems it.
 *
 * @returns whether the user is active, and neither the session nor the browser login that it is of has ended
 */
export async function beginSession(
  tx: Transaction,
  runtime: IssuerRuntime,
  {
    kind,
    sid = '',
    clientId = '',
    accountId = '',
    sessionUid,
    amr = [],
    authTime,
    scope = '',
    claims,
  }: RecordPayload,
): Promise<boolean> {
  if (!isId(idPrefixes.session, sid)) return false;
  const now = runtime.now();
  const info = runtime.context.info();
  const { ip, user_agent: userAgent } = actorOfUser(accountId, info);
  const { entities } = runtime.context.current?.oidc ?? {};
  const begun = await beginClientSession(tx, {
    accountId: runtime.issuer.account.id,
    issuerId: runtime.issuer.id,
    sessionId: sid,
    clientId,
    userId: accountId,
    loginUid: kind === 'DeviceCode' ? null : (sessionUid ?? null),
    amr,
    authTime: authTime === undefined ? now : new Date(authTime * 1000),
    scopes: scope.split(' ').filter(Boolean),
    // Other names are the client's own words, and nobody has anything to tell of them.
    userinfoClaims: Object.keys((claims as { userinfo?: object } | undefined)?.userinfo ?? {}).filter(
      (name) => claimNames.has(name),
    ),
    // Also of one that is the issuer's own at the moment: it counts again as soon as that is over.
    organizationScopes: entities?.Grant?.unasked === true ? null : agreedInOrganizations(entities?.Grant),
    ip,
    userAgent,
    now,
    expiresAt: sessionEnd(runtime),
  });
  if (begun !== null && !(await isLoginThere(tx, runtime, sessionUid))) return false;
  if (begun === 'begun') {
    await runtime.recordAll(tx, actorOfUser(accountId, info), info, [
      {
        type: 'session.created',
        subject: { type: 'session', id: sid },
        environment: runtime.issuer.environment,
        issuerId: runtime.issuer.id,
        data: { user_id: accountId, client_id: clientId, amr: [...amr] },
      },
    ]);
  }
  return begun !== null;
}

/** Of a login that this request begins there is no record yet: before it is kept, its sessions are looked at once more. */
async function isLoginThere(tx: Transaction, { issuer }: IssuerRuntime, loginUid?: string): Promise<boolean> {
  const login = loginUid === undefined ? undefined : visitOf('Session', loginUid);
  if (loginUid === undefined || login === undefined) return true;
  if (login.state !== 'found') return false;
  return holdBrowserLogin(tx, { accountId: issuer.account.id, issuerId: issuer.id, loginUid });
}

/** Makes sure that nobody ends the session before the transaction ends. Answers whether it goes on. */
export async function lockLiveSession(
  tx: Transaction,
  runtime: IssuerRuntime,
  sessionId: string,
): Promise<boolean> {
  const row = await lockOwnSession(tx, scopeOf(runtime, sessionId));
  return (
    row !== null && row.ended_at === null && row.user_status === 'active' && row.expires_at > runtime.now()
  );
}

/** A refresh carries its session on. @throws the library's error (429) where the session has had its refreshes */
export async function carryOnSession(
  tx: Transaction,
  runtime: IssuerRuntime,
  sessionId: string,
): Promise<void> {
  const now = runtime.now();
  const scope = scopeOf(runtime, sessionId);
  if (await prolongSession(tx, scope, { now, expiresAt: sessionEnd(runtime) })) return;
  const row = await lockOwnSession(tx, scope);
  throw row === null ? new errors.InvalidGrant('the session is gone') : tooManyRefreshes(row, now);
}

/** Until when a session lasts that is begun or refreshed now. */
function sessionEnd(runtime: IssuerRuntime): Date {
  const client = runtime.context.current?.oidc.client;
  return new Date(runtime.now().getTime() + secondsOfSession(runtime, client) * 1000);
}

function scopeOf({ issuer }: IssuerRuntime, sessionId: string) {
  return { accountId: issuer.account.id, issuerId: issuer.id, sessionId };
}
