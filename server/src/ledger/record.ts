import { idPrefixes } from '../ids/ids.ts';
import type { Environment } from '../key-profiles/key-profile.ts';
import { type Charge, encodeCharges, hasCharges, maxChargeBytes } from './charge.ts';
import { crc32Of } from './checksum.ts';
import { accountAt, DecisionView, decisionBytes, fingerprintBytes, flag, keyAt } from './decision-view.ts';
import { idBytes, packId } from './id-bytes.ts';
import {
  readUint16,
  readUint32,
  readUint48,
  writeUint16,
  writeUint32,
  writeUint48,
} from './little-endian.ts';
import { type Entrance, entranceNumber, type Outcome, outcomeNumber } from './outcome.ts';

/** One metered decision. */
export interface LedgerRecord {
  /** Whole milliseconds since 1970. */
  readonly timeMs: number;
  readonly keyId: string;
  /** The first key of the line of rotations, whose limits were charged; the key's own id, if it is the first. */
  readonly lineageId: string;
  readonly accountId: string;
  readonly issuerId: string | null;
  readonly organizationId: string | null;
  readonly environment: Environment;
  readonly outcome: Outcome;
  /** What the limits were charged, or would have been; 0 to 4,294,967,295. */
  readonly cost: number;
  readonly entrance: Entrance;
  /** Tells retries of one request apart from other requests, caller included; 16 bytes. null where none can come. */
  readonly fingerprint: Uint8Array | null;
  /** What an admitted one took from limits, so that their windows can be counted again; those of cost 0 are left out. */
  readonly charges: readonly Charge[];
}

/** What stands in a segment besides decisions. */
export type SegmentEntry =
  | { readonly kind: 'decision'; readonly record: LedgerRecord }
  /** Of the segment with this id nothing counts from `offset` on: a write or a sync had failed there. */
  | { readonly kind: 'cut'; readonly segmentId: string; readonly offset: number }
  /** The segment was closed in order; nothing comes after it. */
  | { readonly kind: 'end' }
  /** Whole, but of a kind that only a newer version knows. */
  | { readonly kind: 'unknown' };

export type Decoded =
  | {
      readonly kind: 'entry';
      readonly entry: SegmentEntry;
      readonly end: number;
      readonly startsBatch: boolean;
    }
  /** It is longer than what there is. */
  | { readonly kind: 'partial' }
  /** The length is none that any version writes, or the checksum is wrong. */
  | { readonly kind: 'damaged' };

/**
 * No version writes a longer record, so that a reader knows how far to look for one. Those of this version are at most
 * 116 bytes and, with eleven limits at each of four levels, 3,434 more of charges; a newer one may append fields, which
 * this one skips.
 */
export const maxRecordBytes = 4096;
/** Of those before the body: checksum (4) and length of the body (2), little-endian as all numbers here. */
export const frameBytes = 6;
export const segmentIdBytes = 16;
export { fingerprintBytes };

// Body of every record: kind (1), flags (1). Of a decision: see DecisionView. Of a cut: segment (16), offset (6). What
// follows is room for fields of later versions.
const kinds = { decision: 1, cut: 2, end: 3 } as const;
const minBodyBytes = 2;
const cutBytes = 2 + segmentIdBytes + 6;

/**
 * Writes a decision without its checksum, which `finishRecords` adds, and allocates nothing.
 *
 * @param at where in `buffer` it begins; `maxRecordBytes` from there on have room
 * @returns where it ends
 * @throws {RangeError} for an id, a time or a cost that is none, the bytes from `at` on being undefined then
 */
export function encodeDecision(record: LedgerRecord, buffer: Uint8Array, at: number): number {
  const body = at + frameBytes;
  buffer[body] = kinds.decision;
  buffer[body + 1] = flagsOf(record);
  buffer[body + 2] = outcomeNumber(record.outcome);
  buffer[body + 3] = entranceNumber(record.entrance);
  writeUint48(buffer, body + 4, record.timeMs);
  writeUint32(buffer, body + 10, record.cost);
  packId(idPrefixes.apiKey, record.keyId, buffer, body + keyAt);
  packId(idPrefixes.account, record.accountId, buffer, body + accountAt);
  let next = body + decisionBytes;
  if (record.issuerId !== null) {
    packId(idPrefixes.issuer, record.issuerId, buffer, next);
    next += idBytes;
  }
  if (record.organizationId !== null) {
    packId(idPrefixes.organization, record.organizationId, buffer, next);
    next += idBytes;
  }
  if (record.lineageId !== record.keyId) {
    packId(idPrefixes.apiKey, record.lineageId, buffer, next);
    next += idBytes;
  }
  if (record.fingerprint !== null) {
    if (record.fingerprint.length !== fingerprintBytes) throw new RangeError('a fingerprint has 16 bytes');
    buffer.set(record.fingerprint, next);
    next += fingerprintBytes;
  }
  if ((buffer[body + 1]! & flag.charges) !== 0) next = writeCharges(record, buffer, at, next);
  return writeLength(buffer, at, next);
}

