import { type Adapter, errors, type RecordPayload } from 'oidc-provider';
import { idPrefixes, newId } from '../ids/ids.ts';
import type { Transaction } from '../postgres/database.ts';
import { isFirstParty } from './client-metadata.ts';
import { modelsOfSessions, RecordCodec } from './record-codec.ts';
import {
  changeRecord,
  consumeRecord,
  deleteRecord,
  findRecord,
  isUsedAt,
  lockRecord,
  prolongRecord,
  putRecord,
  putRecordOnce,
  type RecordName,
  type RecordValues,
  settledRecord,
} from './record-store.ts';
import { sessionOfUsed, visit, visitOf } from './record-visits.ts';
import { addToRedemption, beginRedemption } from './redemption.ts';
import type { IssuerRuntime } from './runtime.ts';
import { beginSession } from './runtime-sessions.ts';
import { hasRedirectUri } from './still-allowed.ts';

/** It is begun with within a minute, which the library sees to; its row says until when there may be an answer to it. */
const pushedModel = 'PushedAuthorizationRequest';

/**
 * Keeps one model of an issuer in Postgres. What the library takes for its own bookkeeping is checked here against what
 * decides: the sessions and users of the issuer, asked each time.
 */
export class RecordAdapter implements Adapter {
  readonly #codec: RecordCodec;
  readonly #runtime: IssuerRuntime;

  constructor(model: string, runtime: IssuerRuntime) {
    this.#codec = new RecordCodec(model, runtime);
    this.#runtime = runtime;
  }

  async find(id: string): Promise<RecordPayload | undefined> {
    return this.#find({ digests: this.#codec.digestsOf(id) }, id);
  }

  async findByUid(uid: string): Promise<RecordPayload | undefined> {
    return this.#find({ loginUid: uid });
  }

  async findByUserCode(userCode: string): Promise<RecordPayload | undefined> {
    return this.#find({ userCodes: this.#codec.digestsOf(userCode, 'user-code') });
  }

