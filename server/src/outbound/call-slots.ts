import { OutboundError } from './outbound-error.ts';

export interface CallSlotLimits {
  /** Calls of the node at once. */
  overall: number;
  /** Those of them that only an account takes which has no call under way, or the installation. */
  reserved: number;
  /** Calls at once for one account, so that its slow receivers keep nobody else’s calls waiting. */
  perAccount: number;
  /** Calls of one account that may wait for their turn. */
  waiting: number;
  /** How long each waits at the most. */
  waitMs: number;
}

interface Account {
  readonly isInstallation: boolean;
  underWay: number;
  /** In the order in which they came. */
  readonly waiting: Set<Waiter>;
}

interface Waiter {
  /** Counts up over all accounts. */
  readonly number: number;
  readonly begin: () => void;
}

/**
 * Bounds the calls that are under way, for each account and for all together. What can’t wait its turn is turned away.
 *
 * A free slot goes to whoever waits and has the fewest under way, and the last ones only to who has none, so that a few
 * accounts whose receivers are silent can’t hold them all.
 */
export class CallSlots {
  readonly #limits: CallSlotLimits;
  /** Those that have a call under way or waiting. */
  readonly #accounts = new Map<string | null, Account>();
  #underWay = 0;
  #waiters = 0;

  constructor(limits: CallSlotLimits) {
    this.#limits = limits;
  }

  /** Runs `call` of an account, or (null) of the installation, when its turn comes. @throws OutboundError `busy` when there is no room, or no turn in time */
  async run<T>(accountId: string | null, call: () => Promise<T>): Promise<T> {
    let account = this.#accounts.get(accountId);
    if (account === undefined) {
      account = { isInstallation: accountId === null, underWay: 0, waiting: new Set() };
      this.#accounts.set(accountId, account);
    }
    try {
      if (account.waiting.size === 0 && this.#hasSlotFor(account)) this.#take(account);
      else await this.#turn(account);
      try {
        return await call();
      } finally {
        this.#release(account);
      }
    } finally {
      if (account.underWay === 0 && account.waiting.size === 0) this.#accounts.delete(accountId);
    }
  }

  #hasSlotFor({ underWay, isInstallation }: Account): boolean {
    const { overall, reserved, perAccount } = this.#limits;
    const mayTakeLast = underWay === 0 || isInstallation;
    return underWay < perAccount && this.#underWay < (mayTakeLast ? overall : overall - reserved);
  }

  #take(account: Account): void {
    account.underWay++;
    this.#underWay++;
  }

  #release(account: Account): void {
    account.underWay--;
    this.#underWay--;
    // What has ended may leave room for two: its slot, and one of those that its account may take for having none.
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      const [waiter] = next.waiting;
      next.waiting.delete(waiter!);
      this.#take(next);
      waiter!.begin();
    }
  }

  /** Of those who may begin, who has the fewest under way; among equals who has waited longest. */
  #next(): Account | undefined {
    let chosen: Account | undefined;
    for (const account of this.#accounts.values()) {
      if (account.waiting.size === 0 || !this.#hasSlotFor(account)) continue;
      if (chosen === undefined || isBefore(account, chosen)) chosen = account;
    }
    return chosen;
  }

  /** The slot is taken already when its turn comes. */
  #turn(account: Account): Promise<void> {
    const { waiting, waitMs } = this.#limits;
    if (account.waiting.size >= waiting) return Promise.reject(new OutboundError('busy'));
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        number: this.#waiters++,
        begin: () => {
          clearTimeout(timer);
          resolve();
        },
      };
      const timer = setTimeout(() => {
        account.waiting.delete(waiter);
        reject(new OutboundError('busy'));
      }, waitMs);
      account.waiting.add(waiter);
    });
  }
}

function isBefore(one: Account, other: Account): boolean {
  if (one.underWay !== other.underWay) return one.underWay < other.underWay;
  return firstOf(one) < firstOf(other);
}

function firstOf({ waiting }: Account): number {
  const [first] = waiting;
  return first?.number ?? Number.POSITIVE_INFINITY;
}
