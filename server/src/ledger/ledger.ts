import { setTimeout as sleep } from 'node:timers/promises';
import { systemErrorCode } from '../supervisor/start-error.ts';
import { type LedgerFileSystem, nodeFileSystem } from './ledger-file-system.ts';
import { LedgerUnavailableError } from './ledger-unavailable.ts';
import type { LedgerRecord } from './record.ts';
import { RecordBatch } from './record-batch.ts';
import { type Cut, SegmentWriter } from './segment-writer.ts';

export type LedgerState =
  | { readonly kind: 'writable' }
  /** `reason` as in `LedgerUnavailableError`. It becomes writable by itself once the disk is. */
  | { readonly kind: 'refusing'; readonly reason: string; readonly error: unknown }
  | { readonly kind: 'closed' };

export interface LedgerOptions {
  /** The ledger's own directory; made if it is missing. */
  readonly directory: string;
  /** 32 hex digits each, see SegmentHeader. */
  readonly installationId: string;
  readonly dataDirectoryId: string;
  /** Called after each change of the state. */
  readonly onState?: (state: LedgerState) => void;
  /** A segment that has so many bytes is followed by a new one. */
  readonly maxSegmentBytes?: number;
  /** The same for its age; an idle segment stays until the next record comes. */
  readonly maxSegmentAgeMs?: number;
  /** Bytes of records that may wait while the disk is at work; beyond that they are refused. */
  readonly maxWaitingBytes?: number;
  /** Bytes that a segment takes from the disk at a time. */
  readonly allocationBytes?: number;
  readonly fileSystem?: LedgerFileSystem;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** Rejects when `signal` aborts. */
  readonly delay?: (ms: number, signal: AbortSignal) => Promise<void>;
}

/**
 * The node's own record of its decisions, each on disk before it is answered.
 *
 * Group commit: what comes in while one write is synced makes up the next one, so a sync is shared by all that wait
 * and nothing waits for a clock. Every `open` begins a segment of its own and leaves those of earlier starts as they
 * are: what a crash has left at the end of one is never built upon.
 */
export class Ledger {
  readonly #options: Required<LedgerOptions>;
  readonly #closing = new AbortController();
  /** End of what counts, for every segment that this process has written and not removed. */
  readonly #ends = new Map<string, number>();
  #state: LedgerState = { kind: 'writable' };
  #appended = 0;
  #refused = 0;
  #segment: SegmentWriter | null = null;
  /** Notes that no segment with decisions carries yet. */
  #cuts: Cut[] = [];
  #gathering: RecordBatch;
  #spare: RecordBatch;
  /** The work on the disk that is under way, or null. It never rejects. */
  #work: Promise<void> | null = null;
  #closed: Promise<void> | null = null;

  /** Resolves once it is writable or knows why it is not; then it goes on trying. */
  static async open(options: LedgerOptions): Promise<Ledger> {
    const ledger = new Ledger(options);
    const { error } = await ledger.#begin();
    if (error !== null) {
      ledger.#refuse(error);
      ledger.#work = ledger.#run();
    }
    return ledger;
  }

  private constructor(options: LedgerOptions) {
    this.#options = { ...defaults, ...options };
    this.#gathering = new RecordBatch(this.#options.maxWaitingBytes);
    this.#spare = new RecordBatch(this.#options.maxWaitingBytes);
  }

  get state(): LedgerState {
    return this.#state;
  }

