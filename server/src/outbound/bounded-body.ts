/**
 * Collects what a receiver sends, as far as there is room. One buffer that grows, since chunks of one byte each would take a
 * hundred times their length if they were kept.
 */
export class BoundedBody {
  readonly #maxBytes: number;
  #buffer = Buffer.alloc(0);
  #length = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** @returns false where the chunk did not fit; as much of it as does is kept */
  add(chunk: Buffer): boolean {
    const fitting = Math.min(chunk.length, this.#maxBytes - this.#length);
    this.#makeRoomFor(this.#length + fitting);
    chunk.copy(this.#buffer, this.#length, 0, fitting);
    this.#length += fitting;
    return fitting === chunk.length;
  }

  read(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  #makeRoomFor(length: number): void {
    if (length <= this.#buffer.length) return;
    const larger = Buffer.alloc(Math.min(this.#maxBytes, Math.max(length, 2 * this.#buffer.length)));
    this.#buffer.copy(larger);
    this.#buffer = larger;
  }
}
