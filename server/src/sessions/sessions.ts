import type pg from 'pg';
import type { RequestInfo } from '../edge/request-info.ts';
import { AppError } from '../errors.ts';
import { actorOfSystem, actorOfUser } from '../events/actor.ts';
import type { Actor, NewEvent } from '../events/event.ts';
import { insertEvents } from '../events/event-store.ts';
import { carryOut } from '../http/carry-out.ts';
import { idPrefixes, newId } from '../ids/ids.ts';
import { issuerUrl } from '../issuers/issuer-url.ts';
import type { AccountSlots } from '../limits/account-slots.ts';
import { findLoginSettings, type LoginSettings } from '../login-settings/login-settings.ts';
import { organizationsOf } from '../members/user-organizations.ts';
import { CommitOutcomeUnknownError, type Database, type Transaction } from '../postgres/database.ts';
import type { EndReason } from '../postgres/schema.ts';
import type { InstallationSecrets } from '../secrets/installation-secrets.ts';
import type { Settings } from '../settings.ts';
import type { SigningKeys } from '../signing-keys/signing-keys.ts';
import { accessTokenType } from '../tokens/jwt.ts';
import { emailOf } from '../users/user.ts';
import type { UserRow } from '../users/user-store.ts';
import type { KeyDirectory } from '../verification/key-directory.ts';
import type { IssuerRecord } from '../verification/records.ts';
import { accessTokenClaims } from './access-token.ts';
import { builtInClientId } from './built-in-client.ts';
import { invalidToken, requireInService } from './invalid-token.ts';
import { findOutCommit, timeoutOfAskingMs } from './lost-commit.ts';
import { hasSpentRefreshes, tooManyRefreshes } from './refresh-budget.ts';
import { isOver, RefreshLookups, type RefreshTokenRow } from './refresh-lookups.ts';
import { digestOfRefreshToken, type NewRefreshToken, newRefreshToken } from './refresh-token.ts';
import {
  consumeRefreshToken,
  endSessions,
  hasRefreshToken,
  insertRefreshToken,
  insertSession,
  lockIssuerInService,
  lockOwnSession,
  prolongSession,
  type TokenScope,
} from './session-store.ts';

/** What a user holds who has signed in. Shown once; what is stored opens nothing. */
export interface SignedIn {
  /** The access token, a JWT (RFC 9068). */
  token: string;
  token_type: 'Bearer';
  /** Seconds for which the access token is good. */
  expires_in: number;
  refresh_token: string;
  user: { id: string; email: string | null };
  session_id: string;
}

export interface NewSession {
  issuer: IssuerRecord;
  settings: LoginSettings;
  user: UserRow;
  /** How the user has shown who it is (RFC 8176). */
  amr: readonly string[];
  /** Of the request, as events hold them. */
  ip: string | null;
  userAgent: string | null;
  nowMs: number;
  record: (event: NewEvent) => Promise<void>;
}

interface Dependencies {
  settings: Pick<Settings, 'publicUrl'>;
  signingKeys: Pick<SigningKeys, 'sign' | 'jwks'>;
  secrets: InstallationSecrets;
  keys: KeyDirectory;
  lookupPool: pg.Pool;
  database: Database;
  accountSlots: AccountSlots;
  nowMs: () => number;
}

/** A refresh token that this installation knows, and whose it is. */
interface KnownToken {
  digest: Buffer;
  row: RefreshTokenRow;
  scope: TokenScope;
  issuer: IssuerRecord;
}

/**
 * Begins, carries on and ends the sessions of users, and makes their tokens. Whatever a user signs in by, its session is
 * one of these.
 */
export class Sessions {
  readonly #deps: Dependencies;
  readonly #lookups: RefreshLookups;

  constructor(deps: Dependencies) {
    this.#deps = deps;
    this.#lookups = new RefreshLookups({ pool: deps.lookupPool, nowMs: deps.nowMs });
  }

  /**
   * Begins a session of the built-in client, in the transaction in which the user has shown who it is.
   *
   * @throws invalid_token where the user is suspended or gone by now; issuer_suspended, account_suspended (403)
   */
  async begin(tx: Transaction, session: NewSession): Promise<SignedIn> {
    const { issuer, settings, user, amr, nowMs, record } = session;
    const now = new Date(nowMs);
    const sessionId = newId(idPrefixes.session);
    const scope = { accountId: issuer.account.id, issuerId: issuer.id, sessionId };
    const expiresAt = new Date(nowMs + settings.refresh_token_seconds * 1000);
    const refreshToken = newRefreshToken(this.#deps.secrets);
    const row = {
      id: sessionId,
      account_id: scope.accountId,
      issuer_id: scope.issuerId,
      user_id: user.id,
      client_id: builtInClientId,
      amr: [...amr],
      auth_time: now,
      scopes: [],
      ip: session.ip,
      user_agent: session.userAgent,
      expires_at: expiresAt,
    };
    const begun = await insertSession(tx, row, refreshToken);
    if (begun === null) throw invalidToken();
    requireInService({ status: begun.status, account: { ...issuer.account, status: begun.account_status } });
    await record({
      type: 'session.created',
      subject: { type: 'session', id: sessionId },
      environment: issuer.environment,
      issuerId: issuer.id,
      data: { user_id: user.id, client_id: builtInClientId, amr: [...amr] },
    });
    return this.#signedIn(
      tx,
      { scope, issuer, settings, user, amr, authTime: now, now, expiresAt },
      refreshToken,
    );
  }

