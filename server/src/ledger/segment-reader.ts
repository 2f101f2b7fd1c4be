import { DecisionView } from './decision-view.ts';
import type { LedgerFile } from './ledger-file-system.ts';
import {
  findRecord,
  frameBytes,
  isPartial,
  type LedgerRecord,
  maxRecordBytes,
  readEntry,
  type SegmentEntry,
  startsBatch,
} from './record.ts';
import { type DecodedHeader, decodeHeader, maxHeaderBytes } from './segment-header.ts';

/** Where reading came to its end, and why. All up to `offset` was whole. */
export type SegmentEnd =
  /**
   * Everything was read: up to `until`, or to where there is nothing but the zeros that space is taken with.
   * `isSealed`: it was closed in order.
   */
  | { readonly kind: 'end'; readonly offset: number; readonly isSealed: boolean }
  /** The visitor wanted no more; reading goes on at `offset`. */
  | { readonly kind: 'stopped'; readonly offset: number }
  /**
   * What is left of a batch that a crash has cut off, so nothing that was acknowledged. `recordsAfter` counts whole
   * records of the same batch after the damage: none where the process died, some where the power did, or where the
   * last batch was damaged later, which looks the same.
   */
  | { readonly kind: 'torn'; readonly offset: number; readonly bytes: number; readonly recordsAfter: number }
  /** Records that were on disk are damaged. `nextWholeAt`: where the next batch begins that is not. */
  | { readonly kind: 'corrupt'; readonly offset: number; readonly nextWholeAt: number | null }
  /** A record of a kind that only a newer version knows. */
  | { readonly kind: 'unknown'; readonly offset: number }
  /** The file ends before `from` or `until`: it is not the file that these were taken from, or was truncated. */
  | { readonly kind: 'missing'; readonly offset: number };

export interface ReadSegment {
  /** Of the header. */
  readonly seed: number;
  /** Where a record begins: the end of the header, or the offset after a record. */
  readonly from: number;
  /** Where what counts ends, by a better source than the file; all before it must be whole. */
  readonly until?: number | undefined;
  /** Read at a time, `maxRecordBytes` or more: twice that at least, or every record is read for itself. */
  readonly pageBytes?: number;
  /** Called for each decision with the offset after it; answers whether to read on. */
  readonly onDecision?: (record: LedgerRecord, endOffset: number) => boolean;
  /** The same without making a record of it, which takes the tenfold; instead of `onDecision`. */
  readonly onView?: (view: DecisionView, endOffset: number) => boolean;
  /** The same for each note about another segment. */
  readonly onCut?: (cut: Extract<SegmentEntry, { kind: 'cut' }>, endOffset: number) => boolean;
}

const defaultPageBytes = 256 * 1024;
/** Before every record this much is in memory, as far as the file has it. */
const zeros = Buffer.alloc(maxRecordBytes);

/** Reads what stands at the beginning of a segment. */
export async function readHeader(file: LedgerFile): Promise<DecodedHeader> {
  const size = await file.size();
  const bytes = Buffer.alloc(Math.min(size, maxHeaderBytes));
  return decodeHeader(bytes.subarray(0, await readFully(file, bytes, 0, bytes.length, 0)), size);
}

/** Reads the records of a segment one after the other, in the memory of a buffer. */
export async function readSegment(file: LedgerFile, options: ReadSegment): Promise<SegmentEnd> {
  const size = await file.size();
  const { from, until, seed } = options;
  const limit = until ?? size;
  if (from > size || limit > size) return { kind: 'missing', offset: Math.min(from, size) };
  const pages = new SegmentPages(file, from, limit, options.pageBytes ?? defaultPageBytes);
  const view = new DecisionView();
  let isSealed = false;
  for (;;) {
    if (pages.available < maxRecordBytes) await pages.fill();
    const { offset, at } = pages;
    if (pages.available === 0 && offset < limit) return { kind: 'missing', offset };
    if (pages.available === 0) return { kind: 'end', offset, isSealed };
    if (isSealed) return { kind: 'corrupt', offset, nextWholeAt: null };
    const end = findRecord(pages.buffer, at, pages.end, seed);
    if (end <= isPartial) return await afterDamage(pages, seed, until !== undefined);
    const entry = readEntry(pages.buffer, at, end, view);
    if (entry !== 'decision' && entry.kind === 'unknown') return { kind: 'unknown', offset };
    pages.at = end;
    let readsOn: boolean | undefined = true;
    if (entry === 'decision') readsOn = visit(options, view, pages.offset);
    else if (entry.kind === 'end') isSealed = true;
    else readsOn = options.onCut?.(entry, pages.offset);
    if (readsOn === false) return { kind: 'stopped', offset: pages.offset };
  }
}

