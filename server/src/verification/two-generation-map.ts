interface Weighing<Value> {
  /** What the values may weigh together. */
  max: number;
  /** The same for a value as long as it is held. */
  of: (value: Value) => number;
}

/**
 * A bounded map that forgets what has not been asked for in a while.
 *
 * Two generations instead of a list in order of use: what is found in the old one moves to the young one, and when the
 * young one is full the old one goes as a whole. A hit costs one look-up in a plain Map (a third of what an exact LRU
 * takes), an entry no more memory than that Map's. It holds between half of `max` and `max` entries, fewer where they
 * are heavy: each generation is full at half of what they may weigh, too, or with the one entry that goes beyond.
 */
export class TwoGenerationMap<Value> {
  readonly #half: number;
  readonly #halfWeight: number;
  readonly #weigh: (value: Value) => number;
  #young = new Map<string, Value>();
  #youngWeight = 0;
  #old = new Map<string, Value>();

  /** @param max how many entries there are at the most; 2 or more */
  constructor(max: number, weighing: Weighing<Value> = { max: Number.POSITIVE_INFINITY, of: () => 0 }) {
    this.#half = Math.max(1, Math.floor(max / 2));
    this.#halfWeight = weighing.max / 2;
    this.#weigh = weighing.of;
  }

  get size(): number {
    return this.#young.size + this.#old.size;
  }

  get(key: string): Value | undefined {
    const young = this.#young.get(key);
    if (young !== undefined) return young;
    const old = this.#old.get(key);
    if (old !== undefined) this.set(key, old);
    return old;
  }

  /** As `get`, without counting as use. */
  peek(key: string): Value | undefined {
    return this.#young.get(key) ?? this.#old.get(key);
  }

  set(key: string, value: Value): void {
    this.delete(key);
    this.#young.set(key, value);
    this.#youngWeight += this.#weigh(value);
    if (this.#young.size < this.#half && this.#youngWeight < this.#halfWeight) return;
    this.#old = this.#young;
    this.#young = new Map();
    this.#youngWeight = 0;
  }

  delete(key: string): void {
    const young = this.#young.get(key);
    if (young !== undefined) {
      this.#young.delete(key);
      this.#youngWeight -= this.#weigh(young);
    }
    this.#old.delete(key);
  }

  clear(): void {
    this.#young = new Map();
    this.#youngWeight = 0;
    this.#old = new Map();
  }
}
