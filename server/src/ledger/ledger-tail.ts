import { absent, type DecisionView } from './decision-view.ts';
import type { Unfolded } from './fold.ts';
import type { LedgerFileSystem } from './ledger-file-system.ts';
import type { Outcome } from './outcome.ts';
import { outcomeOf } from './outcome.ts';
import { openSegment, type Segment } from './segment-list.ts';
import { readSegment } from './segment-reader.ts';
import { SubjectTable } from './subjects.ts';
import type { WindowSums } from './window-sums.ts';

const pageBytes = 128 * 1024;

/** What a start reads of the ledger that earlier processes have left. Nothing is changed, and faults are the fold's to tell. */
export class LedgerTail {
  readonly #fileSystem: LedgerFileSystem;
  readonly #subjects = new SubjectTable();

  constructor(fileSystem: LedgerFileSystem) {
    this.#fileSystem = fileSystem;
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

  /** Reads all that counts, also after damage. Answers where that ends. */
  async #read(segment: Segment, from: number, visit: (view: DecisionView) => void): Promise<number> {
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
