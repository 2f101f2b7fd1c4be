import type pg from 'pg';
import type { RequestInfo } from '../edge/request-info.ts';
import { actorOfSystem, actorOfUser } from '../events/actor.ts';
import type { Actor, NewEvent } from '../events/event.ts';
import { insertEvents } from '../events/event-store.ts';
import { carryOut } from '../http/carry-out.ts';
import { issuerUrl } from '../issuers/issuer-url.ts';
import type { AccountSlots } from '../limits/account-slots.ts';
import type { LoginSettings } from '../login-settings/login-settings.ts';
import { CommitOutcomeUnknownError, type Database, type Transaction } from '../postgres/database.ts';
import type { EndReason } from '../postgres/schema.ts';
import type { InstallationSecrets } from '../secrets/installation-secrets.ts';
import { findOutCommit, timeoutOfAskingMs } from '../sessions/lost-commit.ts';
import { endSessions } from '../sessions/session-store.ts';
import type { Settings } from '../settings.ts';
import type { SigningKeys } from '../signing-keys/signing-keys.ts';
import type { IssuerRecord } from '../verification/records.ts';
import type { RuntimeSettings } from './issuer-settings.ts';
import { asLibraryError, outcomeUnknown } from './library-errors.ts';
import type { OidcSettings } from './oidc-settings.ts';
import { RequestContext } from './request-context.ts';

/** What the runtimes of all issuers share. */
export interface RuntimeDependencies {
  settings: Pick<Settings, 'publicUrl'>;
  secrets: InstallationSecrets;
  signingKeys: SigningKeys;
  database: Database;
  lookupPool: pg.Pool;
  /** Of the transactions of users. */
  accountSlots: AccountSlots;
  /** Of the look-ups' connections: no account gets all of them. */
  lookupSlots: AccountSlots;
  now: () => Date;
}

/** Which sessions end: one, or those of a browser login. */
type Ended = { sessionId: string } | { loginUid: string };

/** One issuer as its flows see it: its settings, and the way to its rows. */
export class IssuerRuntime {
  readonly issuer: IssuerRecord;
  readonly name: string;
  /** The `iss` of its tokens. */
  readonly url: string;
  readonly login: LoginSettings;
  readonly oidc: OidcSettings;
  readonly secrets: InstallationSecrets;
  readonly signingKeys: SigningKeys;
  /** What is known of the request that is under way. */
  readonly context = new RequestContext();
  readonly #deps: RuntimeDependencies;

  constructor(
    deps: RuntimeDependencies,
    { issuer, name, login, oidc }: { issuer: IssuerRecord } & RuntimeSettings,
  ) {
    this.#deps = deps;
    this.issuer = issuer;
    this.name = name;
    this.login = login;
    this.oidc = oidc;
    this.url = issuerUrl(deps.settings, issuer.id);
    this.secrets = deps.secrets;
    this.signingKeys = deps.signingKeys;
  }

  /** `aud` of tokens that were asked for no other. */
  get audience(): string {
    return this.login.audience ?? this.url;
  }

  now(): Date {
    return this.#deps.now();
  }

  /** Looks something up, outside of any transaction. @throws errors of the library, as `inAccount` does */
  async look<T>(work: (pool: pg.Pool) => Promise<T>): Promise<T> {
    const { lookupSlots, lookupPool } = this.#deps;
    try {
      return await lookupSlots.run(this.issuer.account.id, () => work(lookupPool));
    } catch (error) {
      throw asLibraryError(error);
    }
  }

  /** One transaction of the issuer's account. @throws errors of the library: `temporarily_unavailable` (503) for ours */
  async inAccount<T>(work: (tx: Transaction) => Promise<T>): Promise<T> {
    const { accountSlots, database } = this.#deps;
    const { id } = this.issuer.account;
    try {
      return await accountSlots.run(id, () => carryOut(database, id, work));
    } catch (error) {
      throw asLibraryError(error);
    }
  }

  /**
   * As `inAccount`, for what looks like theft when it is asked for a second time. Where the answer of its commit is lost,
   * Postgres is asked what became of it.
   *
   * @param isDone whether what `work` has answered is written; has to wait for a transaction that is still at it
   * @throws errors of the library: without Retry-After where nobody knows
   */
  async inAccountOnce<T>(
    work: (tx: Transaction) => Promise<T>,
    isDone: (tx: Transaction, made: T) => Promise<boolean>,
  ): Promise<T> {
    const { accountSlots, database } = this.#deps;
    const { id } = this.issuer.account;
    let made: { value: T } | null = null;
    const keeping = async (tx: Transaction) => {
      made = null;
      made = { value: await work(tx) };
      return made;
    };
    try {
      return (await accountSlots.run(id, () => carryOut(database, id, keeping))).value;
    } catch (error) {
      const lost = made as { value: T } | null;
      if (!(error instanceof CommitOutcomeUnknownError) || lost === null) throw asLibraryError(error);
      const ask = () =>
        accountSlots.run(id, () =>
          database.withAccount(id, (tx) => isDone(tx, lost.value), { statementTimeoutMs: timeoutOfAskingMs }),
        );
      const isCommitted = await findOutCommit(ask);
      if (isCommitted === null) throw outcomeUnknown();
      if (!isCommitted) throw asLibraryError(error);
      return lost.value;
    }
  }

  /** Makes sure that the user is active and stays so until the transaction ends. */
  async lockActiveUser(tx: Transaction, userId: string): Promise<boolean> {
    const row = await tx
      .selectFrom('users')
      .select('id')
      .where('account_id', '=', this.issuer.account.id)
      .where('issuer_id', '=', this.issuer.id)
      .where('id', '=', userId)
      .where('status', '=', 'active')
      .forShare()
      .executeTakeFirst();
    return row !== undefined;
  }

  /** Ends sessions of clients, each with its event. Answers how many there were to end. */
  async endSession(tx: Transaction, which: Ended, reason: EndReason, userId?: string): Promise<number> {
    const scope = {
      accountId: this.issuer.account.id,
      issuerId: this.issuer.id,
      environment: this.issuer.environment,
    };
    const info = this.context.info();
    const actor = userId === undefined ? actorOfSystem(systemActor[reason], info) : actorOfUser(userId, info);
    return endSessions(tx, { ...scope, ...which }, reason, {
      now: this.now(),
      recordAll: (events) => this.recordAll(tx, actor, info, events),
    });
  }

  async recordAll(
    tx: Transaction,
    actor: Actor,
    info: RequestInfo,
    events: readonly NewEvent[],
  ): Promise<void> {
    await insertEvents(tx, { accountId: this.issuer.account.id, actor, requestId: info.id }, events);
  }
}

/** Who has ended a session where nobody knows who asked for it. */
const systemActor: Record<EndReason, string> = {
  logout: 'logout',
  revoked: 'revocation',
  refresh_reuse: 'refresh-reuse',
  code_reuse: 'code-reuse',
  token_revoked: 'token-revocation',
  user_suspended: 'suspension',
  client_deleted: 'client-deletion',
};