  /**
   * Uses a refresh token up and gives out the next one. A token that was used before ends its session, and with it the
   * token that the first use has yielded: one of the two who have shown it is not the user (RFC 9700 §4.14.2).
   *
   * @param issuerId of the path; null for whichever issuer the token is of
   * @param isOf told whose the token is, also where it is refused then
   * @throws invalid_token (401); issuer_suspended, account_suspended (403) and rate_limited (429), which leave the token
   *   as it is; unavailable (503), which leaves it so where it has a Retry-After
   */
  async refresh(
    token: string,
    issuerId: string | null,
    info: RequestInfo,
    isOf: (issuer: IssuerRecord) => void,
  ): Promise<SignedIn> {
    const known = await this.#find(token, issuerId, info);
    isOf(known.issuer);
    requireInService(known.issuer);
    requireAlive(known.row, new Date(this.#deps.nowMs()));
    // So that nobody waits for a key with a transaction open.
    await this.#deps.signingKeys.jwks(known.issuer.id, 'row');
    const made: { signedIn: SignedIn | null } = { signedIn: null };
    try {
      await this.#inAccount(known.scope, async (tx) => {
        made.signedIn = null;
        made.signedIn = await this.#redeem(tx, known, info);
      });
    } catch (error) {
      if (!(error instanceof CommitOutcomeUnknownError) || made.signedIn === null) throw error;
      await this.#requireStored(known.scope, made.signedIn, error);
    }
    if (made.signedIn === null) throw invalidToken();
    return made.signedIn;
  }

