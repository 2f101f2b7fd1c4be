import type { NewEvent } from '../events/event.ts';
import { insertEvent } from '../events/event-store.ts';
import { Lanes } from '../jobs/lanes.ts';
import { Periodic } from '../jobs/periodic.ts';
import type { Log } from '../logs/log.ts';
import type { Database, Transaction } from '../postgres/database.ts';
import type { InstallationSecrets } from '../secrets/installation-secrets.ts';
import type { OutgoingMail } from './mail.ts';
import { MailUnreadableError, openMail } from './mail-seal.ts';
import { type ClaimedMail, claimMails, deleteClaimed, returnClaimed } from './mail-store.ts';
import { retryDelayMs } from './retry-delay.ts';
import { failureTexts, type SmtpFailure } from './smtp-failure.ts';

/** A mail on its way out. */
export interface ReadyMail {
  /** Makes its Message-ID. */
  readonly id: string;
  readonly createdAt: Date;
  readonly mail: OutgoingMail;
}

export type SendOutcome =
  | { readonly outcome: 'sent' }
  | { readonly outcome: 'failed'; readonly failure: SmtpFailure };

/** Takes mails to where people read them. Never rejects. */
export interface MailSender {
  send(mail: ReadyMail, signal: AbortSignal): Promise<SendOutcome>;
}

interface Dependencies {
  /** Whose statements no request is charged with. */
  database: Database;
  secrets: InstallationSecrets;
  /** null where there is neither a mail server nor a mailbox of the node. */
  sender: MailSender | null;
  /** The sender is the mailbox of the node, which shows mails of sandbox issuers too. No mail server ever gets them. */
  showsSandbox: boolean;
  log: Log;
  now: () => Date;
}

/** Mails that a node hands over at the same time. */
const lanes = 8;
/** Of one account: a mail server that is slow with its mails leaves the others theirs. */
const lanesOfAccount = 4;
const everyMs = 1_000;
/** After this a hand-over is broken off, well before somebody else may claim the mail. */
const sendMs = 60_000;
const leaseMs = 90_000;
/** How long a node that ends waits for mails that are being handed over. */
const lastWordsMs = 1_000;
const toldEveryMs = 60_000;

const actor = { type: 'system', id: 'mail', ip: null, user_agent: null } as const;

/**
 * Hands mails that wait to the mail server, on any number of nodes: claim, send, mark.
 *
 * SMTP has no way to send a mail exactly once. What has been claimed is sent by nobody else before the lease is over; a node
 * that dies before it sends leaves the mail to be sent then. Only where the server has taken the mail and that was not
 * marked (the node died in between, lost Postgres for the whole lease, or did not get the server's answer) it is sent a
 * second time, with the same Message-ID.
 */
export class MailDelivery {
  readonly #deps: Dependencies;
  readonly #job: Periodic;
  readonly #lanes: Lanes;
  #claimedUpTo = '';
  /** Handed over and not marked yet, since Postgres did not answer: never to be sent again by this node. */
  readonly #handedOver = new Set<string>();
  readonly #end = new AbortController();
  #toldAtMs = Number.NEGATIVE_INFINITY;
  /** What became of mails on this node, since its start. */
  readonly counts = { sent: 0, deferred: 0, failed: 0, expired: 0 };

  constructor(deps: Dependencies) {
    this.#deps = deps;
    this.#job = new Periodic({ name: 'mail', everyMs, log: deps.log, work: () => this.#claim() });
    this.#lanes = new Lanes({ most: lanes, mostOfAccount: lanesOfAccount, onFree: () => this.#job.wake() });
  }

  start(): void {
    this.#job.start();
  }

  /** Looks for mails at once instead of at the next turn. */
  wake(): void {
    this.#job.wake();
  }

