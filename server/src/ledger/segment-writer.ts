import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { LedgerFile, LedgerFileSystem } from './ledger-file-system.ts';
import { encodeCut, encodeEnd, finishRecords, maxRecordBytes } from './record.ts';
import { encodeHeader, type SegmentHeader } from './segment-header.ts';
import { segmentFileName } from './segment-list.ts';

/** Of a segment that a write had failed in, nothing counts from `offset` on. */
export interface Cut {
  readonly segmentId: string;
  readonly offset: number;
}

export interface NewSegment {
  readonly fileSystem: LedgerFileSystem;
  /** It exists. */
  readonly directory: string;
  readonly installationId: string;
  readonly dataDirectoryId: string;
  readonly nowMs: number;
  /** Notes that it is to carry. */
  readonly cuts: readonly Cut[];
  /** So many bytes are taken from the disk at a time. */
  readonly allocationBytes: number;
}

/** A segment that is written: its batches are on disk one after the other. Not to be called again before it has answered. */
export class SegmentWriter {
  readonly header: SegmentHeader;
  /** Whether it says of other segments where they end. */
  readonly hasCuts: boolean;
  readonly #fileSystem: LedgerFileSystem;
  readonly #directory: string;
  readonly #file: LedgerFile;
  readonly #seed: number;
  readonly #zeros: Buffer;
  #durableEnd: number;
  #allocatedEnd: number;
  #hasRecords = false;

  /**
   * Makes a segment under a name of its own, which is on disk when this resolves. Nothing is left where it fails, as
   * far as the disk still does what it is told.
   */
  static async create(options: NewSegment): Promise<SegmentWriter> {
    const { fileSystem, directory } = options;
    const segmentId = randomBytes(16).toString('hex');
    const path = join(directory, segmentFileName(segmentId));
    const file = await fileSystem.create(path);
    try {
      const header: SegmentHeader = {
        segmentId,
        installationId: options.installationId,
        dataDirectoryId: options.dataDirectoryId,
        createdAtMs: options.nowMs,
      };
      const { bytes, seed } = encodeHeader(header);
      await writeAll(file, bytes, bytes.length, 0);
      // Before anything comes after it: a bad header in a file that goes on is then damage, never a crash.
      await file.datasync();
      const end = await writeCuts(file, options.cuts, bytes.length, seed);
      const writer = new SegmentWriter(options, { header, file, seed, end });
      // It also shows whether the disk takes more than a header.
      await writer.#allocate(end);
      await fileSystem.syncDirectory(directory);
      return writer;
    } catch (error) {
      await file.close().catch(ignore);
      await fileSystem.remove(path).catch(ignore);
      throw error;
    }
  }

  private constructor(
    { fileSystem, directory, cuts, allocationBytes }: NewSegment,
    made: { header: SegmentHeader; file: LedgerFile; seed: number; end: number },
  ) {
    this.#fileSystem = fileSystem;
    this.#directory = directory;
    this.header = made.header;
    this.hasCuts = cuts.length > 0;
    this.#file = made.file;
    this.#seed = made.seed;
    this.#durableEnd = made.end;
    this.#allocatedEnd = made.end;
    this.#zeros = Buffer.alloc(allocationBytes);
  }

  get id(): string {
    return this.header.segmentId;
  }

  /** All before this offset is on disk and counts; what may come after it does not. */
  get durableEnd(): number {
    return this.#durableEnd;
  }

  /** Whether a batch of decisions has come to be on disk. */
  get hasRecords(): boolean {
    return this.#hasRecords;
  }

  /**
   * Writes a batch and waits until it is on disk. Where this fails, `cutBack` is all that may follow: after a failed
   * sync nobody knows what is on disk, and a later one that succeeds does not tell (the kernel has dropped the pages).
   */
  async write(buffer: Buffer, length: number): Promise<void> {
    finishRecords(buffer, length, this.#seed);
    if (this.#durableEnd + length > this.#allocatedEnd) await this.#allocate(this.#durableEnd + length);
    await writeAllDurably(this.#file, buffer, length, this.#durableEnd);
    this.#durableEnd += length;
    this.#hasRecords = true;
  }

  /**
   * Closes the segment after a failure at its last known good offset.
   *
   * @returns whether nothing beyond that offset can come back. Otherwise a note in another segment must say so.
   */
  async cutBack(): Promise<boolean> {
    const isCut = await this.#file
      .truncate(this.#durableEnd)
      .then(() => this.#file.datasync())
      .then(yes, no);
    await this.#file.close().catch(ignore);
    return isCut;
  }

  /** Takes a segment that never held a decision out of the directory, as far as possible. Its file is closed. */
  async remove(): Promise<void> {
    await this.#fileSystem.remove(join(this.#directory, segmentFileName(this.id))).catch(ignore);
  }

  /**
   * Closes the segment in order. That it can't be noted as such takes nothing from what is in it: it then reads like
   * one that a crash ended.
   */
  async seal(): Promise<void> {
    const buffer = Buffer.alloc(maxRecordBytes);
    const length = encodeEnd(buffer, 0);
    finishRecords(buffer, length, this.#seed);
    await this.#file
      .truncate(this.#durableEnd)
      // First on disk: nothing may ever stand after the end.
      .then(() => this.#file.datasync())
      .then(() => writeAll(this.#file, buffer, length, this.#durableEnd))
      .then(() => this.#file.datasync())
      .catch(ignore);
    await this.#file.close().catch(ignore);
  }

  /**
   * Writes zeros, which are no record whatever of them a crash leaves, to beyond `end`. A sync after a write into them
   * then needs no change of the file's size or of its blocks, and so none of the file system's journal: half the time.
   */
  async #allocate(end: number): Promise<void> {
    for (let at = this.#durableEnd; at < end + this.#zeros.length; at += this.#zeros.length) {
      await writeAll(this.#file, this.#zeros, this.#zeros.length, at);
      this.#allocatedEnd = at + this.#zeros.length;
    }
    await this.#file.datasync();
  }
}

async function writeCuts(file: LedgerFile, cuts: readonly Cut[], at: number, seed: number): Promise<number> {
  if (cuts.length === 0) return at;
  const buffer = Buffer.alloc(cuts.length * maxRecordBytes);
  let length = 0;
  for (const { segmentId, offset } of cuts) length = encodeCut(segmentId, offset, buffer, length);
  finishRecords(buffer, length, seed);
  await writeAll(file, buffer, length, at);
  await file.datasync();
  return at + length;
}

async function writeAllDurably(
  file: LedgerFile,
  bytes: Buffer,
  length: number,
  position: number,
): Promise<void> {
  for (let written = 0; written < length; ) {
    const more = await file.writeDurably(bytes, written, length - written, position + written);
    if (more <= 0) throw nothingWritten();
    written += more;
  }
}

async function writeAll(file: LedgerFile, bytes: Buffer, length: number, position: number): Promise<void> {
  for (let written = 0; written < length; ) {
    const more = await file.write(bytes, written, length - written, position + written);
    if (more <= 0) throw nothingWritten();
    written += more;
  }
}

function nothingWritten(): Error {
  return Object.assign(new Error('nothing was written'), { code: 'EIO' });
}

function ignore(): void {}
const yes = () => true;
const no = () => false;