/** As `encodeDecision`, for the note that of another segment only what comes before `offset` counts. */
export function encodeCut(segmentId: string, offset: number, buffer: Uint8Array, at: number): number {
  const body = at + frameBytes;
  buffer[body] = kinds.cut;
  buffer[body + 1] = 0;
  buffer.set(Buffer.from(segmentId, 'hex'), body + 2);
  writeUint48(buffer, body + 2 + segmentIdBytes, offset);
  return writeLength(buffer, at, body + cutBytes);
}

/** As `encodeDecision`, for the note that the segment was closed in order. */
export function encodeEnd(buffer: Uint8Array, at: number): number {
  const body = at + frameBytes;
  buffer[body] = kinds.end;
  buffer[body + 1] = 0;
  return writeLength(buffer, at, body + minBodyBytes);
}

/**
 * Makes a batch of the records in `buffer` up to `end`: marks the first of them and writes all checksums.
 *
 * A batch is written only after the one before it is on disk. So a record with the mark proves that all before it were
 * once, and what is damaged before it is damage, not the remains of a write that a crash cut off.
 *
 * @param seed of the segment, so that a record counts in no other (a block of the disk that held another segment)
 */
export function finishRecords(buffer: Uint8Array, end: number, seed: number): void {
  buffer[frameBytes + 1]! |= flag.startsBatch;
  for (let at = 0; at < end; ) {
    const next = at + frameBytes + readUint16(buffer, at + 4);
    writeUint32(buffer, at, crc32Of(buffer, at + 4, next, seed));
    at = next;
  }
}

/** What `findRecord` answers where there is no whole record. */
export const isPartial = 0;
export const isDamaged = -1;

/**
 * Whether a whole record begins at `at`, without reading what it says.
 *
 * @param limit the end of what may be read; a record that goes beyond is `isPartial`
 * @param seed that of `finishRecords`
 * @returns where it ends, or one of the two above
 */
export function findRecord(buffer: Buffer, at: number, limit: number, seed: number): number {
  if (at + frameBytes > limit) return isPartial;
  const length = readUint16(buffer, at + 4);
  if (length < minBodyBytes || length > maxRecordBytes - frameBytes) return isDamaged;
  const end = at + frameBytes + length;
  if (end > limit) return isPartial;
  return crc32Of(buffer, at + 4, end, seed) === readUint32(buffer, at) ? end : isDamaged;
}

/** Of a whole record at `at`. */
export function startsBatch(buffer: Buffer, at: number): boolean {
  return (buffer[at + frameBytes + 1]! & flag.startsBatch) !== 0;
}

/**
 * What a whole record says, the decision of which is left where it is.
 *
 * @param view is set to the decision, if it is one
 */
export function readEntry(
  buffer: Buffer,
  at: number,
  end: number,
  view: DecisionView,
): 'decision' | Exclude<SegmentEntry, { kind: 'decision' }> {
  const body = at + frameBytes;
  const flags = buffer[body + 1]!;
  switch (buffer[body]) {
    case kinds.decision:
      return view.set(buffer, body, end) ? 'decision' : unknownEntry;
    case kinds.cut: {
      if (end - body < cutBytes || (flags & ~flag.startsBatch) !== 0) return unknownEntry;
      const segmentId = Buffer.from(buffer.subarray(body + 2, body + 2 + segmentIdBytes)).toString('hex');
      return { kind: 'cut', segmentId, offset: readUint48(buffer, body + 2 + segmentIdBytes) };
    }
    case kinds.end:
      return (flags & ~flag.startsBatch) === 0 ? endEntry : unknownEntry;
    default:
      return unknownEntry;
  }
}

/** Reads the record at `at`; `limit` and `seed` as of `findRecord`. */
export function decodeRecord(buffer: Buffer, at: number, limit: number, seed: number): Decoded {
  const end = findRecord(buffer, at, limit, seed);
  if (end === isPartial) return partial;
  if (end === isDamaged) return damaged;
  const view = new DecisionView();
  const entry = readEntry(buffer, at, end, view);
  return {
    kind: 'entry',
    entry: entry === 'decision' ? { kind: 'decision', record: view.record() } : entry,
    end,
    startsBatch: startsBatch(buffer, at),
  };
}

const partial: Decoded = Object.freeze({ kind: 'partial' });
const damaged: Decoded = Object.freeze({ kind: 'damaged' });
const endEntry = Object.freeze({ kind: 'end' } as const);
const unknownEntry = Object.freeze({ kind: 'unknown' } as const);

function writeCharges(record: LedgerRecord, buffer: Uint8Array, recordAt: number, at: number): number {
  const most = recordAt + maxRecordBytes - at - 2;
  if (record.charges.length * maxChargeBytes > most) throw new RangeError('too many charges for one record');
  const end = encodeCharges(record, buffer, at + 2);
  writeUint16(buffer, at, end - at - 2);
  return end;
}

function flagsOf(record: LedgerRecord): number {
  let flags = record.environment === 'sandbox' ? flag.sandbox : 0;
  if (record.issuerId !== null) flags |= flag.issuer;
  if (record.organizationId !== null) flags |= flag.organization;
  if (record.lineageId !== record.keyId) flags |= flag.lineage;
  if (record.fingerprint !== null) flags |= flag.fingerprint;
  if (hasCharges(record.charges)) flags |= flag.charges;
  return flags;
}

function writeLength(buffer: Uint8Array, at: number, end: number): number {
  writeUint16(buffer, at + 4, end - at - frameBytes);
  return end;
}
