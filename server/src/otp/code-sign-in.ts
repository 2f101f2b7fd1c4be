import type pg from 'pg';
import { AppError } from '../errors.ts';
import type { NewEvent } from '../events/event.ts';
import { insertEvents } from '../events/event-store.ts';
import { carryOut } from '../http/carry-out.ts';
import type { AccountSlots } from '../limits/account-slots.ts';
import { type LoginSettings, resolveLoginSettings } from '../login-settings/login-settings.ts';
import type { Database, Transaction } from '../postgres/database.ts';
import type { InstallationSecrets } from '../secrets/installation-secrets.ts';
import { signUp, type UserRow } from '../users/user-store.ts';
import type { IssuerRecord } from '../verification/records.ts';
import { mayJoin } from './may-join.ts';
import { isSameMac, macOfCode, macOfNoCode } from './otp-code.ts';
import type { OtpDigests } from './otp-digests.ts';
import { addFailure } from './otp-failure-store.ts';
import { type OtpOrder, organizationOf } from './otp-order.ts';
import { OtpRefusal } from './otp-refusal.ts';
import type { VerifyAsked } from './otp-schema.ts';
import {
  type Guess,
  type IssuerScope,
  insertDevice,
  redeemCode,
  secondsToNextGuess,
  takeGuess,
} from './otp-store.ts';

interface Dependencies {
  pool: pg.Pool;
  database: Database;
  accountSlots: AccountSlots;
  secrets: InstallationSecrets;
  digests: OtpDigests;
  now: () => Date;
}

const prepared = { isPreparing: true } as const;

type Counted = Extract<Guess, { isCounted: true }>;

/** A guess on its way, with what is known of it. */
interface Attempt<Result> {
  readonly order: OtpOrder<VerifyAsked>;
  readonly issuer: IssuerRecord;
  readonly begin: (tx: Transaction, signingIn: CodeUser) => Promise<Begun<Result>>;
  readonly scope: IssuerScope;
  readonly address: Buffer;
  readonly ip: Buffer;
  readonly devices: readonly Buffer[];
  readonly now: Date;
}

/** Somebody who has just shown the code that was mailed. */
export interface CodeUser {
  readonly user: UserRow;
  readonly settings: LoginSettings;
  /** Puts an event on record, in the same transaction. */
  readonly record: (event: NewEvent) => Promise<void>;
  readonly nowMs: number;
}

/** What a sign-in begins. */
export interface Begun<Result> {
  readonly result: Result;
  /** The session that it has begun; null where that comes later. */
  readonly sessionId: string | null;
}

export interface CodeSignedIn<Result> {
  readonly result: Result;
  /** To be shown by the device the next time. */
  readonly deviceToken: string;
}

/**
 * Signs users in by the code that was mailed to them, whoever asks for it. The guess is counted first, by a statement of
 * its own, and compared then. Whatever is not right about it, code, address or user, the answer is the same and so is what
 * is done.
 */
export class CodeSignIn {
  readonly #deps: Dependencies;

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  /**
   * @param begin what begins with it, in the transaction that uses the code up
   * @throws OtpRefusal: `invalid_otp` with the attempts that are left, `rate_limited` with the seconds to wait
   */
  async signIn<Result>(
    order: OtpOrder<VerifyAsked>,
    issuer: IssuerRecord,
    begin: (tx: Transaction, signingIn: CodeUser) => Promise<Begun<Result>>,
  ): Promise<CodeSignedIn<Result>> {
    const attempt: Attempt<Result> = { order, issuer, begin, ...this.#subjects(order, issuer) };
    return this.#deps.accountSlots.run(attempt.scope.accountId, () => this.#verify(attempt));
  }

  /** How long whoever was refused has to wait even with a new code, in seconds; 0 where that helps at once. */
  secondsToNewCode(order: OtpOrder<VerifyAsked>, issuer: IssuerRecord): Promise<number> {
    const { accountSlots, database } = this.#deps;
    const { scope, now, ...subjects } = this.#subjects(order, issuer);
    return accountSlots.run(scope.accountId, () =>
      carryOut(database, scope.accountId, (tx) => secondsToNextGuess(tx, scope, subjects, now), prepared),
    );
  }

  #subjects({ asked, info }: OtpOrder<VerifyAsked>, issuer: IssuerRecord) {
    const { digests, now } = this.#deps;
    return {
      scope: { accountId: issuer.account.id, issuerId: issuer.id },
      address: digests.address(issuer.id, asked.email.key),
      ip: digests.ip(info.ip, issuer.environment),
      devices: digests.devices(asked.deviceToken),
      now: now(),
    };
  }

