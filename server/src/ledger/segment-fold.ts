import type { FoldSize } from './fold-size.ts';
import { foldStep, type Queryable, readPositions, type SegmentPosition } from './fold-store.ts';
import { FoldSums } from './fold-sums.ts';
import type { LedgerFileSystem } from './ledger-file-system.ts';
import type { LedgerFindings } from './ledger-findings.ts';
import { openSegment, type Segment, unlessGone } from './segment-list.ts';
import { readSegment, type SegmentEnd } from './segment-reader.ts';

export interface SegmentFoldDependencies {
  readonly connection: Queryable;
  readonly fileSystem: LedgerFileSystem;
  readonly findings: LedgerFindings;
  readonly nowMs: () => number;
  readonly size: FoldSize;
  /** Told how many decisions have come to be in the tables. */
  readonly onFolded: (records: number) => void;
}

/** How far a segment is to be folded. */
export interface FoldTarget {
  /** Where what counts ends; left out, that is for the file to say. */
  readonly until?: number | undefined;
  /** Nothing more will come after that. */
  readonly isEnded: boolean;
}

/** A thousand records or so: less than two milliseconds of work at a time. */
const pageBytes = 128 * 1024;
/** Somebody else at the same segment is a few steps ahead at the most. */
const mostRaces = 1_000;

/**
 * Brings the decisions of one segment into the database. Where it stands is a number in the database: what is here is
 * only believed, and every step says what it believes.
 */
export class SegmentFold {
  readonly segment: Segment;
  readonly #deps: SegmentFoldDependencies;
  /** Where to go on: no decision before that is missing in the database. */
  #position: number;
  /** What the database says; null: nothing yet, undefined: not known. */
  #row: Pick<SegmentPosition, 'position' | 'isFinished'> | null | undefined;
  #isFinished = false;
  #isBlocked = false;

  constructor(segment: Segment, deps: SegmentFoldDependencies) {
    this.segment = segment;
    this.#deps = deps;
    this.#position = segment.begin;
  }

  get id(): string {
    return this.segment.header.segmentId;
  }

  get position(): number {
    return this.#position;
  }

  /** Nothing more will come, and all that came is in the database. */
  get isFinished(): boolean {
    return this.#isFinished;
  }

  /** Something is wrong with it that nobody but the operator can help. */
  get isBlocked(): boolean {
    return this.#isBlocked;
  }

  /** Where it is by the database; null where that knows nothing of it. */
  get storedPosition(): number | null {
    return this.#row?.position ?? null;
  }

  /**
   * Believes what the database has said. Not that it is finished: somebody with an older copy of the file may have come
   * to the end of that.
   */
  believe(position: SegmentPosition | undefined): void {
    this.#row = position ?? null;
    this.#position = position?.position ?? this.segment.begin;
    this.#isFinished = false;
  }

  /** Folds what is not folded yet. When it throws, the next call begins by asking where the segment is. */
  async run(target: FoldTarget): Promise<void> {
    if (this.#row === undefined) {
      const positions = await readPositions(this.#deps.connection, [this.id]);
      this.believe(positions.get(this.id));
    }
    for (let races = 0; races < mostRaces; ) {
      const next = await this.#read(target);
      if (next === null) return;
      if (!(await this.#write(next))) races++;
      else if (next.isLast) return;
    }
    throw new Error('somebody else is at the same segment of the ledger all the time');
  }

  /** The next step; null where there is nothing to do. */
  async #read(target: FoldTarget): Promise<Step | null> {
    const { fileSystem, findings, nowMs, size } = this.#deps;
    const { path, seed } = this.segment;
    const from = this.#position;
    const sums = new FoldSums(nowMs() / 1000, size.bounds);
    await using opened = await openSegment(fileSystem, path).catch(unlessGone);
    if (opened === null) {
      this.#isBlocked = true;
      findings.report('lost_file', this.id, { file: path });
      return null;
    }
    let reached = from;
    const read = (readFrom: number, until: number | undefined) =>
      readSegment(opened.file, {
        seed,
        from: readFrom,
        until,
        pageBytes,
        onView: (view, endOffset) => {
          if (!sums.add(view)) return false;
          reached = endOffset;
          return true;
        },
      });
    let end = await read(from, target.until);
    if (end.kind === 'missing' && target.until !== undefined && end.offset >= from) {
      findings.report('truncated', this.id, { offset: end.offset, size_bytes: target.until - end.offset });
      // What is left of it counts all the same.
      if (target.isEnded) end = await read(end.offset, undefined);
    }
    return this.#stepTo(end, { from, reached, sums, target, size: await opened.file.size() });
  }

  #stepTo(end: SegmentEnd, read: ReadPart): Step | null {
    const { findings } = this.#deps;
    const { from, reached, sums, target, size } = read;
    const step = (to: number, isLast: boolean, lostBytes = 0): Step => {
      const isFinished = isLast && target.isEnded && !this.#isBlocked;
      return { sums, to, isFinished, isLast, lostBytes };
    };
    switch (end.kind) {
      case 'stopped':
        return step(reached, false);
      // Up to the last decision and not to the note that closes the segment: a power cut may still take that away, and
      // then more would have been counted than there is.
      case 'end':
        return step(reached, true);
      case 'torn':
        if (end.recordsAfter > 0)
          findings.report('torn_records', this.id, { offset: end.offset, count: end.recordsAfter });
        return step(reached, true);
      case 'corrupt': {
        const next = end.nextWholeAt ?? target.until ?? size;
        findings.report('corrupt', this.id, { offset: end.offset, size_bytes: next - end.offset });
        return step(next, end.nextWholeAt === null, next - end.offset);
      }
      case 'unknown':
        this.#isBlocked = true;
        findings.report('unknown_version', this.id, { offset: end.offset });
        return step(end.offset, true);
      case 'missing':
        if (end.offset < from) {
          this.#isBlocked = target.isEnded;
          findings.report('past_end', this.id, { offset: from, size_bytes: size });
        }
        return null;
    }
  }

  /** @returns false where the segment was not where it was believed to be */
  async #write({ sums, to, isFinished, lostBytes }: Step): Promise<boolean> {
    const { connection, nowMs, size, onFolded } = this.#deps;
    const row = this.#row ?? null;
    const isNews = sums.records > 0 || lostBytes > 0 || (row !== null && row.isFinished !== isFinished);
    if (isNews) {
      // Until it has answered.
      this.#row = undefined;
      const found = await foldStep(connection, {
        header: this.segment.header,
        expected: row?.position ?? null,
        reached: to,
        isFinished,
        lostBytes,
        sums,
        nowMs: nowMs(),
      }).catch((error: unknown) => {
        size.failed(error);
        throw error;
      });
      size.fitted();
      if (found !== to) {
        const positions = await readPositions(connection, [this.id]);
        this.believe(positions.get(this.id));
        return false;
      }
      this.#row = { position: to, isFinished };
      onFolded(sums.records);
    }
    this.#position = to;
    this.#isFinished = isFinished;
    return true;
  }
}

interface ReadPart {
  readonly from: number;
  readonly reached: number;
  readonly sums: FoldSums;
  readonly target: FoldTarget;
  readonly size: number;
}

interface Step {
  readonly sums: FoldSums;
  readonly to: number;
  readonly isFinished: boolean;
  /** Nothing is left to read. */
  readonly isLast: boolean;
  readonly lostBytes: number;
}
