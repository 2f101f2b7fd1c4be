/**
 * What all steps together may err by on paper. In practice two numbers of a digest stand in for some twenty independent
 * ones, which errs a little more often; this leaves room for it.
 */
const falsePositives = 5e-6;
const firstCapacity = 4_096;
/** Steps of this size, 20 MiB, are followed by ones as large. */
const largestCapacity = 4 * 1024 * 1024;

/**
 * A set of digests that forgets which they were: it knows for sure what is not in it, and is wrong about at most 1 in
 * 100,000 of what it says is (Bloom 1970; in steps: Almeida et al., Scalable Bloom Filters, 2007).
 *
 * It grows in steps, for what is in a filter can't be moved to a larger one. Each step holds twice what the one before
 * it holds and is allowed half of its errors, so that all of them together keep within the bound.
 *
 * | digests   | memory  | bits a digest |
 * | --------- | ------- | ------------- |
 * | 4,096     | 14 KiB  | 27            |
 * | 100,000   | 0.5 MiB | 41            |
 * | 1,000,000 | 4.5 MiB | 38            |
 *
 * With a million in it, 15 to 21 of four million strangers were taken for members: 1 in 200,000. To add one or to ask
 * for one takes about half a microsecond.
 *
 * A digest is an HMAC, so its bytes are already as good as hashes of it.
 */
export class BloomFilter {
  readonly #steps: Step[] = [new Step(firstCapacity, falsePositives / 2)];
  #size = 0;

  /** How many digests it holds; about one in 100,000 less than were added. */
  get size(): number {
    return this.#size;
  }

  /** The bytes of memory it takes. */
  get bytes(): number {
    return this.#steps.reduce((sum, step) => sum + step.bytes, 0);
  }

  /** @param digest at least 16 bytes that nobody can choose */
  add(digest: Uint8Array): void {
    if (this.mayHave(digest)) return;
    let step = this.#steps.at(-1)!;
    if (step.isFull) {
      step = new Step(
        Math.min(2 * step.capacity, largestCapacity),
        falsePositives / 2 ** (this.#steps.length + 1),
      );
      this.#steps.push(step);
    }
    step.add(digest);
    this.#size++;
  }

  /** False: it was never added. */
  mayHave(digest: Uint8Array): boolean {
    // The newest step holds about half of everything.
    for (let index = this.#steps.length - 1; index >= 0; index--) {
      if (this.#steps[index]!.mayHave(digest)) return true;
    }
    return false;
  }
}

/** A filter of fixed size. */
class Step {
  readonly capacity: number;
  readonly #bits: Uint32Array;
  readonly #bitCount: number;
  readonly #probes: number;
  #size = 0;

  constructor(capacity: number, falsePositives: number) {
    this.capacity = capacity;
    // As many probes as make half of the bits 1 when it is full, which is where a given memory errs least.
    this.#probes = Math.ceil(Math.log2(1 / falsePositives));
    const words = Math.ceil((capacity * this.#probes) / Math.LN2 / 32);
    this.#bits = new Uint32Array(words);
    this.#bitCount = words * 32;
  }

  get isFull(): boolean {
    return this.#size >= this.capacity;
  }

  get bytes(): number {
    return this.#bits.byteLength;
  }

  add(digest: Uint8Array): void {
    this.#size++;
    let at = wordAt(digest, 0) % this.#bitCount;
    let stride = wordAt(digest, 6) % this.#bitCount;
    for (let probe = 0; probe < this.#probes; probe++) {
      this.#bits[at >>> 5]! |= 1 << (at & 31);
      at = (at + stride) % this.#bitCount;
      stride = (stride + probe + 1) % this.#bitCount;
    }
  }

  mayHave(digest: Uint8Array): boolean {
    let at = wordAt(digest, 0) % this.#bitCount;
    let stride = wordAt(digest, 6) % this.#bitCount;
    for (let probe = 0; probe < this.#probes; probe++) {
      if (((this.#bits[at >>> 5]! >>> (at & 31)) & 1) === 0) return false;
      // Enhanced double hashing (Dillinger and Manolios, 2004): the stride itself moves, or digests whose two numbers
      // have a common divisor would share all of their probes.
      at = (at + stride) % this.#bitCount;
      stride = (stride + probe + 1) % this.#bitCount;
    }
    return true;
  }
}

/** Six bytes as a number below 2^48. */
function wordAt(bytes: Uint8Array, offset: number): number {
  let word = 0;
  for (let index = offset; index < offset + 6; index++) word = word * 256 + bytes[index]!;
  return word;
}
