import type { LedgerFileSystem } from './ledger-file-system.ts';
import { listSegments, openSegment, type Segment, type SegmentFault } from './segment-list.ts';
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
  readonly verdict: SegmentVerdict;
}

/**
 * - `sealed`: closed in order, and whole.
 * - `open`: whole, and never closed: it is in use, or a crash ended it between two writes.
 * - `torn`: a crash has cut off the last batch at `at`; nothing acknowledged is in the `bytes` after it.
 *   `recordsAfter` as in SegmentEnd: more than 0 deserves a look.
 * - `cut`: a write had failed at `at`, and a later segment says so; `bytes` after it don't count.
 * - `empty`: a crash while it was made; it never held a record.
 * - the others are faults: `corrupt` and `missing` (acknowledged decisions are gone), `unknown_version` (a newer
 *   version wrote it), `foreign` (another installation did), `no_segment`, `misnamed`.
 */
export type SegmentVerdict =
  | { readonly kind: 'sealed' | 'open' | 'empty' | 'no_segment' | 'misnamed' }
  | { readonly kind: 'torn'; readonly at: number; readonly bytes: number; readonly recordsAfter: number }
  | { readonly kind: 'cut'; readonly at: number; readonly bytes: number }
  | { readonly kind: 'corrupt'; readonly at: number; readonly nextWholeAt: number | null }
  | { readonly kind: 'missing'; readonly at: number }
  | { readonly kind: 'unknown_version'; readonly at: number }
  | { readonly kind: 'foreign'; readonly installationId: string };

export interface LedgerReport {
  readonly segments: readonly SegmentReport[];
  readonly records: number;
  /** No segment has a fault. */
  readonly isSound: boolean;
}

export interface LedgerCheck {
  readonly fileSystem: LedgerFileSystem;
  readonly directory: string;
  /** Whose segments belong here; left out, anybody's do. */
  readonly installationId?: string | undefined;
}

/**
 * Reads a ledger through and says what is in it. Nothing is changed; segments that are being written meanwhile are
 * seen as they were at some moment.
 */
export async function checkLedger(check: LedgerCheck): Promise<LedgerReport> {
  const { fileSystem, directory } = check;
  const { segments, faults } = await listSegments(fileSystem, directory);
  const reports: SegmentReport[] = [];
  for (const segment of segments) reports.push(await checkSegment(check, segment));
  for (const fault of faults) reports.push(await reportFault(fileSystem, fault));
  return {
    segments: reports,
    records: reports.reduce((sum, { records }) => sum + records, 0),
    isSound: reports.every(({ verdict }) => harmless.has(verdict.kind)),
  };
}

const harmless: ReadonlySet<SegmentVerdict['kind']> = new Set(['sealed', 'open', 'torn', 'cut', 'empty']);

async function checkSegment(check: LedgerCheck, segment: Segment): Promise<SegmentReport> {
  const { header, path, begin, seed, cutAt } = segment;
  await using opened = await openSegment(check.fileSystem, path);
  const bytes = await opened.file.size();
  const { segmentId, createdAtMs, installationId } = header;
  const about = { path, segmentId, createdAtMs, bytes };
  if (check.installationId !== undefined && installationId !== check.installationId) {
    return { ...about, records: 0, verdict: { kind: 'foreign', installationId } };
  }
  let records = 0;
  const onDecision = () => {
    records++;
    return true;
  };
  const end = await readSegment(opened.file, { seed, from: begin, until: cutAt, onDecision });
  return { ...about, records, verdict: verdictOf(end, bytes, cutAt) };
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
  const bytes = await opened.file.size();
  return { path, segmentId, createdAtMs: null, bytes, records: 0, verdict: verdictOfFault(fault.kind) };
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
