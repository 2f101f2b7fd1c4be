import { AppError } from '../errors.ts';
import type { NewEvent } from '../events/event.ts';
import { idPrefixes, newId } from '../ids/ids.ts';
import type { Environment } from '../key-profiles/key-profile.ts';
import type { Log } from '../logs/log.ts';
import type { Transaction } from '../postgres/database.ts';
import type { InstallationSecrets } from '../secrets/installation-secrets.ts';
import { displayName, isMailAddress, type OutgoingMail, oneLine } from './mail.ts';
import { recipientDigest, sealMail } from './mail-seal.ts';
import { insertMail } from './mail-store.ts';

/** A mail to be sent, and what it belongs to. */
export interface NewMail {
  accountId: string;
  issuerId: string;
  environment: Environment;
  mail: OutgoingMail;
  /** From here on it is not sent any more: the code in it has expired, say. */
  notAfterMs: number;
  /** What it is about: the event tells it, should the mail fail. */
  subject: NewEvent['subject'];
  /** Everything is done as for any mail, and nobody gets it: so that the caller can't tell by time that there is none. */
  isWithheld?: boolean;
}

interface Dependencies {
  secrets: InstallationSecrets;
  log: Log;
  now: () => Date;
  /** Mails of live issuers have a way out: a mail server or, in development, the mailbox of the node. */
  canSend: boolean;
  /** Mails of sandbox issuers, which are never sent, are shown in the mailbox of the node as well. */
  showsSandbox: boolean;
  /** Tells whoever delivers that there may be something to do. */
  onQueued: () => void;
}

const maxSubject = 200;
const toldEveryMs = 60_000;

/** Where mails are left to be sent. They are there once the transaction has committed, also after a crash. */
export class MailOutbox {
  readonly #deps: Dependencies;
  #toldAtMs = Number.NEGATIVE_INFINITY;

  constructor(deps: Dependencies) {
    this.#deps = deps;
  }

  /**
   * Queues a mail in the caller's transaction; after the commit call `wake`. That of a sandbox issuer is kept for a day,
   * to be read at its mailbox, and not sent.
   *
   * @throws unavailable (503) for a live issuer where there is no mail server, as it is in production without `SMTP_URL`
   */
  async queue(tx: Transaction, { mail, ...place }: NewMail): Promise<void> {
    const { accountId, issuerId, environment, subject, isWithheld = false } = place;
    this.#requireWayOut(environment);
    // Whoever asks for a mail has checked it and answered 422.
    if (!isMailAddress(mail.to)) throw new TypeError('a mail goes to one address');
    const now = this.#deps.now();
    const id = newId(idPrefixes.mail);
    const { sealed, generation } = sealMail(this.#deps.secrets, { id, accountId, issuerId }, inOneLine(mail));
    const isOnlyKept = environment === 'sandbox' && !this.#deps.showsSandbox && !isWithheld;
    await insertMail(tx, {
      id,
      account_id: accountId,
      issuer_id: issuerId,
      environment,
      subject_type: subject.type,
      subject_id: subject.id,
      sealed,
      secret_generation: generation,
      recipient: environment === 'sandbox' ? recipientDigest(this.#deps.secrets, issuerId, mail.to) : null,
      is_withheld: isWithheld,
      due_at: isOnlyKept ? null : now,
      not_after: new Date(place.notAfterMs),
      created_at: now,
    });
  }

  /** What was queued is sent at once instead of at the next turn. */
  wake(): void {
    this.#deps.onQueued();
  }

  #requireWayOut(environment: Environment): void {
    if (this.#deps.canSend || environment === 'sandbox') return;
    const nowMs = this.#deps.now().getTime();
    if (nowMs - this.#toldAtMs >= toldEveryMs) {
      this.#toldAtMs = nowMs;
      this.#deps.log.error({ component: 'mail' }, noMailServer);
    }
    throw new AppError('unavailable', {
      detail:
        'This installation has no mail server, so it can’t send the mail. Its operator has to set SMTP_URL.',
      headers: { 'Retry-After': '60' },
    });
  }
}

/** What an operator without a mail server is told at the start, and whenever somebody would have got a mail. */
export const noMailServer =
  'There is no SMTP_URL, so no mail can be sent: users of live issuers can’t sign in by e-mail and are answered 503. Set SMTP_URL and MAIL_FROM';

/** No header of the mail can hold a second one, whatever somebody has called things. */
function inOneLine(mail: OutgoingMail): OutgoingMail {
  const senderName = mail.senderName === null ? null : displayName(mail.senderName) || null;
  return { ...mail, subject: oneLine(mail.subject, maxSubject), senderName };
}
