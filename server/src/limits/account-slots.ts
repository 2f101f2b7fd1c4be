import { FairLimit } from './fair-limit.ts';

const waiting = 1_000;
const waitMs = 2_000;

/** Which requests of one account hold connections to Postgres, each kind apart from the others. */
export interface SlotsByKind {
  /** Of those who hold its keys: the management API. */
  readonly management: AccountSlots;
  /** Of its users, by tokens of theirs. */
  readonly users: AccountSlots;
  /** Of whoever has a key that pages show, which anybody may use to ask for codes and to guess them. */
  readonly signIn: AccountSlots;
}

/**
 * The slots of every kind of request. Neither keeps another waiting, so that an owner can revoke a key whatever is done by
 * it; and an account that takes all of all kinds leaves a connection to others (of a pool of two it can't).
 *
 * @param connections how many the pool has
 */
export function slotsByKind(connections: number): SlotsByKind {
  const users = new AccountSlots(connections / 2);
  return {
    management: new AccountSlots(connections),
    users,
    signIn: connections < 4 ? users : new AccountSlots(connections * 0.75),
  };
}

/**
 * How many requests of one account may hold a connection to Postgres at once: less than half of the pool, so that no
 * account, however many or slow its requests, leaves the others without one. What is beyond that waits its turn.
 *
 * Within an account those who hold its keys take turns, and no issuer or organization has all of its slots: a tenant that
 * floods, or whose requests stand at a lock, must not keep the owner from suspending it.
 */
export class AccountSlots {
  readonly #concurrent: number;
  /** Of the accounts that have a request under way; an idle one takes no memory. */
  readonly #limits = new Map<string, FairLimit>();

  /** @param connections how many the pool has, or the part of it that these are of */
  constructor(connections: number) {
    this.#concurrent = Math.max(1, Math.floor(connections * 0.4));
  }

  /** How many an account has. */
  get size(): number {
    return this.#concurrent;
  }

  /** How many of them one of its issuers or organizations has: one less, unless there is but one. */
  get sizeOfPart(): number {
    return Math.max(1, this.#concurrent - 1);
  }

  /**
   * Runs `work` when the account has a free slot and it is the caller's turn.
   *
   * @param part the issuer or organization for which the caller asks; none for the account itself
   * @throws unavailable (503) when it gets no slot within 2 s
   */
  async run<T>(accountId: string, work: () => Promise<T>, part: string | null = null): Promise<T> {
    let limit = this.#limits.get(accountId);
    if (limit === undefined) {
      limit = new FairLimit({ concurrent: this.#concurrent, waitingOfGroup: waiting, waiting, waitMs });
      this.#limits.set(accountId, limit);
    }
    try {
      return await limit.run(part ?? accountId, work, part === null ? this.#concurrent : this.sizeOfPart);
    } finally {
      if (limit.isIdle) this.#limits.delete(accountId);
    }
  }
}