  /** Ends the session of a token. `actor` is who asks for it. Answers whether there was one to end. */
  async end(
    scope: TokenScope,
    issuer: Pick<IssuerRecord, 'environment'>,
    reason: EndReason,
    author: { actor: Actor; requestId: string },
  ): Promise<boolean> {
    const now = new Date(this.#deps.nowMs());
    return this.#inAccount(scope, async (tx) => {
      const recordAll = (events: readonly NewEvent[]) =>
        insertEvents(tx, { accountId: scope.accountId, ...author }, events);
      const ended = await endSessions(tx, { ...scope, environment: issuer.environment }, reason, {
        now,
        recordAll,
      });
      return ended > 0;
    });
  }

  /**
   * Ends the session of a refresh token, used or not, for the user who signs out. Answers whose it was.
   *
   * @throws invalid_token where there is no session of it
   */
  async endByRefreshToken(token: string, issuerId: string | null, info: RequestInfo): Promise<IssuerRecord> {
    const { scope, issuer, row } = await this.#find(token, issuerId, info);
    if (isOver(row, this.#deps.nowMs())) throw invalidToken();
    const session = await this.#inAccount(scope, (tx) => lockOwnSession(tx, scope));
    if (session === null || session.client_id !== builtInClientId) throw invalidToken();
    const author = { actor: actorOfUser(session.user_id, info), requestId: info.id };
    if (!(await this.end(scope, issuer, 'logout', author))) throw invalidToken();
    return issuer;
  }

  /** @throws invalid_token for what this installation has not made or no longer knows, and for one of another issuer */
  async #find(token: string, issuerId: string | null, { ip }: RequestInfo): Promise<KnownToken> {
    const { secrets, keys } = this.#deps;
    const digest = digestOfRefreshToken(token, secrets);
    if (digest === null) throw invalidToken();
    const row = await this.#lookups.find(digest, ip);
    if (row === null || (issuerId !== null && row.issuer_id !== issuerId)) throw invalidToken();
    const issuer = await keys.findIssuer(row.issuer_id, 'row');
    if (issuer === null) throw invalidToken();
    return {
      digest,
      row,
      scope: { accountId: row.account_id, issuerId: row.issuer_id, sessionId: row.session_id },
      issuer,
    };
  }

  /** null where the token is refused; what a reuse has ended is then to be committed all the same. */
  async #redeem(
    tx: Transaction,
    { digest, scope, issuer }: KnownToken,
    info: RequestInfo,
  ): Promise<SignedIn | null> {
    const now = new Date(this.#deps.nowMs());
    const session = await lockOwnSession(tx, scope);
    if (session === null || session.client_id !== builtInClientId) return null;
    if (session.ended_at !== null || session.expires_at <= now || session.user_status !== 'active')
      return null;
    const outcome = await consumeRefreshToken(tx, scope, digest, now);
    if (outcome === 'reused') await this.#endFamily(tx, scope, issuer, { info, now });
    if (outcome !== 'used') return null;
    const settings = await findLoginSettings(tx, issuer);
    const expiresAt = new Date(now.getTime() + settings.refresh_token_seconds * 1000);
    if (!(await prolongSession(tx, scope, { now, expiresAt }))) throw tooManyRefreshes(session, now);
    const user = { id: session.user_id, username_type: session.username_type, username: session.username };
    const { amr, auth_time: authTime, scopes } = session;
    return this.#giveOut(tx, { scope, issuer, settings, user, amr, authTime, scopes, now, expiresAt });
  }

  /**
   * After a commit whose answer was lost: whoever is told to repeat a refresh that has been carried out would be taken for
   * a thief.
   *
   * @throws what was lost, where nothing has been committed; unavailable without Retry-After where nobody knows
   */
  async #requireStored(scope: TokenScope, { refresh_token: token }: SignedIn, lost: Error): Promise<void> {
    const { accountSlots, database, secrets } = this.#deps;
    const { accountId } = scope;
    const digest = digestOfRefreshToken(token, secrets)!;
    const ask = () =>
      database.withAccount(accountId, (tx) => hasRefreshToken(tx, scope, digest), {
        statementTimeoutMs: timeoutOfAskingMs,
      });
    const isStored = await findOutCommit(() => accountSlots.run(accountId, ask));
    if (isStored === null)
      throw new AppError('unavailable', {
        detail:
          'Whether the refresh token has been used is not known. Have the user sign in again where it is refused.',
        cause: lost,
      });
    if (!isStored) throw lost;
  }

  /** Who has shown the token nobody knows: the user or a thief. */
  async #endFamily(
    tx: Transaction,
    scope: TokenScope,
    issuer: IssuerRecord,
    { info, now }: { info: RequestInfo; now: Date },
  ): Promise<void> {
    const actor = actorOfSystem('refresh-reuse', info);
    const recordAll = (events: readonly NewEvent[]) =>
      insertEvents(tx, { accountId: scope.accountId, actor, requestId: info.id }, events);
    await endSessions(tx, { ...scope, environment: issuer.environment }, 'refresh_reuse', { now, recordAll });
  }

  async #giveOut(tx: Transaction, grant: Grant): Promise<SignedIn> {
    const { scope, issuer, now, expiresAt } = grant;
    const inService = await lockIssuerInService(tx, scope);
    if (inService === null) throw invalidToken();
    const { status, account_status: ofAccount } = inService;
    requireInService({ status, account: { ...issuer.account, status: ofAccount } });
    const refreshToken = newRefreshToken(this.#deps.secrets);
    await insertRefreshToken(tx, scope, refreshToken, { now, expiresAt });
    return this.#signedIn(tx, grant, refreshToken);
  }

  async #signedIn(tx: Transaction, grant: Grant, refreshToken: NewRefreshToken): Promise<SignedIn> {
    const { scope, issuer, settings, user, now } = grant;
    const { signingKeys, settings: installation } = this.#deps;
    const url = issuerUrl(installation, issuer.id);
    const claims = accessTokenClaims({
      issuerUrl: url,
      audience: settings.audience ?? url,
      userId: user.id,
      sessionId: scope.sessionId,
      clientId: builtInClientId,
      scopes: grant.scopes ?? [],
      amr: grant.amr,
      authTime: grant.authTime,
      environment: issuer.environment,
      organizations: await organizationsOf(tx, { ...scope, userId: user.id }),
      nowMs: now.getTime(),
      lifetimeSeconds: settings.access_token_seconds,
    });
    return {
      token: await signingKeys.sign(issuer, claims, accessTokenType),
      token_type: 'Bearer',
      expires_in: settings.access_token_seconds,
      refresh_token: refreshToken.token,
      user: { id: user.id, email: emailOf(user) },
      session_id: scope.sessionId,
    };
  }

  /** What the rows hang under may go meanwhile: then there is no session any more. */
  async #inAccount<T>({ accountId }: TokenScope, work: (tx: Transaction) => Promise<T>): Promise<T> {
    const { accountSlots, database } = this.#deps;
    try {
      return await accountSlots.run(accountId, () => carryOut(database, accountId, work));
    } catch (error) {
      throw error instanceof AppError && error.code === 'not_found' ? invalidToken(error) : error;
    }
  }
}

/**
 * Refuses what no transaction is needed to refuse. A used token of a session that goes on is none of that: it ends it.
 *
 * @throws invalid_token, rate_limited
 */
function requireAlive(row: RefreshTokenRow, now: Date): void {
  if (row.session_ended_at !== null || row.session_expires_at <= now) throw invalidToken();
  if (row.used_at !== null) return;
  if (row.expires_at <= now) throw invalidToken();
  if (hasSpentRefreshes(row, now)) throw tooManyRefreshes(row, now);
}

interface Grant {
  scope: TokenScope;
  issuer: IssuerRecord;
  settings: LoginSettings;
  user: Pick<UserRow, 'id' | 'username_type' | 'username'>;
  amr: readonly string[];
  authTime: Date;
  scopes?: readonly string[];
  now: Date;
  expiresAt: Date;
}
