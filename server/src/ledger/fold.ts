import { join } from 'node:path';
import type { Log } from '../logs/log.ts';
import { isAway, isUnavailable } from '../postgres/unavailable.ts';
import { type FoldBounds, FoldSize } from './fold-size.ts';
import type { SegmentPosition } from './fold-store.ts';
import type { Ledger } from './ledger.ts';
import { SegmentFold, type SegmentFoldDependencies } from './segment-fold.ts';
import { openSegment, type Segment, segmentFileName, unlessGone } from './segment-list.ts';
import { readHeader } from './segment-reader.ts';

export interface LedgerFoldOptions extends Omit<SegmentFoldDependencies, 'onFolded' | 'size'> {
  /** How much is written at once; for tests. */
  readonly bounds?: FoldBounds | undefined;
  /** Of this process; `directory` is where it writes. */
  readonly ledger: Pick<Ledger, 'ownSegmentIds' | 'durableEndOf' | 'writingTo' | 'counts'>;
  readonly directory: string;
  readonly log: Pick<Log, 'info' | 'warn'>;
}

/** How much is not folded yet. */
export interface FoldLag {
  readonly records: number;
  readonly bytes: number;
  /** Everything that was acknowledged so long ago is in the tables. */
  readonly seconds: number;
}

/** What was found of a segment beyond its position. */
export interface Unfolded {
  /** Where what counts of it ends. */
  readonly end: number;
  readonly records: number;
  /** When the first of them was decided; null where there is none. */
  readonly sinceMs: number | null;
}

const everyMs = 1_000;
const slowestMs = 10_000;
/** As many as there may be connections that a restart of Postgres has cut off, and one more. */
const attemptsOfReader = 3;

/** When to fold again: at once idle again, a fold never takes more than a twentieth of the time. */
export function pauseAfter(durationMs: number): number {
  return Math.min(slowestMs, Math.max(everyMs, 20 * durationMs));
}

/**
 * Brings the decisions of the ledger into the tables of metering, each exactly once: those of this process while it
 * writes them, and those that earlier ones have left. It reads files and writes to the database, and no decision waits
 * for it.
 */
export class LedgerFold {
  readonly #options: LedgerFoldOptions;
  readonly #deps: SegmentFoldDependencies;
  /** In the order in which they were made; those of earlier processes first. */
  readonly #adopted = new Map<string, { fold: SegmentFold; end: number }>();
  readonly #own = new Map<string, SegmentFold>();
  readonly #unreadable = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | null = null;
  #next: Promise<void> | null = null;
  #isClosed = false;
  #isFailing = false;
  #lastMs = 0;
  /** How many decisions were folded, and how many earlier processes had left to fold. */
  #folded = 0;
  #leftBehind = 0;
  /** What was acknowledged before is folded. */
  #cleanAtMs: number;

