import { ConcurrencyLimit } from './concurrency-limit.ts';

const waiting = 1_000;
const waitMs = 2_000;

/**
 * How many requests of one account may hold a connection to Postgres at once: less than half of the pool, so that no
 * account, however many or slow its requests, leaves the others without one. What is beyond that waits its turn.
 */
export class AccountSlots {
  readonly #concurrent: number;
  /** Of the accounts that have a request under way; an idle one takes no memory. */
  readonly #limits = new Map<string, ConcurrencyLimit>();

  /** @param connections how many the pool has */
  constructor(connections: number) {
    this.#concurrent = Math.max(1, Math.floor(connections * 0.4));
  }

  /** Runs `work` when the account has a free slot. @throws unavailable (503) when it gets none within 2 s */
  async run<T>(accountId: string, work: () => Promise<T>): Promise<T> {
    let limit = this.#limits.get(accountId);
    if (limit === undefined) {
      limit = new ConcurrencyLimit({ concurrent: this.#concurrent, waiting, waitMs });
      this.#limits.set(accountId, limit);
    }
    try {
      return await limit.run(work);
    } finally {
      if (limit.isIdle) this.#limits.delete(accountId);
    }
  }
}
