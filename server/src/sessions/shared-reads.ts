/**
 * Reads of which there is at most one under way for a key. Whoever comes meanwhile shares the next one, which begins when
 * that one has ended: nobody gets what was read before it asked.
 */
export class SharedReads<T> {
  /** The newest read of each key that has not ended. */
  readonly #newest = new Map<string, Read<T>>();

  /** @param work calls `begins` at the moment from which on it may see what there is */
  read(key: string, work: (begins: () => void) => Promise<T>): Promise<T> {
    const newest = this.#newest.get(key);
    if (newest !== undefined && !newest.hasBegun) return newest.outcome;
    const begins = () => {
      own.hasBegun = true;
    };
    const own: Read<T> = { hasBegun: false, outcome: this.#after(newest, () => work(begins)) };
    this.#newest.set(key, own);
    const forget = () => {
      if (this.#newest.get(key) === own) this.#newest.delete(key);
    };
    own.outcome.then(forget, forget);
    return own.outcome;
  }

  async #after(earlier: Read<T> | undefined, work: () => Promise<T>): Promise<T> {
    // How it ends is for those who asked for it.
    await earlier?.outcome.catch(() => {});
    return work();
  }
}

interface Read<T> {
  hasBegun: boolean;
  outcome: Promise<T>;
}
