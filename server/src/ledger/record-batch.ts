import { encodeDecision, type LedgerRecord, maxRecordBytes } from './record.ts';

/** Records that wait to be written together. The buffer is made once and filled again and again. */
export class RecordBatch {
  readonly buffer: Buffer;
  #length = 0;
  #count = 0;
  #settled = Promise.withResolvers<void>();

  constructor(capacityBytes: number) {
    this.buffer = Buffer.alloc(capacityBytes);
  }

  /** Bytes of `buffer` that hold records. */
  get length(): number {
    return this.#length;
  }

  /** How many records that is. */
  get count(): number {
    return this.#count;
  }

  get isEmpty(): boolean {
    return this.#length === 0;
  }

  get hasRoom(): boolean {
    return this.#length + maxRecordBytes <= this.buffer.length;
  }

  /**
   * Takes a record in and answers what becomes of the batch: one promise for all in it, so that an append makes none.
   *
   * @throws {RangeError} for a record that can't be written, the others of the batch being none the worse
   */
  add(record: LedgerRecord): Promise<void> {
    this.#length = encodeDecision(record, this.buffer, this.#length);
    this.#count++;
    return this.#settled.promise;
  }

  /** Tells all that wait that their records are on disk, and is empty again. */
  resolve(): void {
    const { resolve } = this.#settled;
    this.#clear();
    resolve();
  }

  /** Tells all that wait that theirs are not, and is empty again. */
  reject(error: Error): void {
    if (this.isEmpty) return;
    const { reject } = this.#settled;
    this.#clear();
    reject(error);
  }

  #clear(): void {
    this.#length = 0;
    this.#count = 0;
    this.#settled = Promise.withResolvers<void>();
  }
}
