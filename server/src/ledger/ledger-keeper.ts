import { dirname } from 'node:path';
import type { Log } from '../logs/log.ts';
import type { LedgerFold } from './fold.ts';
import { type Queryable, readPositions, type SegmentPosition } from './fold-store.ts';
import type { Ledger } from './ledger.ts';
import type { AdoptedDirectory, LedgerDirectories } from './ledger-directories.ts';
import type { LedgerFileSystem } from './ledger-file-system.ts';
import type { LedgerFindings } from './ledger-findings.ts';
import type { SegmentFold } from './segment-fold.ts';
import { unlessGone } from './segment-list.ts';

export interface LedgerKeeperOptions {
  readonly connection: Queryable;
  readonly ledger: Pick<Ledger, 'counts' | 'forget' | 'ownSegmentIds'>;
  readonly fold: LedgerFold;
  readonly directories: LedgerDirectories;
  readonly fileSystem: LedgerFileSystem;
  readonly findings: LedgerFindings;
  readonly log: Pick<Log, 'warn'>;
  readonly nowMs: () => number;
  /** For how long a file is kept after its end was folded, so that a database that is restored can be caught up. */
  readonly keepHours: number;
  /** By the start. */
  readonly adopted: readonly AdoptedDirectory[];
}

const hourMs = 3_600_000;
/** Requests may be sent again for ten minutes, and a start learns of them from the files. */
const leastKeptMs = 900_000;

/** Looks after the files: folds anew what a restored database does not have, and deletes what is old. */
export class LedgerKeeper {
  readonly #options: LedgerKeeperOptions;
  /** Directories that are ours besides the one that is written. */
  readonly #adopted: Set<string>;

  constructor(options: LedgerKeeperOptions) {
    this.#options = options;
    this.#adopted = new Set(options.adopted.map(({ path }) => path));
  }

  /** To be called again and again, every few minutes. */
  async work(): Promise<void> {
    await this.#adoptMore();
    const done = this.#options.fold.segments().filter(({ isFinished }) => isFinished);
    const positions = await readPositions(
      this.#options.connection,
      done.map(({ id }) => id),
    );
    const old = done.filter((fold) => this.#isKnown(fold, positions.get(fold.id)));
    await this.#deleteOld(old, positions);
    for (const path of this.#adopted) await this.#removeIfEmpty(path);
  }

  /** Takes the directory of this process away, if nothing was ever recorded there. */
  async close(): Promise<void> {
    const { ledger, fold, fileSystem, directories } = this.#options;
    const { appended, refused } = ledger.counts;
    if (appended > 0 || refused > 0) return;
    const own = new Set(ledger.ownSegmentIds());
    for (const { id, segment } of fold.segments())
      if (own.has(id)) await fileSystem.remove(segment.path).catch(unlessGone);
    await directories.removeIfEmpty(directories.own).catch(() => {});
  }

  /** Of processes that have ended beside this one and were not started again. */
  async #adoptMore(): Promise<void> {
    const { directories, fold } = this.#options;
    // Nothing that may fail comes between: they are locked, and nobody else would ever fold them.
    for (const { path, segments } of await directories.adopt()) {
      this.#adopted.add(path);
      for (const segment of segments) fold.adoptUnasked(segment);
    }
  }

  /** Whether the database has all of it; if it has not, it was restored since, and all of it is folded again. */
  #isKnown(fold: SegmentFold, position: SegmentPosition | undefined): boolean {
    const stored = fold.storedPosition;
    const isKnown =
      position === undefined ? stored === null : position.isFinished && position.position >= (stored ?? 0);
    if (isKnown) return true;
    this.#options.log.warn(
      { segment_id: fold.id, offset: position?.position ?? 0 },
      'The database knows less of a segment of the ledger than it did; it is folded again from there',
    );
    fold.believe(position);
    return false;
  }

  /** A note about where a segment ends stands in a later one, so that they go in the order in which they were made. */
  async #deleteOld(
    done: readonly SegmentFold[],
    positions: ReadonlyMap<string, SegmentPosition>,
  ): Promise<void> {
    const { nowMs, keepHours, findings, fileSystem, fold, ledger } = this.#options;
    const keptMs = Math.max(keepHours * hourMs, leastKeptMs);
    const deletable = new Set(
      done.filter((segment) => {
        // What somebody has to look at stays until somebody has.
        if (findings.keeps(segment.id)) return false;
        // Without a row there was no decision in it.
        const foldedAt = positions.get(segment.id)?.foldedAt;
        return foldedAt === undefined || nowMs() - foldedAt.getTime() >= keptMs;
      }),
    );
    const blocked = new Set<string>();
    for (const segment of fold.segments()) {
      const directory = directoryOf(segment);
      if (!deletable.has(segment)) {
        if (!findings.keeps(segment.id)) blocked.add(directory);
      } else if (!blocked.has(directory)) {
        await fileSystem.remove(segment.segment.path).catch(unlessGone);
        fold.forget(segment.id);
        ledger.forget(segment.id);
      }
    }
  }

  async #removeIfEmpty(path: string): Promise<void> {
    const { directories, fold } = this.#options;
    if (fold.segments().some((segment) => directoryOf(segment) === path)) return;
    await directories.removeIfEmpty(path);
    this.#adopted.delete(path);
  }
}

function directoryOf({ segment }: SegmentFold): string {
  return dirname(segment.path);
}
