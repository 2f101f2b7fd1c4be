import { AppError } from '../errors.ts';
import { insertEvent } from '../events/event-store.ts';
import { carryOut } from '../http/carry-out.ts';
import { idPrefixes, newId } from '../ids/ids.ts';
import type { AccountSlots } from '../limits/account-slots.ts';
import { findLoginSettings, type LoginSettings } from '../login-settings/login-settings.ts';
import { renderCodeMail } from '../mail/code-mail.ts';
import type { MailOutbox } from '../mail/mail-outbox.ts';
import { deleteWaiting } from '../mail/mail-store.ts';
import type { Database, Transaction } from '../postgres/database.ts';
import type { InstallationSecrets } from '../secrets/installation-secrets.ts';
import { findUserByAddress, type UserRow } from '../users/user-store.ts';
import { whyMayNotJoin } from './may-join.ts';
import { codeDigits, macOfCode, macOfNoCode, newCode } from './otp-code.ts';
import type { OtpDigests } from './otp-digests.ts';
import type { OtpOperation } from './otp-endpoint.ts';
import { countFailures } from './otp-failure-store.ts';
import { otpLimits } from './otp-limits.ts';
import { type OtpOrder, organizationOf } from './otp-order.ts';
import { OtpRefusal } from './otp-refusal.ts';
import { type OtpAsked, parseRequestOtp } from './otp-schema.ts';
import {
  type IssuerScope,
  putCode,
  type SendSubjects,
  settleSends,
  takeMailCap,
  takeSend,
} from './otp-store.ts';
import type { SandboxTwins } from './sandbox-twins.ts';

interface Dependencies {
  database: Database;
  accountSlots: AccountSlots;
  secrets: InstallationSecrets;
  digests: OtpDigests;
  mails: MailOutbox;
  twins: SandboxTwins;
  now: () => Date;
}

/** Says neither whether there is such a user nor whether there could be one. */
const message = 'If this address can sign in, a code is on its way to it.';

/** What is said of a code that was asked for. */
export interface CodeAsked {
  readonly success: true;
  readonly message: string;
  readonly expires_in: number;
  readonly resend_in: number;
}

/**
 * `POST /auth/request-otp`, and the same of the login pages. Whoever the address belongs to, if anybody, the same is done: budgets are taken from, a code is
 * put in the place of the last one, and a mail is queued; to whom there is to be none it is not sent. Only what other
 * issuers have sent too much of leaves the last code where it is.
 */
export class RequestOtp implements OtpOperation<OtpAsked> {
  readonly #deps: Dependencies;
  readonly parse = parseRequestOtp;

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  async carryOut(order: OtpOrder<OtpAsked>): Promise<CodeAsked> {
    const { database, accountSlots, mails, twins } = this.#deps;
    const { account, id: homeId } = order.home;
    const { lifetimeSeconds, issuerId } = await accountSlots.run(account.id, () =>
      carryOut(database, account.id, (tx) => this.#request(tx, order), { isPreparing: true }).catch(
        async (error: unknown) => {
          if (error instanceof RefusedAhead)
            await settleSends(database.lookups, error.scope, error.subjects, error.now);
          throw error;
        },
      ),
    );
    if (order.issuer === null) twins.remember(homeId, issuerId);
    mails.wake();
    return { success: true, message, expires_in: lifetimeSeconds, resend_in: otpLimits.resendSeconds };
  }

