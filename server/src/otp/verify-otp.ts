import type pg from 'pg';
import { AppError } from '../errors.ts';
import type { NewEvent } from '../events/event.ts';
import { insertEvents } from '../events/event-store.ts';
import { carryOut } from '../http/carry-out.ts';
import type { AccountSlots } from '../limits/account-slots.ts';
import { type LoginSettings, resolveLoginSettings } from '../login-settings/login-settings.ts';
import type { Database, Transaction } from '../postgres/database.ts';
import type { InstallationSecrets } from '../secrets/installation-secrets.ts';
import type { Sessions, SignedIn } from '../sessions/sessions.ts';
import type { SigningKeys } from '../signing-keys/signing-keys.ts';
import { signUp, type UserRow } from '../users/user-store.ts';
import type { IssuerRecord } from '../verification/records.ts';
import { mayJoin } from './may-join.ts';
import { isSameMac, macOfCode, macOfNoCode } from './otp-code.ts';
import type { OtpDigests } from './otp-digests.ts';
import type { OtpOperation, OtpOrder } from './otp-endpoint.ts';
import { addFailure } from './otp-failure-store.ts';
import { otpLimits } from './otp-limits.ts';
import { OtpRefusal } from './otp-refusal.ts';
import { type OtpAsked, parseVerifyOtp } from './otp-schema.ts';
import { type Guess, type IssuerScope, insertDevice, redeemCode, takeGuess } from './otp-store.ts';

interface Dependencies {
  pool: pg.Pool;
  database: Database;
  accountSlots: AccountSlots;
  secrets: InstallationSecrets;
  digests: OtpDigests;
  sessions: Sessions;
  signingKeys: Pick<SigningKeys, 'jwks'>;
  now: () => Date;
}

const prepared = { isPreparing: true } as const;

type VerifyAsked = OtpAsked & { readonly code: string };
type Counted = Extract<Guess, { isCounted: true }>;

/** A guess on its way, with what is known of it. */
interface Attempt {
  readonly order: OtpOrder<VerifyAsked>;
  readonly issuer: IssuerRecord;
  readonly scope: IssuerScope;
  readonly address: Buffer;
  readonly ip: Buffer;
  readonly devices: readonly Buffer[];
  readonly now: Date;
}

/**
 * `POST /auth/verify-otp`. The guess is counted first, by a statement of its own, and compared then. Whatever is not right
 * about it, code, address or user, the answer is the same and so is what is done.
 */
export class VerifyOtp implements OtpOperation<VerifyAsked> {
  readonly #deps: Dependencies;
  readonly parse = parseVerifyOtp;

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  async carryOut(order: OtpOrder<VerifyAsked>): Promise<object> {
    const { accountSlots, digests, signingKeys, now } = this.#deps;
    const { asked, issuer } = order;
    // Nobody has ever asked for a code there, so there is nothing to be guessed, and nothing to count guesses by.
    if (issuer === null) throw new OtpRefusal('invalid_otp', { attemptsLeft: otpLimits.guessesOfCode - 1 });
    // So that nobody waits for a key with a transaction open.
    await signingKeys.jwks(issuer.id, 'row');
    const attempt: Attempt = {
      order,
      issuer,
      scope: { accountId: issuer.account.id, issuerId: issuer.id },
      address: digests.address(issuer.id, asked.email.key),
      ip: digests.ip(order.info.ip, issuer.environment),
      devices: digests.devices(asked.deviceToken),
      now: now(),
    };
    return accountSlots.run(attempt.scope.accountId, () => this.#verify(attempt));
  }

  async #verify(attempt: Attempt): Promise<object> {
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
  #isRight({ code }: Counted, { order, issuer, address }: Attempt): boolean {
    const { secrets } = this.#deps;
    const key = code === null ? undefined : secrets.key('otp', code.generation);
    const mac = macOfCode(key ?? secrets.current('otp').key, order.asked.code, {
      issuerId: issuer.id,
      addressDigest: address,
      codeId: code?.id ?? '',
    });
    return isSameMac(mac, code === null || key === undefined ? macOfNoCode() : code.mac);
  }

  /** All of it or nothing: uses the code up, makes the user where there is none yet, and begins the session. */
  async #signIn(tx: Transaction, { code, device: known }: Counted, attempt: Attempt): Promise<object | null> {
    const { order, issuer, scope, address, now } = attempt;
    const { key, info, author, asked } = order;
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
    const signedIn = await this.#deps.sessions.begin(tx, {
      issuer,
      settings,
      user,
      amr: ['otp'],
      ip: author.actor.ip,
      userAgent: author.actor.user_agent,
      nowMs: now.getTime(),
      record,
    });
    const deviceToken = redeemed.isDeviceKept ? device.token : await this.#remember(tx, user, attempt);
    events.push({
      type: 'otp.verified',
      subject: { type: 'otp_code', id: code.id },
      environment: issuer.environment,
      issuerId: issuer.id,
      organizationId: key.organization?.id ?? null,
      data: { user_id: user.id, session_id: signedIn.session_id },
    });
    await insertEvents(tx, { accountId: scope.accountId, ...author, requestId: info.id }, events);
    return answerOf(signedIn, deviceToken);
  }

  /** Under a token of its own: what was shown may be somebody else's. */
  async #remember(
    tx: Transaction,
    { id: userId }: UserRow,
    { scope, address, now }: Attempt,
  ): Promise<string> {
    const { token, digest } = this.#deps.digests.newDevice();
    await insertDevice(tx, scope, { digest, userId, address }, now);
    return token;
  }
}

function fail(tx: Transaction, { order, issuer, scope, now }: Attempt): Promise<void> {
  const { key, author } = order;
  const { environment } = issuer;
  const organizationId = key.organization?.id ?? null;
  return addFailure(tx, scope, { environment, organizationId, keyId: key.id, ...author }, now);
}

/** Whose session it is to be: of the user, of one who is made now, or of nobody. */
async function userOf(
  tx: Transaction,
  { order, issuer, scope }: Attempt,
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

function answerOf(
  { token, token_type, expires_in, refresh_token, user }: SignedIn,
  deviceToken: string,
): object {
  return {
    success: true,
    token,
    token_type,
    expires_in,
    refresh_token,
    user: { id: user.id, email: user.email },
    device_token: deviceToken,
  };
}