  /**
   * Resolves when the record is on disk.
   *
   * @returns a promise that rejects with a LedgerUnavailableError where it is not, and with a RangeError for a record
   *   that can't be written
   */
  append(record: LedgerRecord): Promise<void> {
    if (this.#state.kind !== 'writable') return this.#rejectOne(this.#refusal());
    if (!this.#gathering.hasRoom) return this.#rejectOne(new LedgerUnavailableError('full'));
    let settled: Promise<void>;
    try {
      settled = this.#gathering.add(record);
    } catch (error) {
      return Promise.reject(error);
    }
    this.#work ??= this.#run();
    return settled;
  }

  /**
   * Up to where a segment that this process writes or wrote counts: a reader must not go further, for what comes after
   * may still fail. undefined for segments of earlier starts, which count as far as they are whole.
   */
  durableEndOf(segmentId: string): number | undefined {
    const segment = this.#segment;
    return segment?.id === segmentId ? segment.durableEnd : this.#ends.get(segmentId);
  }

  /** The segment that further records go to; null while there is none. All others are complete. */
  get writingTo(): string | null {
    return this.#segment?.id ?? null;
  }

  /** How many records have come to be on disk, and how many were refused, since it was opened. */
  get counts(): { readonly appended: number; readonly refused: number } {
    return { appended: this.#appended, refused: this.#refused };
  }

  /** The segments that `durableEndOf` knows. */
  ownSegmentIds(): string[] {
    return [...this.#ends.keys()];
  }

  /** Called when a segment's file has been deleted. */
  forget(segmentId: string): void {
    this.#ends.delete(segmentId);
  }

  /** Writes what waits, closes the segment in order and takes no more. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#setState({ kind: 'closed' });
    this.#closing.abort();
    while (this.#work !== null) await this.#work;
    await this.#endSegment();
  }

  /** Writes what waits, until nothing does and the disk takes more. */
  async #run(): Promise<void> {
    // Those that came in with the same turn of the event loop share the first sync, too.
    await new Promise(setImmediate);
    for (;;) {
      while (!this.#gathering.isEmpty) {
        const batch = this.#gathering;
        this.#gathering = this.#spare;
        this.#spare = batch;
        await this.#write(batch);
      }
      if (this.#state.kind !== 'refusing') break;
      await this.#retry();
    }
    this.#work = null;
  }

  async #write(batch: RecordBatch): Promise<void> {
    if (this.#isSegmentDone()) await this.#endSegment();
    if (this.#segment === null) {
      const { error } = await this.#begin();
      if (error !== null) {
        this.#reject(batch, unavailable(error));
        this.#refuse(error);
        return;
      }
    }
    const segment = this.#segment!;
    try {
      await segment.write(batch.buffer, batch.length);
    } catch (error) {
      await this.#recover(segment, batch, error);
      return;
    }
    this.#cuts = [];
    this.#ends.set(segment.id, segment.durableEnd);
    this.#appended += batch.count;
    batch.resolve();
  }

  /** Gives up a segment after a failure. The batch is answered only once it is known what becomes of its records. */
  async #recover(segment: SegmentWriter, batch: RecordBatch, error: unknown): Promise<void> {
    this.#segment = null;
    const isCut = await segment.cutBack();
    // Where there are records, also after a cut that the disk has confirmed: it is a disk that has just failed.
    if (segment.hasRecords || !isCut) this.#cuts.push({ segmentId: segment.id, offset: segment.durableEnd });
    if (!segment.hasRecords && !segment.hasCuts) {
      await segment.remove();
      this.#ends.delete(segment.id);
    }
    const begun = await this.#begin();
    const isNoted = begun.error === null;
    this.#reject(batch, unavailable(error, !(isCut || isNoted)));
    // A new segment that takes no batch either must not be followed by another at once, and so on.
    if (!isNoted) this.#refuse(begun.error);
    else if (!segment.hasRecords) this.#refuse(error);
  }

  #refuse(error: unknown): void {
    if (this.#state.kind !== 'closed') {
      this.#setState({ kind: 'refusing', reason: systemErrorCode(error) ?? 'unknown', error });
    }
    this.#reject(this.#gathering, unavailable(error));
  }

  #reject(batch: RecordBatch, error: LedgerUnavailableError): void {
    this.#refused += batch.count;
    batch.reject(error);
  }

  #rejectOne(error: LedgerUnavailableError): Promise<never> {
    this.#refused++;
    return Promise.reject(error);
  }

  /** Tries again, less and less often but never giving up, until the disk takes a write or this is closed. */
  async #retry(): Promise<void> {
    const { delay } = this.#options;
    for (let waitMs = firstRetryMs; ; waitMs = Math.min(waitMs * 2, slowestRetryMs)) {
      try {
        await delay(waitMs, this.#closing.signal);
      } catch {
        return;
      }
      if (this.#state.kind !== 'refusing') return;
      if (this.#segment !== null || (await this.#begin()).error === null) break;
    }
    if (this.#state.kind === 'refusing') this.#setState({ kind: 'writable' });
  }

  async #begin(): Promise<{ error: unknown }> {
    const { fileSystem, directory, now } = this.#options;
    try {
      await fileSystem.makeDirectory(directory);
      this.#segment = await SegmentWriter.create({
        ...this.#options,
        nowMs: now(),
        cuts: this.#cuts,
      });
      this.#ends.set(this.#segment.id, this.#segment.durableEnd);
      return { error: null };
    } catch (error) {
      return { error: error ?? new Error('the segment could not be made') };
    }
  }

  #isSegmentDone(): boolean {
    const segment = this.#segment;
    if (segment === null || !segment.hasRecords) return false;
    const { maxSegmentBytes, maxSegmentAgeMs, now } = this.#options;
    return segment.durableEnd >= maxSegmentBytes || now() - segment.header.createdAtMs >= maxSegmentAgeMs;
  }

  async #endSegment(): Promise<void> {
    const segment = this.#segment;
    this.#segment = null;
    await segment?.seal();
  }

  #refusal(): LedgerUnavailableError {
    const state = this.#state;
    return state.kind === 'refusing' ? unavailable(state.error) : new LedgerUnavailableError('closed');
  }

  #setState(state: LedgerState): void {
    this.#state = state;
    this.#options.onState(state);
  }
}

const firstRetryMs = 100;
const slowestRetryMs = 5_000;

const defaults = {
  onState: () => {},
  maxSegmentBytes: 16 * 1024 * 1024,
  maxSegmentAgeMs: 3_600_000,
  // Five thousand records and more: a server answers 503 for other reasons before as many wait.
  maxWaitingBytes: 1024 * 1024,
  // An allocation costs as much as a few batches: one for ten thousand records.
  allocationBytes: 1024 * 1024,
  fileSystem: nodeFileSystem,
  now: Date.now,
  delay: (ms: number, signal: AbortSignal) => sleep(ms, undefined, { signal, ref: false }),
};

function unavailable(error: unknown, mayBeCounted = false): LedgerUnavailableError {
  return new LedgerUnavailableError(systemErrorCode(error) ?? 'unknown', { mayBeCounted, cause: error });
}
