import { crc32 } from 'node:zlib';
import { idPrefixes } from '../ids/ids.ts';
import type { Environment } from '../key-profiles/key-profile.ts';
import { type Charge, decodeCharges, encodeCharges, hasCharges, maxChargeBytes } from './charge.ts';
import { idBytes, packId, unpackId } from './id-bytes.ts';
import {
  readUint16,
  readUint32,
  readUint48,
  writeUint16,
  writeUint32,
  writeUint48,
} from './little-endian.ts';
import {
  type Entrance,
  entranceNumber,
  entranceOf,
  type Outcome,
  outcomeNumber,
  outcomeOf,
} from './outcome.ts';

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
export const fingerprintBytes = 16;
export const segmentIdBytes = 16;

// Body of every record: kind (1), flags (1). Of a decision: outcome (1), entrance (1), time (6), cost (4), key (16),
// account (16), and as the flags say issuer, organization, lineage, fingerprint (16 each), and charges: their bytes (2),
// then themselves. Of a cut: segment (16), offset (6). What follows is room for fields of later versions.
const kinds = { decision: 1, cut: 2, end: 3 } as const;
const flag = {
  issuer: 1,
  organization: 2,
  lineage: 4,
  fingerprint: 8,
  sandbox: 16,
  charges: 32,
  startsBatch: 128,
} as const;
const knownFlags = 0b1011_1111;
const minBodyBytes = 2;
const keyAt = 14;
const accountAt = keyAt + idBytes;
const decisionBytes = accountAt + idBytes;
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
    writeUint32(buffer, at, crc32(buffer.subarray(at + 4, next), seed));
    at = next;
  }
}

/**
 * Reads the record at `at`.
 *
 * @param limit the end of what may be read; a record that goes beyond is `partial`
 * @param seed that of `finishRecords`
 */
export function decodeRecord(buffer: Uint8Array, at: number, limit: number, seed: number): Decoded {
  if (at + frameBytes > limit) return partial;
  const length = readUint16(buffer, at + 4);
  if (length < minBodyBytes || length > maxRecordBytes - frameBytes) return damaged;
  const end = at + frameBytes + length;
  if (end > limit) return partial;
  if (crc32(buffer.subarray(at + 4, end), seed) !== readUint32(buffer, at)) return damaged;
  const startsBatch = (buffer[at + frameBytes + 1]! & flag.startsBatch) !== 0;
  return { kind: 'entry', entry: decodeBody(buffer, at + frameBytes, length), end, startsBatch };
}

const partial: Decoded = Object.freeze({ kind: 'partial' });
const damaged: Decoded = Object.freeze({ kind: 'damaged' });
const endEntry: SegmentEntry = Object.freeze({ kind: 'end' });
const unknownEntry: SegmentEntry = Object.freeze({ kind: 'unknown' });

function decodeBody(buffer: Uint8Array, body: number, length: number): SegmentEntry {
  const flags = buffer[body + 1]!;
  switch (buffer[body]) {
    case kinds.decision:
      return decodeDecision(buffer, body, length, flags) ?? unknownEntry;
    case kinds.cut: {
      if (length < cutBytes || (flags & ~flag.startsBatch) !== 0) return unknownEntry;
      const segmentId = Buffer.from(buffer.subarray(body + 2, body + 2 + segmentIdBytes)).toString('hex');
      return { kind: 'cut', segmentId, offset: readUint48(buffer, body + 2 + segmentIdBytes) };
    }
    case kinds.end:
      return (flags & ~flag.startsBatch) === 0 ? endEntry : unknownEntry;
    default:
      return unknownEntry;
  }
}

/** null for one that only a newer version understands: skipping it would be a decision that is not counted. */
function decodeDecision(
  buffer: Uint8Array,
  body: number,
  length: number,
  flags: number,
): SegmentEntry | null {
  const outcome = outcomeOf(buffer[body + 2]!);
  const entrance = entranceOf(buffer[body + 3]!);
  if ((flags & ~knownFlags) !== 0 || length < decisionLength(flags)) return null;
  if (outcome === undefined || entrance === undefined) return null;
  const keyId = unpackId(idPrefixes.apiKey, buffer, body + keyAt);
  let next = body + decisionBytes;
  const take = (bit: number) => {
    if ((flags & bit) === 0) return null;
    next += 16;
    return next - 16;
  };
  const issuerAt = take(flag.issuer);
  const organizationAt = take(flag.organization);
  const lineageAt = take(flag.lineage);
  const fingerprintAt = take(flag.fingerprint);
  const charged = { timeMs: readUint48(buffer, body + 4), cost: readUint32(buffer, body + 10) };
  const charges =
    (flags & flag.charges) === 0 ? noCharges : readCharges(charged, buffer, next, body + length);
  if (charges === null) return null;
  const record: LedgerRecord = {
    timeMs: charged.timeMs,
    keyId,
    lineageId: lineageAt === null ? keyId : unpackId(idPrefixes.apiKey, buffer, lineageAt),
    accountId: unpackId(idPrefixes.account, buffer, body + accountAt),
    issuerId: issuerAt === null ? null : unpackId(idPrefixes.issuer, buffer, issuerAt),
    organizationId:
      organizationAt === null ? null : unpackId(idPrefixes.organization, buffer, organizationAt),
    environment: (flags & flag.sandbox) === 0 ? 'live' : 'sandbox',
    outcome,
    cost: charged.cost,
    entrance,
    // A copy: the reader's buffer is filled again and again.
    fingerprint: fingerprintAt === null ? null : copyOf(buffer, fingerprintAt, fingerprintBytes),
    charges,
  };
  return { kind: 'decision', record };
}

const noCharges: readonly Charge[] = Object.freeze([]);

function writeCharges(record: LedgerRecord, buffer: Uint8Array, recordAt: number, at: number): number {
  const most = recordAt + maxRecordBytes - at - 2;
  if (record.charges.length * maxChargeBytes > most) throw new RangeError('too many charges for one record');
  const end = encodeCharges(record, buffer, at + 2);
  writeUint16(buffer, at, end - at - 2);
  return end;
}

function readCharges(
  charged: { readonly timeMs: number; readonly cost: number },
  buffer: Uint8Array,
  at: number,
  limit: number,
): readonly Charge[] | null {
  const end = at + 2 + (at + 2 > limit ? limit : readUint16(buffer, at));
  return end > limit ? null : decodeCharges(charged, buffer, at + 2, end);
}

function copyOf(buffer: Uint8Array, at: number, length: number): Uint8Array {
  return new Uint8Array(buffer.subarray(at, at + length));
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

function decisionLength(flags: number): number {
  let length = decisionBytes;
  for (const bit of [flag.issuer, flag.organization, flag.lineage, flag.fingerprint]) {
    if ((flags & bit) !== 0) length += 16;
  }
  return length;
}

function writeLength(buffer: Uint8Array, at: number, end: number): number {
  writeUint16(buffer, at + 4, end - at - frameBytes);
  return end;
}
