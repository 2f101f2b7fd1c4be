import { join } from 'node:path';
import type { SegmentPosition } from './fold-store.ts';
import { isDirectoryName } from './ledger-directories.ts';
import type { LedgerFileSystem } from './ledger-file-system.ts';
import { listSegments, openSegment, type Segment, type SegmentFault, unlessGone } from './segment-list.ts';
import { readSegment, type SegmentEnd } from './segment-reader.ts';

/** What a check found out about one segment. */
export interface SegmentReport {
  readonly path: string;
  readonly segmentId: string;
  /** null where the header can't be read. */
  readonly createdAtMs: number | null;
  /** Of the file. */
  readonly bytes: number;
  /** Decisions that count. */
  readonly records: number;
  /** Those of them that are not in the database; null where that was not asked. */
  readonly unfolded: number | null;
  /** Bytes of decisions that were on disk and can't be read any more. */
  readonly lostBytes: number;
  /** Where the database is; null where it knows nothing of it, or was not asked. */
  readonly position: SegmentPosition | null;
  readonly verdict: SegmentVerdict;
}

/**
 * - `sealed`: closed in order, and whole.
 * - `open`: whole, and never closed: it is in use, or a crash ended it between two writes.
 * - `torn`: a crash has cut off the last batch at `at`; nothing acknowledged is in the `bytes` after it.
 *   `recordsAfter` as in SegmentEnd: more than 0 deserves a look.
 * - `cut`: a write had failed at `at`, and a later segment says so; `bytes` after it don't count.
 * - `empty`: a crash while it was made; it never held a record.
 * - the others are faults: `corrupt` and `missing` (acknowledged decisions are gone), `past_end` (more was counted than
 *   there is: an older copy, or cut off), `unknown_version` (a newer version wrote it), `foreign` (another installation
 *   did), `no_segment`, `misnamed`.
 */
export type SegmentVerdict =
  | { readonly kind: 'sealed' | 'open' | 'empty' | 'no_segment' | 'misnamed' }
  | { readonly kind: 'torn'; readonly at: number; readonly bytes: number; readonly recordsAfter: number }
  | { readonly kind: 'cut'; readonly at: number; readonly bytes: number }
  | { readonly kind: 'corrupt'; readonly at: number; readonly nextWholeAt: number | null }
  | { readonly kind: 'missing' | 'past_end'; readonly at: number }
  | { readonly kind: 'unknown_version'; readonly at: number }
  | { readonly kind: 'foreign'; readonly installationId: string };

export interface LedgerReport {
  readonly segments: readonly SegmentReport[];
  /** Segments without a file of which more should come to the database. */
  readonly lost: readonly SegmentPosition[];
  readonly records: number;
  /** No segment has a fault, and none is lost. */
  readonly isSound: boolean;
}

/** What the database says of segments. */
export interface StoredPositions {
  /** Of those that it knows. */
  read(segmentIds: readonly string[]): Promise<ReadonlyMap<string, SegmentPosition>>;
  /** Of this data directory, those of which more should come. */
  readonly unfinished: readonly SegmentPosition[];
}

export interface LedgerCheck {
  readonly fileSystem: LedgerFileSystem;
  /** Where each process has a directory of its own. */
  readonly root: string;
  /** Whose segments belong here; left out, anybody's do. */
  readonly installationId?: string | undefined;
  /** Left out where the database can't be asked. */
  readonly positions?: StoredPositions | undefined;
}

/**
 * Reads the ledger of a data directory through and says what is in it. Nothing is changed; segments that are written or
 * folded meanwhile are seen as they were at some moment.
 */
export async function checkLedger(check: LedgerCheck): Promise<LedgerReport> {
  const { fileSystem, root, positions } = check;
  const segments: SegmentReport[] = [];
  for (const name of (await fileSystem.list(root).catch(unlessGone)) ?? []) {
    // It may have been taken away since.
    if (isDirectoryName(name))
      segments.push(...((await checkDirectory(check, join(root, name)).catch(unlessGone)) ?? []));
  }
  const present = new Set(segments.map(({ segmentId }) => segmentId));
  const lost = (positions?.unfinished ?? []).filter(({ segmentId }) => !present.has(segmentId));
  return {
    segments,
    lost,
    records: segments.reduce((sum, { records }) => sum + records, 0),
    isSound: lost.length === 0 && segments.every(({ verdict }) => harmless.has(verdict.kind)),
  };
}