  constructor(options: LedgerFoldOptions) {
    this.#options = options;
    this.#cleanAtMs = options.nowMs();
    this.#deps = {
      ...options,
      size: new FoldSize(options.bounds),
      onFolded: (records) => {
        this.#folded += records;
      },
    };
  }

  /**
   * Takes over what an earlier process has left, the oldest segments first.
   *
   * @param position as the database has it; undefined where it has none
   */
  adopt(segment: Segment, position: SegmentPosition | undefined, unfolded: Unfolded): void {
    const fold = new SegmentFold(segment, this.#deps);
    fold.believe(position);
    this.#add(fold, unfolded);
  }

  /** The same for one that the database has not been asked about: the fold does that itself. */
  adoptUnasked(segment: Segment): void {
    this.#add(new SegmentFold(segment, this.#deps), { end: segment.begin, records: 0, sinceMs: null });
  }

  #add(fold: SegmentFold, unfolded: Unfolded): void {
    this.#adopted.set(fold.id, { fold, end: unfolded.end });
    this.#leftBehind += unfolded.records;
    if (unfolded.sinceMs !== null) this.#cleanAtMs = Math.min(this.#cleanAtMs, unfolded.sinceMs);
  }

  /** Folds from now on, each second when there is something, more seldom while that takes long. */
  start(): void {
    this.#schedule(everyMs);
  }

  /**
   * Resolves once everything is in the tables that was acknowledged before the call; what somebody has to look at first
   * excepted. Who calls while it is at work shares the next turn.
   *
   * @throws what the database or the disk has thrown; everything is tried again later
   */
  catchUp(): Promise<void> {
    if (!this.#hasWork()) return Promise.resolve();
    this.#next ??= this.#turn();
    return this.#next;
  }

  /**
   * `catchUp` for whoever is about to read, and must wait neither for a database that says nothing nor for a backlog of
   * hours. What takes longer or fails goes on or is tried again without them.
   *
   * @returns whether all is in the tables that was acknowledged before the call
   * @throws what the database has thrown where it is away: it may be back for the reading that comes next, and that would
   *   be answered with less than was acknowledged
   */
  async caughtUp(withinMs: number): Promise<boolean> {
    const done = this.#catchUpUnlessAway();
    // Nobody waits for it any more once it is late.
    done.catch(() => {});
    const { promise: late, resolve } = Promise.withResolvers<boolean>();
    const timer = setTimeout(() => resolve(false), withinMs);
    try {
      return await Promise.race([done, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Folds what is left, as far as the database is there, and does no more. The ledger is closed by then. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    if (this.#isClosed) return;
    this.#isClosed = true;
    // What fails now is folded by the next start.
    await this.catchUp().catch(() => {});
    await this.#running?.catch(() => {});
  }

  get lag(): FoldLag {
    const { ledger, nowMs } = this.#options;
    if (!this.#hasWork()) return { records: 0, bytes: 0, seconds: 0 };
    let bytes = 0;
    for (const { fold, end } of this.#adopted.values())
      if (!isDone(fold)) bytes += Math.max(0, end - fold.position);
    for (const id of ledger.ownSegmentIds())
      bytes += Math.max(0, ledger.durableEndOf(id)! - (this.#own.get(id)?.position ?? 0));
    const records = Math.max(0, ledger.counts.appended + this.#leftBehind - this.#folded);
    return { records, bytes, seconds: Math.max(0, nowMs() - this.#cleanAtMs) / 1000 };
  }

  /** All that it knows of and that has a file, whether folded or not. */
  segments(): SegmentFold[] {
    // The ledger takes one away again that a failing disk let hold nothing.
    const own = new Set(this.#options.ledger.ownSegmentIds());
    for (const id of this.#own.keys()) if (!own.has(id)) this.#own.delete(id);
    return [...[...this.#adopted.values()].map(({ fold }) => fold), ...this.#own.values()];
  }

  /** Called when a segment's file has been deleted. */
  forget(segmentId: string): void {
    this.#adopted.delete(segmentId);
    this.#own.delete(segmentId);
  }

  async #catchUpUnlessAway(): Promise<boolean> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.catchUp();
        return true;
      } catch (error) {
        if (!isAway(error)) return false;
        // A connection that was cut off is not used again: the next attempt has another.
        if (attempt === attemptsOfReader) throw error;
      }
    }
  }

  async #turn(): Promise<void> {
    await this.#running?.catch(() => {});
    // Who calls from now on comes too late for this turn.
    this.#next = null;
    this.#running = this.#timed();
    await this.#running;
  }

  async #timed(): Promise<void> {
    const startedAt = performance.now();
    try {
      await this.#pass();
    } finally {
      this.#running = null;
      this.#lastMs = performance.now() - startedAt;
    }
  }

  async #pass(): Promise<void> {
    const startedAtMs = this.#options.nowMs();
    const { appended } = this.#options.ledger.counts;
    const failures: unknown[] = [];
    for (const work of this.#work()) {
      try {
        await work();
      } catch (error) {
        // One segment that can't be read must not keep the others; without the database there is nothing to do.
        if (isUnavailable(error)) throw error;
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
    this.#folded = Math.max(this.#folded, appended + this.#leftBehind);
    this.#cleanAtMs = startedAtMs;
  }

  *#work(): Generator<() => Promise<void>> {
    for (const { fold } of this.#adopted.values())
      if (!isDone(fold)) yield () => fold.run({ until: fold.segment.cutAt, isEnded: true });
    for (const id of this.#options.ledger.ownSegmentIds()) yield () => this.#foldOwn(id);
  }

  async #foldOwn(id: string): Promise<void> {
    const { ledger } = this.#options;
    const fold = this.#own.get(id) ?? (await this.#openOwn(id));
    if (fold === null) return;
    const isEnded = ledger.writingTo !== id;
    // Asked after that: a segment that has ended does not grow.
    const until = ledger.durableEndOf(id);
    if (until !== undefined && isBehind(fold, until, isEnded)) await fold.run({ until, isEnded });
  }

  /** null where it can't be folded at all. */
  async #openOwn(id: string): Promise<SegmentFold | null> {
    const { fileSystem, directory, findings } = this.#options;
    if (this.#unreadable.has(id)) return null;
    const path = join(directory, segmentFileName(id));
    await using opened = await openSegment(fileSystem, path).catch(unlessGone);
    const decoded = opened === null ? null : await readHeader(opened.file);
    if (decoded?.kind !== 'header') {
      this.#unreadable.add(id);
      findings.report(decoded === null ? 'lost_file' : 'no_segment', id, { file: path });
      return null;
    }
    const { header, end: begin, seed } = decoded;
    const fold = new SegmentFold({ header, path, begin, seed, cutAt: undefined }, this.#deps);
    this.#own.set(id, fold);
    return fold;
  }

  #hasWork(): boolean {
    const { ledger } = this.#options;
    for (const { fold } of this.#adopted.values()) if (!isDone(fold)) return true;
    for (const id of ledger.ownSegmentIds()) {
      const fold = this.#own.get(id);
      const isWork =
        fold === undefined
          ? !this.#unreadable.has(id)
          : isBehind(fold, ledger.durableEndOf(id)!, ledger.writingTo !== id);
      if (isWork) return true;
    }
    return false;
  }

  #schedule(afterMs: number): void {
    if (this.#isClosed) return;
    this.#timer = setTimeout(() => {
      void this.#tick().finally(() => this.#schedule(pauseAfter(this.#lastMs)));
    }, afterMs);
    this.#timer.unref();
  }

  async #tick(): Promise<void> {
    try {
      await this.catchUp();
      if (this.#isFailing) this.#options.log.info({}, 'Metering is folded again');
      this.#isFailing = false;
    } catch (error) {
      // Once; what comes after has the same reason.
      if (!this.#isFailing)
        this.#options.log.warn({ err: error }, 'Metering could not be folded and will be tried again');
      this.#isFailing = true;
    }
  }
}

function isDone(fold: SegmentFold): boolean {
  return fold.isFinished || fold.isBlocked;
}

function isBehind(fold: SegmentFold, until: number, isEnded: boolean): boolean {
  return !isDone(fold) && (fold.position < until || isEnded);
}