  /** Claims no more; what is being handed over has a moment to end, and is broken off then. */
  async close(): Promise<void> {
    await this.#job.close();
    const timer = setTimeout(() => this.#end.abort(), lastWordsMs);
    await this.#lanes.settled();
    clearTimeout(timer);
  }

  /** Takes as many mails as there are free lanes, account by account; whichever lane is free again looks for more. */
  async #claim(): Promise<boolean> {
    const { free, accounts: underWay } = this.#lanes;
    if (free <= 0) return false;
    const now = this.#deps.now();
    const leaseEnd = new Date(now.getTime() + leaseMs);
    const { mails, after, isRound } = await claimMails(this.#deps.database.lookups, now, leaseEnd, free, {
      underWay,
      mostEach: lanesOfAccount,
      after: this.#claimedUpTo,
    });
    this.#claimedUpTo = after;
    for (const mail of mails) this.#start(mail);
    return !isRound && mails.length < free;
  }

  #start(mail: ClaimedMail): void {
    this.#lanes.start(mail.account_id, () =>
      // The lease ends, and somebody tries again.
      this.#deliver(mail).catch((error: unknown) => {
        this.#deps.log.warn(
          { err: error, component: 'mail' },
          'What became of a mail could not be written down',
        );
      }),
    );
  }

  async #deliver(claimed: ClaimedMail): Promise<void> {
    if (claimed.is_withheld || this.#handedOver.has(claimed.id)) return this.#finish(claimed);
    // Queued while the node had a mailbox, before somebody gave it a mail server.
    if (claimed.environment === 'sandbox' && !this.#deps.showsSandbox) return this.#finish(claimed);
    const leftMs = claimed.not_after.getTime() - this.#deps.now().getTime();
    if (leftMs <= 0) return this.#giveUp(claimed, 'mail.expired', null);
    const outcome = await this.#send(claimed, Math.min(leftMs, sendMs));
    if (outcome.outcome === 'sent') return this.#finish(claimed);
    const { failure } = outcome;
    this.#tell(claimed, failure);
    if (failure.isFinal) return this.#giveUp(claimed, 'mail.failed', failure);
    this.counts.deferred++;
    const nowMs = this.#deps.now().getTime();
    const dueMs = Math.min(nowMs + retryDelayMs(claimed.attempts), claimed.not_after.getTime());
    await this.#inAccount(claimed, (tx) => returnClaimed(tx, claimed, new Date(dueMs)));
  }

  async #send(claimed: ClaimedMail, withinMs: number): Promise<SendOutcome> {
    const { secrets, sender } = this.#deps;
    if (sender === null) return failed('no_mail_server', false);
    let mail: OutgoingMail;
    try {
      const place = { id: claimed.id, accountId: claimed.account_id, issuerId: claimed.issuer_id };
      mail = openMail(secrets, place, { sealed: claimed.sealed, generation: claimed.secret_generation });
    } catch (error) {
      if (error instanceof MailUnreadableError) return failed('unreadable', true);
      throw error;
    }
    const signal = AbortSignal.any([AbortSignal.timeout(withinMs), this.#end.signal]);
    const outcome = await sender.send({ id: claimed.id, createdAt: claimed.created_at, mail }, signal);
    if (outcome.outcome === 'sent') {
      this.#handedOver.add(claimed.id);
      this.counts.sent++;
    }
    return outcome;
  }

  /** Of a mail that is done with nothing stays, but for those of a sandbox issuer, which are kept to be read. */
  async #finish(claimed: ClaimedMail): Promise<void> {
    const isKept = claimed.environment === 'sandbox' && !claimed.is_withheld;
    await this.#inAccount(claimed, async (tx) => {
      if (isKept) await returnClaimed(tx, claimed, null);
      else await deleteClaimed(tx, claimed);
    });
    this.#handedOver.delete(claimed.id);
  }

  async #giveUp(
    claimed: ClaimedMail,
    type: 'mail.failed' | 'mail.expired',
    failure: SmtpFailure | null,
  ): Promise<void> {
    const isOurs = await this.#inAccount(claimed, async (tx) => {
      const isGone = await deleteClaimed(tx, claimed);
      if (isGone) await insertEvent(tx, contextOf(claimed), eventOf(claimed, type, failure));
      return isGone;
    });
    if (isOurs) this.counts[type === 'mail.failed' ? 'failed' : 'expired']++;
  }

  #inAccount<T>(claimed: ClaimedMail, work: (tx: Transaction) => Promise<T>): Promise<T> {
    return this.#deps.database.withAccount(claimed.account_id, work);
  }

  /** What concerns one mail is told each time; what concerns all of them once a minute. */
  #tell(claimed: ClaimedMail, { reason, replyCode, isFinal }: SmtpFailure): void {
    const nowMs = this.#deps.now().getTime();
    if (!isFinal && nowMs - this.#toldAtMs < toldEveryMs) return;
    if (!isFinal) this.#toldAtMs = nowMs;
    const { account_id, issuer_id, attempts: attempt } = claimed;
    this.#deps.log.warn(
      { component: 'mail', reason, status: replyCode, attempt, account_id, issuer_id },
      failureTexts[reason],
    );
  }
}

function failed(reason: SmtpFailure['reason'], isFinal: boolean): SendOutcome {
  return { outcome: 'failed', failure: { reason, replyCode: null, isFinal } };
}

function contextOf(claimed: ClaimedMail) {
  return { accountId: claimed.account_id, actor, requestId: null };
}

/** To whom it was is not in it: the address belongs to somebody else. */
function eventOf(claimed: ClaimedMail, type: NewEvent['type'], failure: SmtpFailure | null): NewEvent {
  return {
    type,
    // As it was when the mail was queued.
    subject: { type: claimed.subject_type as NewEvent['subject']['type'], id: claimed.subject_id },
    environment: claimed.environment,
    issuerId: claimed.issuer_id,
    data: {
      mail_id: claimed.id,
      // The claim that found it expired was none.
      attempts: failure === null ? claimed.attempts - 1 : claimed.attempts,
      ...(failure && { reason: failure.reason, reply_code: failure.replyCode }),
    },
  };
}