const harmless: ReadonlySet<SegmentVerdict['kind']> = new Set(['sealed', 'open', 'torn', 'cut', 'empty']);

async function checkDirectory(check: LedgerCheck, path: string): Promise<SegmentReport[]> {
  const { segments, faults } = await listSegments(check.fileSystem, path);
  const stored = await check.positions?.read(segments.map(({ header }) => header.segmentId));
  const reports: SegmentReport[] = [];
  for (const segment of segments) {
    const report = await checkSegment(check, segment, stored).catch(unlessGone);
    if (report !== null) reports.push(report);
  }
  for (const fault of faults) reports.push(await reportFault(check.fileSystem, fault));
  return reports;
}

async function checkSegment(
  check: LedgerCheck,
  segment: Segment,
  stored: ReadonlyMap<string, SegmentPosition> | undefined,
): Promise<SegmentReport> {
  const { header, path, begin, seed, cutAt } = segment;
  await using opened = await openSegment(check.fileSystem, path);
  const bytes = await opened.file.size();
  const { segmentId, createdAtMs, installationId } = header;
  const position = stored?.get(segmentId) ?? null;
  const about = { path, segmentId, createdAtMs, bytes, position };
  if (check.installationId !== undefined && installationId !== check.installationId) {
    const verdict = { kind: 'foreign', installationId } as const;
    return { ...about, records: 0, unfolded: null, lostBytes: 0, verdict };
  }
  let records = 0;
  let unfolded = 0;
  let lostBytes = 0;
  const read = (from: number, until: number | undefined) =>
    readSegment(opened.file, {
      seed,
      from,
      until,
      onView: (_view, endOffset) => {
        records++;
        if (endOffset > (position?.position ?? 0)) unfolded++;
        return true;
      },
    });
  const first = await read(begin, cutAt);
  // What is whole after damage, or before it where too little is there, counts all the same.
  let end = first;
  if (end.kind === 'missing' && cutAt !== undefined) {
    lostBytes += cutAt - bytes;
    end = await read(end.offset, undefined);
  }
  while (end.kind === 'corrupt') {
    lostBytes += (end.nextWholeAt ?? cutAt ?? bytes) - end.offset;
    if (end.nextWholeAt === null) break;
    end = await read(end.nextWholeAt, cutAt);
  }
  return {
    ...about,
    records,
    unfolded: stored === undefined ? null : unfolded,
    lostBytes,
    verdict:
      position !== null && position.position > bytes
        ? { kind: 'past_end', at: position.position }
        : verdictOf(first, bytes, cutAt),
  };
}

function verdictOf(end: SegmentEnd, bytes: number, cutAt: number | undefined): SegmentVerdict {
  switch (end.kind) {
    case 'end':
      if (cutAt !== undefined) return { kind: 'cut', at: cutAt, bytes: bytes - cutAt };
      return { kind: end.isSealed ? 'sealed' : 'open' };
    case 'torn':
      return { kind: 'torn', at: end.offset, bytes: end.bytes, recordsAfter: end.recordsAfter };
    case 'corrupt':
      return { kind: 'corrupt', at: end.offset, nextWholeAt: end.nextWholeAt };
    case 'unknown':
      return { kind: 'unknown_version', at: end.offset };
    case 'missing':
      return { kind: 'missing', at: end.offset };
    case 'stopped':
      throw new Error('a check reads everything');
  }
}

async function reportFault(fileSystem: LedgerFileSystem, fault: SegmentFault): Promise<SegmentReport> {
  const { path, segmentId } = fault;
  await using opened = await openSegment(fileSystem, path);
  return {
    path,
    segmentId,
    createdAtMs: null,
    bytes: await opened.file.size(),
    records: 0,
    unfolded: null,
    lostBytes: 0,
    position: null,
    verdict: verdictOfFault(fault.kind),
  };
}

function verdictOfFault(kind: SegmentFault['kind']): SegmentVerdict {
  switch (kind) {
    case 'torn':
      return { kind: 'empty' };
    case 'damaged':
      return { kind: 'no_segment' };
    case 'unknown_version':
      return { kind: 'unknown_version', at: 0 };
    case 'misnamed':
      return { kind: 'misnamed' };
  }
}
