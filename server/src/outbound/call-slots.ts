import { ConcurrencyLimit } from '../limits/concurrency-limit.ts';
import { OutboundError } from './outbound-error.ts';

export interface CallSlotLimits {
  /** Calls of the node at once. */
  overall: number;
  /** Calls at once for one account, so that its slow receivers keep nobody else’s calls waiting. */
  perAccount: number;
  /** Calls of one account that may wait for their turn. */
  waiting: number;
  /** How long each waits at the most, for its account’s turn and then for the node’s. */
  waitMs: number;
}

const noRoom = () => new OutboundError('busy');

/** Bounds the calls that are under way, for each account and for all together. What can’t wait its turn is turned away. */
export class CallSlots {
  readonly #limits: CallSlotLimits;
  readonly #overall: ConcurrencyLimit;
  /** Of the accounts that have a call under way. */
  readonly #ofAccounts = new Map<string, ConcurrencyLimit>();

  constructor(limits: CallSlotLimits) {
    this.#limits = limits;
    // No account brings more than its own share here, so the number of accounts bounds what waits.
    this.#overall = new ConcurrencyLimit({
      concurrent: limits.overall,
      waiting: Number.POSITIVE_INFINITY,
      waitMs: limits.waitMs,
      noRoom,
    });
  }

  /** Runs `call` when its turn comes. @throws OutboundError `busy` when there is no room, or no turn in time */
  async run<T>(accountId: string, call: () => Promise<T>): Promise<T> {
    let ofAccount = this.#ofAccounts.get(accountId);
    if (ofAccount === undefined) {
      const { perAccount: concurrent, waiting, waitMs } = this.#limits;
      ofAccount = new ConcurrencyLimit({ concurrent, waiting, waitMs, noRoom });
      this.#ofAccounts.set(accountId, ofAccount);
    }
    try {
      return await ofAccount.run(() => this.#overall.run(call));
    } finally {
      if (ofAccount.isIdle) this.#ofAccounts.delete(accountId);
    }
  }
}