  /** A sandbox twin that is needed first is made along: who is refused makes none. */
  async #request(
    tx: Transaction,
    order: OtpOrder<OtpAsked>,
  ): Promise<{ issuerId: string; lifetimeSeconds: number }> {
    const { digests, twins, now: clock } = this.#deps;
    const { asked, home, sender, info, author } = order;
    const issuer = order.issuer ?? (await twins.ensure(tx, home, author));
    const { email, deviceToken } = asked;
    const scope: IssuerScope = { accountId: issuer.account.id, issuerId: issuer.id };
    const address = digests.address(issuer.id, email.key);
    const now = clock();
    const subjects: SendSubjects = {
      address,
      key: sender === 'login-pages' ? digests.loginPages(issuer.id) : digests.key(sender.lineageId),
      ip: digests.ip(info.ip, issuer.environment),
      devices: digests.devices(deviceToken),
      isBrowser: sender === 'login-pages' || sender.isPublishable,
    };
    const taken = await takeSend(tx, scope, subjects, now);
    if (!taken.isTaken) {
      const { waitSeconds } = taken;
      if (taken.isAhead) throw new RefusedAhead(waitSeconds, scope, subjects, now);
      throw new OtpRefusal('rate_limited', { retryAfterSeconds: waitSeconds });
    }
    const settings = await findLoginSettings(tx, issuer);
    const issuerName = await findIssuerName(tx, scope);
    const user = await findUserByAddress(tx, scope.accountId, scope.issuerId, email.key);
    const failures = await countFailures(tx, scope, now);
    const cause = whyNoSignIn(user, settings, email);
    const maySignIn = cause === null;
    const isCapped =
      issuer.environment === 'live' &&
      (await takeMailCap(
        tx,
        scope,
        { address, everywhere: digests.everywhere(email.key), isWanted: maySignIn },
        now,
      ));

    const code = newCode(codeDigits(settings.code_length, failures));
    const codeId = newId(idPrefixes.otpCode);
    const expiresAt = new Date(now.getTime() + settings.code_lifetime_seconds * 1000);
    const { generation, key: secret } = this.#deps.secrets.current('otp');
    const mac = macOfCode(secret, code, { issuerId: issuer.id, addressDigest: address, codeId });
    const stored = { id: codeId, mac: maySignIn ? mac : macOfNoCode(), generation, expiresAt };
    const last = await putCode(tx, scope, address, { ...stored, isCapped });
    // Where mails wait for a server, the owner is not to get one code after another of which one is good. Asked for in any
    // case, so that nobody can tell by the time whether there was one, nor whether it is kept.
    await deleteWaiting(tx, scope, last ?? codeId);
    await this.#deps.mails.queue(tx, {
      accountId: scope.accountId,
      issuerId: scope.issuerId,
      environment: issuer.environment,
      // Whoever has the user's address in another spelling has typed it; mail goes where the user has said.
      mail: {
        to: user?.username ?? email.address,
        senderName: settings.mail.sender,
        ...renderCodeMail({
          code,
          minutes: settings.code_lifetime_seconds / 60,
          mail: settings.mail,
          language: order.language,
          issuerName,
        }),
      },
      notAfterMs: expiresAt.getTime(),
      subject: { type: 'otp_code', id: codeId },
      isWithheld: !maySignIn || isCapped,
    });
    await insertEvent(
      tx,
      { accountId: scope.accountId, ...author },
      {
        type: 'otp.requested',
        subject: { type: 'otp_code', id: codeId },
        environment: issuer.environment,
        issuerId: issuer.id,
        organizationId: organizationOf(sender),
        // Not whether it was mailed: what other issuers have sent to the address is nothing that this one is told. Who may
        // sign in, and why not, is for whoever looks after the issuer: an organization reads the events of its keys.
        data: {
          digits: code.length,
          ...(organizationOf(sender) === null && { may_sign_in: maySignIn, cause }),
        },
      },
    );
    return { issuerId: issuer.id, lifetimeSeconds: settings.code_lifetime_seconds };
  }
}

/** Why there is to be no mail; null where there is one. */
function whyNoSignIn(user: UserRow | null, settings: LoginSettings, email: OtpAsked['email']) {
  if (user === null) return whyMayNotJoin(settings, email);
  return user.status === 'active' ? null : 'user_suspended';
}

/** Refused by budgets that a clock that was ahead has taken from; what it left has to be settled. */
class RefusedAhead extends OtpRefusal {
  readonly scope: IssuerScope;
  readonly subjects: SendSubjects;
  readonly now: Date;

  constructor(waitSeconds: number, scope: IssuerScope, subjects: SendSubjects, now: Date) {
    super('rate_limited', { retryAfterSeconds: waitSeconds });
    this.scope = scope;
    this.subjects = subjects;
    this.now = now;
  }
}

/** @throws not_found where it has been deleted since */
async function findIssuerName(tx: Transaction, { accountId, issuerId }: IssuerScope): Promise<string> {
  const row = await tx
    .selectFrom('issuers')
    .select('name')
    .where('account_id', '=', accountId)
    .where('id', '=', issuerId)
    .executeTakeFirst();
  if (row === undefined) throw new AppError('not_found');
  return row.name;
}
