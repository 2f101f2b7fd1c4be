import pg from 'pg';

/** Bounds of what is written at once, so that memory stays small and a statement far from its timeout. */
export interface FoldBounds {
  readonly records: number;
  /** Keys, each as it acts for one organization or for none. */
  readonly subjects: number;
  /** Limits that they were charged to. */
  readonly windows: number;
}

/**
 * Room for the keys that are in use at the same time: with less, each of them is written several times over. Takes
 * Postgres a second or two.
 */
const usualBounds: FoldBounds = { records: 100_000, subjects: 20_000, windows: 40_000 };
const leastShare = 1 / 256;

/** How much is written at once: less after Postgres took too long over it, then more again. */
export class FoldSize {
  readonly #bounds: FoldBounds;
  #share = 1;

  constructor(bounds: FoldBounds = usualBounds) {
    this.#bounds = bounds;
  }

  get bounds(): FoldBounds {
    const { records, subjects, windows } = this.#bounds;
    const part = (whole: number) => Math.ceil(whole * this.#share);
    return { records: part(records), subjects: part(subjects), windows: part(windows) };
  }

  /** Postgres has done it. */
  fitted(): void {
    this.#share = Math.min(1, this.#share * 1.25);
  }

  /** Postgres has not. */
  failed(error: unknown): void {
    const isTimeout =
      error instanceof pg.DatabaseError
        ? error.code === '57014'
        : error instanceof Error && error.message === 'Query read timeout';
    if (isTimeout) this.#share = Math.max(leastShare, this.#share / 4);
  }
}
