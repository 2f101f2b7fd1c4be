import { isSoak } from './scale.ts';

/**
 * Random choices of a test: the same in every CI run, so that a failure there is a failure of the change, and others
 * in every soak run. `seed` goes into the message of a failure, to repeat it.
 */
export class Random {
  readonly seed: number;
  #state: number;

  constructor(seed = isSoak ? Date.now() >>> 0 : 20_261_121) {
    this.seed = seed;
    this.#state = seed;
  }

  /** From 0 to 1, without 1 (mulberry32). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  }

  /** A whole number from 0 to `below`, without it. */
  int(below: number): number {
    return Math.floor(this.next() * below);
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(items: readonly T[]): T {
    if (items.length === 0) throw new RangeError('nothing to pick from');
    return items[this.int(items.length)]!;
  }

  text(length: number, alphabet: string): string {
    return Array.from({ length }, () => alphabet[this.int(alphabet.length)]).join('');
  }
}