  async upsert(id: string, payload: RecordPayload, expiresInSeconds = 0): Promise<void> {
    const { model, scope } = this.#codec;
    const before = visitOf(model, id)?.state;
    // Taken away while this request went on: what it remembers of it must not bring it back.
    if (before === 'gone') return;
    const now = this.#runtime.now();
    const expiresAt = new Date(now.getTime() + expiresInSeconds * 1000);
    const stored = { ...payload, ...this.#runtime.context.organizationToKeep(model) };
    // Each device has a session of its own: what ends it ends no other's, and not the browser's that it was connected in.
    if (model === 'DeviceCode' && payload.accountId !== undefined) stored.sid = newId(idPrefixes.session);
    let values = this.#codec.valuesOf(id, stored, expiresAt);
    if (model === 'RefreshToken') {
      const grantDigests = this.#codec.digestsOf(payload.grantId ?? '', 'Grant');
      addToRedemption({ scope, values, grantDigests });
      return;
    }
    const isStored = await this.#runtime.inAccount(async (tx) => {
      if (modelsOfSessions.has(model) && typeof payload.sid === 'string' && payload.accountId !== undefined) {
        if (!(await beginSession(tx, this.#runtime, stored)))
          throw new errors.LoginRequired('the sign-in has ended meanwhile');
      } else if (values.user_id !== null && !(await this.#runtime.lockActiveUser(tx, values.user_id))) {
        if (model !== 'Interaction') return false;
        values = this.#refused(id, stored, expiresAt);
      }
      if (model === 'DeviceCode') await this.#requireUnanswered(tx, id);
      if (model === 'Interaction') await this.#prolongPushed(tx, payload.parJti, expiresAt);
      if (before === 'found') return changeRecord(tx, scope, this.#codec.digestsOf(id), values);
      await putRecord(tx, scope, values, now);
      return true;
    });
    visit(model, id, { state: isStored ? 'found' : 'gone', sessionId: values.session_id });
  }

  /** As `upsert`, of what is to be written once alone. Answers whether this was the first time. */
  async insertOnce(id: string, payload: RecordPayload, expiresAt: Date): Promise<boolean> {
    const values = this.#codec.valuesOf(id, payload, expiresAt);
    return this.#runtime.inAccount((tx) => putRecordOnce(tx, this.#codec.scope, values, this.#runtime.now()));
  }

  /** @throws the library's error where a pushed request has been used. Of codes and refresh tokens `redeem` decides */
  async consume(id: string): Promise<void> {
    const { model, scope } = this.#codec;
    const digests = this.#codec.digestsOf(id);
    if (modelsOfSessions.has(model)) {
      const sessionId = visitOf(model, id)?.sessionId ?? null;
      beginRedemption({ runtime: this.#runtime, scope, digests, sessionId });
      return;
    }
    const now = this.#runtime.now();
    const outcome = await this.#runtime.inAccountOnce(
      (tx) => consumeRecord(tx, scope, digests, now),
      async (tx, out) => out !== 'used' || isUsedAt(await settledRecord(tx, scope, digests), now),
    );
    if (outcome !== 'used')
      throw new errors.InvalidRequestUri('request_uri is invalid, expired, or was already used');
  }

  /** What has been used up stays until its time is over: it is how a second showing is known for what it is. */
  async destroy(id: string): Promise<void> {
    const { model, scope } = this.#codec;
    if (modelsOfSessions.has(model)) return;
    await this.#runtime.inAccount((tx) => deleteRecord(tx, scope, this.#codec.digestsOf(id)));
    visit(model, id, { state: 'gone', sessionId: null });
  }

  /**
   * The library calls this where a code or a token was shown that has been used: one of the two who have shown it is not
   * the client. It does so for each model at once; the session takes all of them along, in one transaction.
   */
  async revokeByGrantId(grantId: string): Promise<void> {
    if (this.#codec.model !== 'AccessToken') return;
    const sessionId = sessionOfUsed();
    if (sessionId === null) return;
    const scope = { ...this.#codec.scope, model: 'Grant' };
    await this.#runtime.inAccount(async (tx) => {
      await this.#runtime.endSession(tx, { sessionId }, this.#runtime.context.reuseReason());
      await deleteRecord(tx, scope, this.#codec.digestsOf(grantId, 'Grant'));
    });
  }

  /** An interaction that somebody has answered who is not there any more: its client is told so. */
  #refused(id: string, payload: RecordPayload, expiresAt: Date): RecordValues {
    const result = { error: 'access_denied', error_description: 'the user is not active' };
    return { ...this.#codec.valuesOf(id, { ...payload, result }, expiresAt), user_id: null };
  }

  /** Of two who connect a device at once, or refuse it, the first has answered. @throws the library's error for the other */
  async #requireUnanswered(tx: Transaction, id: string): Promise<void> {
    const row = await lockRecord(tx, this.#codec.scope, this.#codec.digestsOf(id));
    if (row === undefined) return;
    const { accountId, error } = this.#codec.open(row);
    if (accountId !== undefined || error !== undefined)
      throw new errors.SessionNotFound('the code has been used already');
  }

  /** What a client has pushed is there for as long as a user answers to it, so that it is used once also by the slowest. */
  async #prolongPushed(tx: Transaction, parJti: unknown, expiresAt: Date): Promise<void> {
    if (typeof parJti !== 'string') return;
    const scope = { ...this.#codec.scope, model: pushedModel };
    await prolongRecord(tx, scope, this.#codec.digestsOf(parJti, pushedModel), expiresAt);
  }

  async #find(name: RecordName, id?: string): Promise<RecordPayload | undefined> {
    const { model, scope } = this.#codec;
    const row = await this.#runtime.look((pool) => findRecord(pool, scope, name));
    if (row === undefined) {
      if (id !== undefined) visit(model, id, { state: 'unknown', sessionId: null });
      return undefined;
    }
    const payload = this.#codec.open(row);
    if (payload.unasked === true && this.#isOfStranger()) return undefined;
    if (model === 'AuthorizationCode' && payload.consumed === undefined && this.#isAstray(payload))
      return undefined;
    if (id !== undefined)
      visit(model, id, {
        state: 'found',
        sessionId: row.session_id,
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
}
