import { type Adapter, type Context, errors, Provider, type RecordPayload } from 'oidc-provider';
import { isFirstParty } from './client-metadata.ts';
import { newRecordDigest, recordDigests } from './record-digests.ts';
import { openRecord, sealRecord } from './record-seal.ts';
import {
  changeRecord,
  consumeRecord,
  deleteRecord,
  type FoundRecord,
  findRecord,
  isUsedAt,
  putRecord,
  putRecordOnce,
  type RecordName,
  type RecordScope,
  type RecordValues,
  settledRecord,
} from './record-store.ts';
import { addToRedemption, beginRedemption } from './redemption.ts';
import type { IssuerRuntime } from './runtime.ts';
import { beginSession } from './runtime-sessions.ts';
import { hasRedirectUri } from './still-allowed.ts';

/** What belongs to a session of a client, and is worth nothing without it. */
const ofSessions: ReadonlySet<string> = new Set(['AuthorizationCode', 'RefreshToken', 'DeviceCode']);

/**
 * Keeps one model of an issuer in Postgres. What the library takes for its own bookkeeping is checked here against what
 * decides: the sessions and users of the issuer, asked each time.
 */
export class RecordAdapter implements Adapter {
  readonly #model: string;
  readonly #runtime: IssuerRuntime;
  readonly #scope: RecordScope;

  constructor(model: string, runtime: IssuerRuntime) {
    this.#model = model;
    this.#runtime = runtime;
    this.#scope = { accountId: runtime.issuer.account.id, issuerId: runtime.issuer.id, model };
  }

  async find(id: string): Promise<RecordPayload | undefined> {
    return this.#find({ digests: this.#digestsOf(id) }, id);
  }

  async findByUid(uid: string): Promise<RecordPayload | undefined> {
    return this.#find({ loginUid: uid });
  }

  async findByUserCode(userCode: string): Promise<RecordPayload | undefined> {
    return this.#find({ userCodes: this.#digestsOf(userCode, 'user-code') });
  }