function visit(
  { onDecision, onView }: ReadSegment,
  view: DecisionView,
  endOffset: number,
): boolean | undefined {
  return onView === undefined ? onDecision?.(view.record(), endOffset) : onView(view, endOffset);
}

/** Tells a write that was cut off from damage: after the first, nothing comes that was begun later. */
async function afterDamage(pages: SegmentPages, seed: number, isDurable: boolean): Promise<SegmentEnd> {
  const { offset } = pages;
  let recordsAfter = 0;
  let isUnused = pages.takeZero();
  for (;;) {
    if (pages.available < maxRecordBytes) await pages.fill();
    if (pages.available < frameBytes) break;
    if (pages.skipZeros()) continue;
    const end = findRecord(pages.buffer, pages.at, pages.end, seed);
    if (end <= isPartial) {
      isUnused = pages.takeZero() && isUnused;
      continue;
    }
    if (startsBatch(pages.buffer, pages.at)) return { kind: 'corrupt', offset, nextWholeAt: pages.offset };
    isUnused = false;
    recordsAfter++;
    pages.at = end;
  }
  if (isDurable) return { kind: 'corrupt', offset, nextWholeAt: null };
  while (pages.available > 0) isUnused = pages.takeZero() && isUnused;
  if (isUnused) return { kind: 'end', offset, isSealed: false };
  return { kind: 'torn', offset, bytes: pages.limit - offset, recordsAfter };
}

/** A window on a file that moves forward. */
class SegmentPages {
  readonly buffer: Buffer;
  readonly limit: number;
  /** What is still to be read of the buffer. */
  at = 0;
  end = 0;
  readonly #file: LedgerFile;
  #bufferOffset: number;

  constructor(file: LedgerFile, from: number, limit: number, pageBytes: number) {
    this.buffer = Buffer.allocUnsafe(pageBytes);
    this.#file = file;
    this.#bufferOffset = from;
    this.limit = limit;
  }

  /** Of `at`, in the file. */
  get offset(): number {
    return this.#bufferOffset + this.at;
  }

  get available(): number {
    return this.end - this.at;
  }

  /** Goes on by a byte, and says whether it was zero. */
  takeZero(): boolean {
    return this.buffer[this.at++] === 0;
  }

  /**
   * Goes on where only zeros come for long, and says whether they did. A process that was killed leaves up to a megabyte
   * of them, which to look at byte by byte takes a hundred times as long as to read its records.
   */
  skipZeros(): boolean {
    const { buffer, at } = this;
    if (buffer[at] !== 0 || this.available < zeros.length) return false;
    if (buffer.compare(zeros, 0, zeros.length, at, at + zeros.length) !== 0) return false;
    // A record has a length that is not 0: one may begin only so near the end that its length lies beyond.
    this.at += zeros.length - frameBytes + 1;
    return true;
  }

  /** Reads on, so that as much is available as fits or is left. */
  async fill(): Promise<void> {
    const left = this.limit - this.#bufferOffset - this.end;
    if (left <= 0) return;
    this.buffer.copyWithin(0, this.at, this.end);
    this.#bufferOffset += this.at;
    this.end -= this.at;
    this.at = 0;
    const wanted = Math.min(left, this.buffer.length - this.end);
    this.end += await readFully(this.#file, this.buffer, this.end, wanted, this.#bufferOffset + this.end);
  }
}

/** @returns fewer bytes than `length` only where the file ends */
async function readFully(
  file: LedgerFile,
  into: Buffer,
  at: number,
  length: number,
  position: number,
): Promise<number> {
  let done = 0;
  while (done < length) {
    const more = await file.read(into, at + done, length - done, position + done);
    if (more === 0) break;
    done += more;
  }
  return done;
}
