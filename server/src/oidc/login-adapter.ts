import type { ServerResponse } from 'node:http';
import { type Adapter, errors, type RecordPayload } from 'oidc-provider';
import type { Transaction } from '../postgres/database.ts';
import { hasEndedSession } from '../sessions/client-session-store.ts';
import { mergeAuthorizations } from './merge-authorizations.ts';
import { RecordCodec } from './record-codec.ts';
import {
  changeRecord,
  deleteRecord,
  findRecord,
  lockRecord,
  putRecord,
  type RecordName,
} from './record-store.ts';
import { visit, visitOf } from './record-visits.ts';
import type { IssuerRuntime } from './runtime.ts';

const model = 'Session';

/**
 * Keeps the browser logins of an issuer (the library's model `Session`) in Postgres. Windows of one browser change one login
 * at the same time, each for its client: none of them takes away what another has written, nor brings back a login that has
 * ended.
 */
export class LoginAdapter implements Adapter {
  readonly #codec: RecordCodec;
  readonly #runtime: IssuerRuntime;

  constructor(runtime: IssuerRuntime) {
    this.#codec = new RecordCodec(model, runtime);
    this.#runtime = runtime;
  }

  async find(id: string): Promise<RecordPayload | undefined> {
    return this.#find({ digests: this.#codec.digestsOf(id) }, id);
  }

  async findByUid(uid: string): Promise<RecordPayload | undefined> {
    return this.#find({ loginUid: uid });
  }

  /** Logins have no user codes. */
  async findByUserCode(): Promise<undefined> {}