  async upsert(id: string, payload: RecordPayload, expiresInSeconds = 0): Promise<void> {
    const before = visitOf(this.#model, id)?.state;
    // Taken away while this request went on: what it remembers of it must not bring it back.
    if (before === 'gone' || (this.#model === 'Session' && isGone(payload.uid))) {
      if (this.#model === 'Session') refuseAnswer(this.#runtime);
      return;
    }
    const now = this.#runtime.now();
    const expiresAt = new Date(now.getTime() + expiresInSeconds * 1000);
    const { context } = this.#runtime;
    const stored = { ...payload, ...context.organizationToKeep(this.#model) };
    const values = this.#valuesOf(id, stored, expiresAt);
    if (this.#model === 'RefreshToken') {
      const grantDigests = this.#digestsOf(payload.grantId ?? '', 'Grant');
      addToRedemption({ scope: this.#scope, values, grantDigests });
      return;
    }
    const isStored = await this.#runtime.inAccount(async (tx) => {
      if (ofSessions.has(this.#model) && typeof payload.sid === 'string' && payload.accountId !== undefined) {
        if (!(await beginSession(tx, this.#runtime, stored)))
          throw new errors.InvalidGrant('the session has ended');
      } else if (values.user_id !== null && !(await this.#runtime.lockActiveUser(tx, values.user_id)))
        return false;
      if (before === 'found') return changeRecord(tx, this.#scope, this.#digestsOf(id), values);
      await putRecord(tx, this.#scope, values, now);
      return true;
    });
    visit(this.#model, id, { state: isStored ? 'found' : 'gone', sessionId: values.session_id });
  }

  /** As `upsert`, of what is to be written once alone. Answers whether this was the first time. */
  async insertOnce(id: string, payload: RecordPayload, expiresAt: Date): Promise<boolean> {
    const values = this.#valuesOf(id, payload, expiresAt);
    return this.#runtime.inAccount((tx) => putRecordOnce(tx, this.#scope, values, this.#runtime.now()));
  }

  /** @throws the library's error where a pushed request has been used. Of codes and refresh tokens `redeem` decides */
  async consume(id: string): Promise<void> {
    const digests = this.#digestsOf(id);
    if (ofSessions.has(this.#model)) {
      const sessionId = visitOf(this.#model, id)?.sessionId ?? null;
      beginRedemption({ runtime: this.#runtime, scope: this.#scope, digests, sessionId });
      return;
    }
    const now = this.#runtime.now();
    const outcome = await this.#runtime.inAccountOnce(
      (tx) => consumeRecord(tx, this.#scope, digests, now),
      async (tx, out) => out !== 'used' || isUsedAt(await settledRecord(tx, this.#scope, digests), now),
    );
    if (outcome !== 'used')
      throw new errors.InvalidRequestUri('request_uri is invalid, expired, or was already used');
  }

  /** What has been used up stays until its time is over: it is how a second showing is known for what it is. */
  async destroy(id: string): Promise<void> {
    if (ofSessions.has(this.#model)) return;
    const before = visitOf(this.#model, id);
    const wasThere = await this.#runtime.inAccount((tx) =>
      deleteRecord(tx, this.#scope, this.#digestsOf(id)),
    );
    visit(this.#model, id, { state: 'gone', sessionId: null });
    // A browser login gets another id now and then, and is then destroyed under the old one first.
    if (this.#model === 'Session' && before?.state === 'found' && !wasThere && before.loginUid !== undefined)
      markGone(before.loginUid);
  }

  /**
   * The library calls this where a code or a token was shown that has been used: one of the two who have shown it is not
   * the client. It does so for each model at once; the session takes all of them along, in one transaction.
   */
  async revokeByGrantId(grantId: string): Promise<void> {
    if (this.#model !== 'AccessToken') return;
    const { sessionId } = [...(visitsOfRequest()?.values() ?? [])].find(({ isUsed }) => isUsed) ?? {};
    if (sessionId == null) return;
    const { context } = this.#runtime;
    const grant = { scope: { ...this.#scope, model: 'Grant' }, digests: this.#digestsOf(grantId, 'Grant') };
    await this.#runtime.inAccount(async (tx) => {
      await this.#runtime.endSession(tx, { sessionId }, context.reuseReason());
      await deleteRecord(tx, grant.scope, grant.digests);
    });
  }

  async #find(name: RecordName, id?: string): Promise<RecordPayload | undefined> {
    const { runtime, place } = { runtime: this.#runtime, place: this.#scope };
    const row = await runtime.look((pool) => findRecord(pool, place, name));
    if (row === undefined) {
      if (id !== undefined && this.#model !== 'Session')
        visit(this.#model, id, { state: 'unknown', sessionId: null });
      return undefined;
    }
    const payload = this.#open(row);
    if (payload.unasked === true && this.#isOfStranger()) return undefined;
    if (this.#model === 'AuthorizationCode' && payload.consumed === undefined && this.#isAstray(payload))
      return undefined;
    if (id !== undefined)
      visit(this.#model, id, {
        state: 'found',
        sessionId: row.session_id,
        loginUid: payload.uid,
        isUsed: row.consumed_at !== null,
      });
    return payload;
  }

  /** Whether the client of this request is one whose users have to be asked. */
  #isOfStranger(): boolean {
    const client = this.#runtime.context.current?.oidc.client;
    return client !== undefined && !isFirstParty(client);
  }

  /** Whether a code was sent where its client has nobody sent any more. */
  #isAstray({ redirectUri }: RecordPayload): boolean {
    const client = this.#runtime.context.current?.oidc.client;
    return client !== undefined && !hasRedirectUri(client, redirectUri);
  }

  #open(row: FoundRecord): RecordPayload {
    const place = { issuerId: this.#scope.issuerId, model: this.#model, digest: row.digest };
    const payload = openRecord(this.#runtime.secrets, place, row.secret_generation, row.sealed);
    if (row.consumed_at !== null) payload.consumed = epochOf(row.consumed_at);
    // A grant lasts longer than was thought when it was written.
    if (this.#model === 'Grant') payload.exp = epochOf(row.expires_at);
    return payload;
  }

  #valuesOf(id: string, payload: RecordPayload, expiresAt: Date): RecordValues {
    const { secrets } = this.#runtime;
    const { issuerId } = this.#scope;
    const { digest, generation } = newRecordDigest(secrets, this.#scope, id);
    const place = { issuerId, model: this.#model, digest };
    return {
      digest,
      secret_generation: generation,
      sealed: sealRecord(secrets, place, generation, payload),
      user_code:
        payload.userCode === undefined
          ? null
          : newRecordDigest(secrets, { issuerId, model: 'user-code' }, payload.userCode).digest,
      login_uid: this.#model === 'Session' ? (payload.uid ?? null) : null,
      grant_id: payload.grantId ?? null,
      session_id:
        ofSessions.has(this.#model) && payload.accountId !== undefined ? (payload.sid ?? null) : null,
      user_id: payload.accountId ?? null,
      expires_at: expiresAt,
    };
  }

  #digestsOf(id: string, model = this.#model): Buffer[] {
    return recordDigests(this.#runtime.secrets, { issuerId: this.#scope.issuerId, model }, id);
  }
}

/**
 * Ends a request that goes on with what the user has answered on a page, once another window has gone on with the login in
 * its place: its answer would be forgotten, a choice of an organization for one. The browser keeps the other's cookie.
 *
 * @throws the library's error, for a page
 */
function refuseAnswer({ context: { current } }: IssuerRuntime): void {
  if (current === undefined || !['resume', 'device_resume'].includes(current.oidc.route)) return;
  current.oidc.session.touched = false;
  current.res.removeHeader('Set-Cookie');
  const error = new errors.SessionNotFound('the sign-in went on in another window');
  error.allow_redirect = false;
  throw error;
}

/** What a request has met so far of a record. */
interface Visit {
  state: 'found' | 'gone' | 'unknown';
  sessionId: string | null;
  loginUid?: string | undefined;
  isUsed?: boolean;
}

const visits = new WeakMap<Context, Map<string, Visit>>();

function visitsOfRequest(): Map<string, Visit> | undefined {
  const context = Provider.ctx;
  if (context === undefined) return undefined;
  let map = visits.get(context);
  if (map === undefined) {
    map = new Map();
    visits.set(context, map);
  }
  return map;
}

function visitOf(model: string, id: string): Visit | undefined {
  return visitsOfRequest()?.get(`${model} ${id}`);
}

function visit(model: string, id: string, what: Visit): void {
  visitsOfRequest()?.set(`${model} ${id}`, what);
}

function markGone(loginUid: string): void {
  visit('login', loginUid, { state: 'gone', sessionId: null });
}

function isGone(loginUid: string | undefined): boolean {
  return loginUid !== undefined && visitOf('login', loginUid)?.state === 'gone';
}

function epochOf(moment: Date): number {
  return Math.floor(moment.getTime() / 1000);
}
