import { randomBytes } from 'node:crypto';
import { basename, join } from 'node:path';
import { type Lock, tryLock } from '../supervisor/lock.ts';
import type { LedgerFileSystem } from './ledger-file-system.ts';
import type { FindingKind, LedgerFindings } from './ledger-findings.ts';
import { listSegments, type Segment, type SegmentFault, segmentIdOf, unlessGone } from './segment-list.ts';

/** Takes a directory for this process; null when a live one has it. */
export type LockDirectory = (name: string, path: string) => Promise<Lock | null>;

export interface LedgerDirectoriesOptions {
  readonly fileSystem: LedgerFileSystem;
  /** Of the data directory: where each process has a directory of its own, under a random name. */
  readonly root: string;
  readonly installationId: string;
  readonly findings: LedgerFindings;
  readonly lock?: LockDirectory;
}

/** A directory that an earlier process has left, and that is ours now. */
export interface AdoptedDirectory {
  readonly path: string;
  /** Of this installation, the oldest first. */
  readonly segments: readonly Segment[];
}

const nameForm = /^[0-9a-f]{32}$/;

/** Whether a directory of that name may be one of a process. */
export function isDirectoryName(name: string): boolean {
  return nameForm.test(name);
}

const lockName = 'lock';

/**
 * Where the segments of a data directory lie: one directory for each process that writes, locked for as long as it lives.
 * So what can be locked is of a process that is no more, and nothing more will come to it; two nodes on one data
 * directory leave each other's alone.
 */
export class LedgerDirectories {
  /** Where this process writes. */
  readonly own: string;
  readonly #options: LedgerDirectoriesOptions;
  readonly #lock: LockDirectory;
  /** By path. */
  readonly #locks: Map<string, Lock>;

  static async open(options: LedgerDirectoriesOptions): Promise<LedgerDirectories> {
    const lock = options.lock ?? lockDirectory;
    for (;;) {
      const name = randomBytes(16).toString('hex');
      const own = join(options.root, name);
      // A disk that takes nothing just now is no reason not to start: the ledger makes it as soon as it can.
      await options.fileSystem.makeDirectory(own).catch(() => {});
      const held = await lock(name, join(own, lockName));
      if (held !== null) return new LedgerDirectories(options, own, lock, held);
    }
  }

  private constructor(options: LedgerDirectoriesOptions, own: string, lock: LockDirectory, held: Lock) {
    this.#options = options;
    this.own = own;
    this.#lock = lock;
    this.#locks = new Map([[own, held]]);
  }

  /**
   * Takes over what processes have left that live no more, as far as it is not ours already. One that can't be read now
   * is told and left for the next time: it must keep neither a start nor the others.
   */
  async adopt(): Promise<AdoptedDirectory[]> {
    const { root } = this.#options;
    const adopted: AdoptedDirectory[] = [];
    for (const name of await this.#namesIn(root)) {
      const path = join(root, name);
      if (!isDirectoryName(name) || this.#locks.has(path)) continue;
      const lock = await this.#lock(name, join(path, lockName));
      if (lock === null) continue;
      this.#locks.set(path, lock);
      const segments = await this.#segmentsOf(path)
        .catch(unlessGone)
        .catch((error: unknown) =>
          this.#options.findings.report('unreadable', name, { file: path, err: error }),
        );
      // Whoever had it has just taken it away, or the disk does not give it.
      if (segments == null) await this.#release(path);
      else adopted.push({ path, segments });
    }
    return adopted;
  }

  /** The segments that have a file, in whosever directory. */
  async segmentIds(): Promise<Set<string>> {
    const { root } = this.#options;
    const ids = new Set<string>();
    for (const name of await this.#namesIn(root)) {
      if (!isDirectoryName(name)) continue;
      for (const file of await this.#namesIn(join(root, name))) {
        const segmentId = segmentIdOf(file);
        if (segmentId !== null) ids.add(segmentId);
      }
    }
    return ids;
  }

  /** Takes a directory away, if there is no segment in it that was ever whole. */
  async removeIfEmpty(path: string): Promise<void> {
    const { fileSystem } = this.#options;
    const { segments, faults } = await listSegments(fileSystem, path);
    if (segments.length > 0 || faults.some(({ kind }) => kind !== 'torn')) return;
    for (const fault of faults) await fileSystem.remove(fault.path);
    await fileSystem.remove(join(path, lockName)).catch(unlessGone);
    await fileSystem.removeDirectory(path).catch(unlessGone);
    if (path !== this.own) await this.#release(path);
  }

  async close(): Promise<void> {
    for (const path of this.#locks.keys()) await this.#release(path);
  }

  /** None where there is no such directory, or where it can't be read, which is told. */
  async #namesIn(path: string): Promise<string[]> {
    const { fileSystem, findings } = this.#options;
    const names = await fileSystem
      .list(path)
      .catch(unlessGone)
      .catch((error: unknown) => findings.report('unreadable', basename(path), { file: path, err: error }));
    return names ?? [];
  }

  async #release(path: string): Promise<void> {
    await this.#locks.get(path)?.release();
    this.#locks.delete(path);
  }

  async #segmentsOf(path: string): Promise<Segment[]> {
    const { fileSystem, installationId, findings } = this.#options;
    const { segments, faults } = await listSegments(fileSystem, path);
    for (const fault of faults) {
      const kind = findingOf(fault);
      if (kind !== null) findings.report(kind, fault.segmentId, { file: fault.path });
    }
    return segments.filter(({ header, path: file }) => {
      const isOurs = header.installationId === installationId;
      if (!isOurs) findings.report('foreign', header.segmentId, { file });
      return isOurs;
    });
  }
}

const lockDirectory: LockDirectory = (name, path) => tryLock(name, path).catch(unlessGone);

function findingOf({ kind }: SegmentFault): FindingKind | null {
  switch (kind) {
    case 'torn':
      return null;
    case 'damaged':
      return 'no_segment';
    default:
      return kind;
  }
}
