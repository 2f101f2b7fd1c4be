import type { ServerResponse } from 'node:http';
import { type Adapter, errors, type RecordPayload } from 'oidc-provider';
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
    const expiresAt = new Date(now.getTime() + expiresInSeconds * 1000);
    const outcome = await this.#runtime.inAccount(async (tx) => {
      const { accountId } = payload;
      if (accountId !== undefined && !(await this.#runtime.lockActiveUser(tx, accountId))) return 'of nobody';
      if (before?.id === undefined) {
        await putRecord(tx, scope, this.#codec.valuesOf(id, payload, expiresAt), now);
        return 'kept';
      }
      const oldDigests = this.#codec.digestsOf(before.id);
      const row = await (before.id === id ? lockRecord : deleteRecord)(tx, scope, oldDigests);
      if (row === undefined) return 'gone';
      const { authorizations: others } = this.#codec.open(row);
      const authorizations = mergeAuthorizations(before.authorizations, payload.authorizations, others);
      const values = this.#codec.valuesOf(id, { ...payload, authorizations }, expiresAt);
      if (before.id === id) await changeRecord(tx, scope, oldDigests, values);
      else await putRecord(tx, scope, values, now);
      return 'kept';
    });
    const { authorizations } = structuredClone({ authorizations: payload.authorizations });
    const state = outcome === 'kept' ? 'found' : 'gone';
    visit(model, uid, { state, sessionId: null, id, authorizations });
    if (outcome === 'gone') this.#leaveToOthers();
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
      visit(model, payload.uid, { state: 'found', sessionId: null, id, authorizations });
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
    const { session, route, provider } = current.oidc;
    session.touched = false;
    if (!['resume', 'device_resume'].includes(route)) {
      keepFromSetting(current.res, provider.cookieName('session'));
      return;
    }
    current.res.removeHeader('Set-Cookie');
    const error = new errors.SessionNotFound('the sign-in went on in another window');
    error.allow_redirect = false;
    throw error;
  }
}

/** Takes this cookie, and its signature, from those that an answer would set. */
function keepFromSetting(response: ServerResponse, name: string): void {
  const lines = [response.getHeader('Set-Cookie') ?? []].flat().map(String);
  const others = lines.filter((line) => !line.startsWith(`${name}=`) && !line.startsWith(`${name}.sig=`));
  if (others.length > 0) response.setHeader('Set-Cookie', others);
  else response.removeHeader('Set-Cookie');
}
