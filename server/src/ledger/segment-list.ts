import { join } from 'node:path';
import { systemErrorCode } from '../supervisor/start-error.ts';
import type { LedgerFile, LedgerFileSystem } from './ledger-file-system.ts';
import type { DecodedHeader, SegmentHeader } from './segment-header.ts';
import { readHeader, readSegment } from './segment-reader.ts';

/** A segment in a directory whose header is whole. */
export interface Segment {
  readonly header: SegmentHeader;
  readonly path: string;
  /** Where its records begin, and the seed of their checksums. */
  readonly begin: number;
  readonly seed: number;
  /** Where what counts ends, if another segment says so: a write had failed here. */
  readonly cutAt: number | undefined;
}

export interface SegmentList {
  /** The oldest first. */
  readonly segments: readonly Segment[];
  /** Files whose name is a segment's and whose content is not, or not what the name says. */
  readonly faults: readonly SegmentFault[];
}

export interface SegmentFault {
  readonly path: string;
  readonly segmentId: string;
  /** `torn`: it never held a record, which is no loss; `misnamed`: its header names another segment. */
  readonly kind: Exclude<DecodedHeader['kind'], 'header'> | 'misnamed';
}

const suffix = '.segment';
const nameForm = /^([0-9a-f]{32})\.segment$/;

export function segmentFileName(segmentId: string): string {
  return segmentId + suffix;
}

/** null for a file that is no segment. */
export function segmentIdOf(fileName: string): string | null {
  return nameForm.exec(fileName)?.[1] ?? null;
}

/** Finds the segments of a directory and how far each of them counts. Other files there are left out. */
export async function listSegments(fileSystem: LedgerFileSystem, directory: string): Promise<SegmentList> {
  const found: Omit<Segment, 'cutAt'>[] = [];
  const faults: SegmentFault[] = [];
  const cuts = new Map<string, number>();
  for (const name of await fileSystem.list(directory)) {
    const segmentId = segmentIdOf(name);
    if (segmentId === null) continue;
    const path = join(directory, name);
    // It may have been deleted since: one that is kept no longer, or never came to be.
    await using opened = await openSegment(fileSystem, path).catch(unlessGone);
    if (opened === null) continue;
    const decoded = await readHeader(opened.file);
    if (decoded.kind !== 'header') {
      faults.push({ path, segmentId, kind: decoded.kind });
      continue;
    }
    const { header, end: begin, seed } = decoded;
    if (header.segmentId !== segmentId) {
      faults.push({ path, segmentId, kind: 'misnamed' });
      continue;
    }
    found.push({ header, path, begin, seed });
    await collectCuts(opened.file, begin, seed, cuts);
  }
  const segments = found
    .map((segment) => ({ ...segment, cutAt: cuts.get(segment.header.segmentId) }))
    .sort((one, other) => one.header.createdAtMs - other.header.createdAtMs || compare(one.path, other.path));
  return { segments, faults };
}

/** Opens a file for reading that is closed at the end of the scope. */
export async function openSegment(
  fileSystem: LedgerFileSystem,
  path: string,
): Promise<AsyncDisposable & { readonly file: LedgerFile }> {
  const file = await fileSystem.openToRead(path);
  return { file, [Symbol.asyncDispose]: () => file.close() };
}

/** They stand before the first decision. */
async function collectCuts(
  file: LedgerFile,
  from: number,
  seed: number,
  cuts: Map<string, number>,
): Promise<void> {
  await readSegment(file, {
    seed,
    from,
    // Of most segments only the first record is looked at.
    pageBytes: 16 * 1024,
    onDecision: () => false,
    onCut: ({ segmentId, offset }) => {
      cuts.set(segmentId, Math.min(offset, cuts.get(segmentId) ?? offset));
      return true;
    },
  });
}

/** For `catch`: null where there is no such file, or none any more. */
export function unlessGone(error: unknown): null {
  if (systemErrorCode(error) === 'ENOENT') return null;
  throw error;
}

function compare(one: string, other: string): number {
  return one < other ? -1 : Number(one > other);
}