  async #verify<Result>(attempt: Attempt<Result>): Promise<CodeSignedIn<Result>> {
    const { database, pool } = this.#deps;
    const { scope, now } = attempt;
    const guess = await takeGuess(pool, scope, attempt, now);
    if (!guess.isCounted) throw new OtpRefusal('rate_limited', { retryAfterSeconds: guess.waitSeconds });
    if (this.#isRight(guess, attempt)) {
      const answer = await carryOut(
        database,
        scope.accountId,
        (tx) => this.#signIn(tx, guess, attempt),
        prepared,
      ).catch(asNoAnswer);
      if (answer !== null) return answer;
    }
    await carryOut(database, scope.accountId, (tx) => fail(tx, attempt), prepared);
    throw new OtpRefusal('invalid_otp', { attemptsLeft: guess.attemptsLeft });
  }

  /** The same is computed where there is no code. */
  #isRight({ code }: Counted, { order, issuer, address }: Attempt<unknown>): boolean {
    const { secrets } = this.#deps;
    const key = code === null ? undefined : secrets.key('otp', code.generation);
    const mac = macOfCode(key ?? secrets.current('otp').key, order.asked.code, {
      issuerId: issuer.id,
      addressDigest: address,
      codeId: code?.id ?? '',
    });
    return isSameMac(mac, code === null || key === undefined ? macOfNoCode() : code.mac);
  }

  /** All of it or nothing: uses the code up, makes the user where there is none yet, and begins what is to begin. */
  async #signIn<Result>(
    tx: Transaction,
    { code, device: known }: Counted,
    attempt: Attempt<Result>,
  ): Promise<CodeSignedIn<Result> | null> {
    const { order, issuer, scope, address, now } = attempt;
    const { sender, info, author, asked } = order;
    if (code === null) return null;
    const mailed = { codeId: code.id, address, usernameKey: asked.email.key };
    const { digests } = this.#deps;
    const shown = asked.deviceToken;
    const device =
      known === null || shown === undefined ? digests.newDevice() : { token: shown, digest: known };
    const redeemed = await redeemCode(tx, scope, mailed, device.digest, now);
    if (redeemed === null) return null;
    const settings = resolveLoginSettings(redeemed.storedSettings);
    // Written at the end, in one statement.
    const events: NewEvent[] = [];
    const record = async (event: NewEvent) => void events.push(event);
    const user = await userOf(tx, attempt, redeemed.user, settings, record);
    if (user === null) return null;
    const begun = await attempt.begin(tx, { user, settings, record, nowMs: now.getTime() });
    const deviceToken = redeemed.isDeviceKept ? device.token : await this.#remember(tx, user, attempt);
    events.push({
      type: 'otp.verified',
      subject: { type: 'otp_code', id: code.id },
      environment: issuer.environment,
      issuerId: issuer.id,
      organizationId: organizationOf(sender),
      data: { user_id: user.id, ...(begun.sessionId !== null && { session_id: begun.sessionId }) },
    });
    await insertEvents(tx, { accountId: scope.accountId, ...author, requestId: info.id }, events);
    return { result: begun.result, deviceToken };
  }

  /** Under a token of its own: what was shown may be somebody else's. */
  async #remember(
    tx: Transaction,
    { id: userId }: UserRow,
    { scope, address, now }: Attempt<unknown>,
  ): Promise<string> {
    const { token, digest } = this.#deps.digests.newDevice();
    await insertDevice(tx, scope, { digest, userId, address }, now);
    return token;
  }
}

function fail(tx: Transaction, { order, issuer, scope, now }: Attempt<unknown>): Promise<void> {
  const { sender, author } = order;
  const { environment } = issuer;
  const keyId = sender === 'login-pages' ? sender : sender.keyId;
  return addFailure(
    tx,
    scope,
    { environment, organizationId: organizationOf(sender), keyId, ...author },
    now,
  );
}

/** Whose session it is to be: of the user, of one who is made now, or of nobody. */
async function userOf(
  tx: Transaction,
  { order, issuer, scope }: Attempt<unknown>,
  found: UserRow | null,
  settings: LoginSettings,
  record: (event: NewEvent) => Promise<void>,
): Promise<UserRow | null> {
  const { email } = order.asked;
  if (found === null && !mayJoin(settings, email)) return null;
  const { environment } = issuer;
  const user = found ?? (await signUp(tx, { ...scope, environment, username: email, record }));
  return user.status === 'active' ? user : null;
}

/**
 * The user has been suspended or deleted between two statements: as if it had been before. Where that was the issuer,
 * putting the failure on record finds it gone too, and says so.
 */
function asNoAnswer(error: unknown): null {
  if (error instanceof AppError && (error.code === 'invalid_token' || error.code === 'not_found'))
    return null;
  throw error;
}