  /** @param id another one than the login was found by, where it gets a new one: then the old one ends, all at once */
  async upsert(id: string, payload: RecordPayload, expiresInSeconds = 0): Promise<void> {
    const uid = payload.uid ?? '';
    const before = visitOf(model, uid);
    if (before?.state === 'gone') return this.#leaveToOthers();
    const { scope } = this.#codec;
    const now = this.#runtime.now();
    const isOfNow = before?.id === id && isAboutAsLong(before.exp, payload.exp, expiresInSeconds);
    const exp = isOfNow ? before.exp : payload.exp;
    const expiresAt = new Date(isOfNow ? before.exp! * 1000 : now.getTime() + expiresInSeconds * 1000);
    const write = async (tx: Transaction) => {
      if (payload.accountId !== undefined) {
        if (!(await this.#runtime.lockActiveUser(tx, payload.accountId))) return 'of nobody';
        // Whoever has ended all sessions of the user meanwhile could not find this login, which was nobody's yet.
        if (before?.userId === undefined && (await this.#hasEnded(tx, payload))) return 'gone';
      }
      if (before?.id === undefined) {
        await putRecord(tx, scope, this.#codec.valuesOf(id, payload, expiresAt), now);
        return 'kept';
      }
      const digests = this.#codec.digestsOf(before.id);
      const row = await lockRecord(tx, scope, digests);
      if (row === undefined) return 'gone';
      const { authorizations: others } = this.#codec.open(row);
      const authorizations = mergeAuthorizations(before.authorizations, payload.authorizations, others);
      const values = this.#codec.valuesOf(
        id,
        { ...payload, exp, authorizations } as RecordPayload,
        expiresAt,
      );
      // Also under another id: whoever ends the login at this moment waits for the row, and finds no other one.
      await changeRecord(tx, scope, digests, values);
      return 'kept';
    };
    const outcome = await this.#runtime.inAccount(write).catch((error: unknown) => {
      visit(model, uid, { ...before, state: 'unsaved', sessionId: null });
      this.#keepCookie();
      throw error;
    });
    const { authorizations } = structuredClone({ authorizations: payload.authorizations });
    const state = outcome === 'kept' ? 'found' : 'gone';
    visit(model, uid, { state, sessionId: null, id, exp, userId: payload.accountId, authorizations });
    if (outcome === 'gone') this.#leaveToOthers();
    // An answer that comes late would take away what another window has been given meanwhile.
    else if (isOfNow && this.#hasCookieAlready()) this.#keepCookie();
  }

  /** Logins are not used up. */
  async consume(): Promise<void> {}

  async destroy(id: string): Promise<void> {
    const session = this.#runtime.context.current?.oidc.session;
    // It gets another id, under which `upsert` comes next.
    if (session !== undefined && session.oldId === id && visitOf(model, session.uid)?.id !== undefined)
      return;
    await this.#runtime.inAccount((tx) => deleteRecord(tx, this.#codec.scope, this.#codec.digestsOf(id)));
    if (session?.id === id) visit(model, session.uid, { state: 'gone', sessionId: null });
  }

  /** They belong to no grant. */
  async revokeByGrantId(): Promise<void> {}

  async #find(name: RecordName, id?: string): Promise<RecordPayload | undefined> {
    const { codec, scope } = { codec: this.#codec, scope: this.#codec.scope };
    const row = await this.#runtime.look((pool) => findRecord(pool, scope, name));
    if (row === undefined) return undefined;
    const payload = codec.open(row);
    // The library changes what it is given.
    const { authorizations } = structuredClone({ authorizations: payload.authorizations });
    if (id !== undefined && payload.uid !== undefined)
      visit(model, payload.uid, {
        state: 'found',
        sessionId: null,
        id,
        exp: payload.exp,
        userId: payload.accountId,
        authorizations,
      });
    return payload;
  }

  /**
   * The login was taken away while this request went on, or goes on under another id: what the request remembers of it must
   * not bring it back, and the browser keeps the cookie that another window was given.
   *
   * @throws the library's error, for a page, where the user has answered on one: its answer would be forgotten, a choice of
   *   an organization for one
   */
  #leaveToOthers(): void {
    const { current } = this.#runtime.context;
    if (current === undefined) return;
    const { session, route } = current.oidc;
    session.touched = false;
    if (!['resume', 'device_resume'].includes(route)) {
      this.#keepCookie();
      return;
    }
    // Nor does it get to the client, whose code may be made already.
    for (const name of ['Set-Cookie', 'Location']) current.res.removeHeader(name);
    const error = new errors.SessionNotFound('the sign-in went on in another window');
    error.allow_redirect = false;
    throw error;
  }

  /** Whether a session that the login has with a client has ended before the login was kept for its user. */
  #hasEnded(tx: Transaction, { authorizations = {} }: RecordPayload): Promise<boolean> {
    const { accountId, issuerId } = this.#codec.scope;
    const sessionIds = Object.values(authorizations).flatMap(({ sid }) => sid ?? []);
    return hasEndedSession(tx, { accountId, issuerId, sessionIds });
  }

  /** Whether the answer would set what the browser has sent: not another id, nor a newer signature. */
  #hasCookieAlready(): boolean {
    const { current } = this.#runtime.context;
    if (current === undefined) return false;
    const name = current.oidc.provider.cookieName('session');
    const sent = new Set((current.req.headers.cookie ?? '').split(';').map((pair) => pair.trim()));
    const set = linesOf(current.res).filter((line) => isOfCookie(line, name));
    return set.length > 0 && set.every((line) => sent.has(line.split(';')[0]!));
  }

  /** Of a login the browser keeps the cookie that it has. */
  #keepCookie(): void {
    const { current } = this.#runtime.context;
    if (current !== undefined) keepFromSetting(current.res, current.oidc.provider.cookieName('session'));
  }
}

/** Whether a login that would be renewed has still almost all of its time. */
function isAboutAsLong(before: number | undefined, after: number | undefined, seconds: number): boolean {
  return before !== undefined && after !== undefined && Math.abs(after - before) < seconds / 50;
}

/** Takes this cookie, and its signature, from those that an answer would set. */
function keepFromSetting(response: ServerResponse, name: string): void {
  const others = linesOf(response).filter((line) => !isOfCookie(line, name));
  if (others.length > 0) response.setHeader('Set-Cookie', others);
  else response.removeHeader('Set-Cookie');
}

function linesOf(response: ServerResponse): string[] {
  return [response.getHeader('Set-Cookie') ?? []].flat().map(String);
}

function isOfCookie(line: string, name: string): boolean {
  return line.startsWith(`${name}=`) || line.startsWith(`${name}.sig=`);
}
