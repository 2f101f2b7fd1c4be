import { systemErrorCode } from '../supervisor/start-error.ts';
import { absent, type DecisionView } from './decision-view.ts';
import type { Unfolded } from './fold.ts';
import type { LedgerFileSystem } from './ledger-file-system.ts';
import type { LedgerFindings } from './ledger-findings.ts';
import type { Outcome } from './outcome.ts';
import { outcomeOf } from './outcome.ts';
import { openSegment, type Segment } from './segment-list.ts';
import { readSegment } from './segment-reader.ts';
import { SubjectTable } from './subjects.ts';
import type { WindowSums } from './window-sums.ts';

const pageBytes = 128 * 1024;

/** What a start reads of the ledger that earlier processes have left. Nothing is changed, and faults in it are the fold's to tell. */
export class LedgerTail {
  readonly #fileSystem: LedgerFileSystem;
  readonly #findings: LedgerFindings;
  readonly #subjects = new SubjectTable();

  constructor(fileSystem: LedgerFileSystem, findings: LedgerFindings) {
    this.#fileSystem = fileSystem;
    this.#findings = findings;
  }

  /** Adds up what the decisions of a segment from there on were charged. */
  async addCharges(segment: Segment, from: number, sums: WindowSums): Promise<Unfolded> {
    let records = 0;
    let sinceMs: number | null = null;
    const end = await this.#read(segment, from, (view) => {
      records++;
      sinceMs ??= view.timeMs;
      sums.add(view, this.#subjects.of(view));
    });
    return { end, records, sinceMs };
  }

  /**
   * Tells of decisions whose requests may be sent again, the newest first, until `isFull`.
   *
   * @param segments of each process by themselves, the oldest first
   * @param sinceMs older ones are left out
   */
  async recall(
    segments: readonly (readonly Segment[])[],
    sinceMs: number,
    replays: ReplayMemory,
  ): Promise<void> {
    const recent = segments.flatMap((ofOne) =>
      // A process leaves a segment for the next one, so that it holds nothing that is newer than that.
      ofOne.filter((_, index) => (ofOne[index + 1]?.header.createdAtMs ?? sinceMs) >= sinceMs),
    );
    recent.sort((one, other) => other.header.createdAtMs - one.header.createdAtMs);
    for (const segment of recent) {
      if (replays.isFull) return;
      const found: { fingerprint: Uint8Array; timeMs: number; outcome: Outcome }[] = [];
      await this.#read(segment, segment.begin, (view) => {
        if (view.fingerprintAt === absent || view.timeMs < sinceMs) return;
        const { timeMs } = view;
        found.push({ fingerprint: view.fingerprint()!, timeMs, outcome: outcomeOf(view.outcome)! });
      });
      for (const { fingerprint, timeMs, outcome } of found.reverse()) {
        if (replays.isFull) return;
        replays.remember(fingerprint, timeMs, outcome);
      }
    }
  }

  /** Reads all that counts and that the disk gives, also after damage. Answers where that ends. */
  async #read(segment: Segment, from: number, visit: (view: DecisionView) => void): Promise<number> {
    try {
      return await this.#readAll(segment, from, visit);
    } catch (error) {
      // A start that refused would give nobody what it could; limits are too kind meanwhile, which is told.
      if (systemErrorCode(error) === undefined) throw error;
      this.#findings.report('unreadable', segment.header.segmentId, { file: segment.path, err: error });
      return from;
    }
  }

  async #readAll(segment: Segment, from: number, visit: (view: DecisionView) => void): Promise<number> {
    await using opened = await openSegment(this.#fileSystem, segment.path);
    let next = from;
    let until = segment.cutAt;
    for (;;) {
      const end = await readSegment(opened.file, {
        seed: segment.seed,
        from: next,
        until,
        pageBytes,
        onView: (view) => {
          visit(view);
          return true;
        },
      });
      if (end.kind === 'corrupt' && end.nextWholeAt !== null) next = end.nextWholeAt;
      else if (end.kind === 'missing' && until !== undefined && end.offset >= next) {
        next = end.offset;
        until = undefined;
      } else return end.offset;
    }
  }
}

/** Where decisions are remembered whose requests may come again. */
export interface ReplayMemory {
  remember(fingerprint: Uint8Array, timeMs: number, outcome: Outcome): void;
  readonly isFull: boolean;
}
