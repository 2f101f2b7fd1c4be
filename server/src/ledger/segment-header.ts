import { crc32 } from 'node:zlib';

/** What the first bytes of a segment say. All ids are 32 lower-case hex digits. */
export interface SegmentHeader {
  /** Random, and the name of its file. */
  readonly segmentId: string;
  /** The installation whose decisions these are: what is known under this name to the database. */
  readonly installationId: string;
  /** The data directory it was written in. */
  readonly dataDirectoryId: string;
  readonly createdAtMs: number;
}

export type DecodedHeader =
  | { readonly kind: 'header'; readonly header: SegmentHeader; readonly end: number; readonly seed: number }
  /** The beginning of one, or nothing yet: a crash while the segment was made. It never held a record. */
  | { readonly kind: 'torn' }
  /** A header that is whole, of a format that only a newer version knows. */
  | { readonly kind: 'unknown_version'; readonly version: number }
  /** Something else, or a header that was damaged. */
  | { readonly kind: 'damaged' };

export const headerBytes = 70;
/** A reader may have to read that many bytes to find out what it has. */
export const maxHeaderBytes = 512;
const version = 1;

// Magic (8), version (2), bytes of the whole header (2), installation (16), data directory (16), segment (16),
// creation (6), checksum (4). A later version may put more before the checksum.
const magic = Buffer.from('GLLEDGER', 'latin1');

/** @returns the header as bytes, and the seed of its records' checksums */
export function encodeHeader(header: SegmentHeader): { bytes: Buffer; seed: number } {
  const bytes = Buffer.alloc(headerBytes);
  magic.copy(bytes, 0);
  bytes.writeUInt16LE(version, 8);
  bytes.writeUInt16LE(headerBytes, 10);
  writeId(bytes, header.installationId, 12);
  writeId(bytes, header.dataDirectoryId, 28);
  writeId(bytes, header.segmentId, 44);
  bytes.writeUIntLE(header.createdAtMs, 60, 6);
  const seed = crc32(bytes.subarray(0, headerBytes - 4));
  bytes.writeUInt32LE(seed, headerBytes - 4);
  return { bytes, seed };
}

/**
 * @param bytes the first bytes of a segment, `maxHeaderBytes` or all
 * @param fileBytes how many the file has
 */
export function decodeHeader(bytes: Buffer, fileBytes: number): DecodedHeader {
  // It was on disk before the first record was written, so in a file that goes on after it a bad one is damage.
  const bad: DecodedHeader = { kind: fileBytes > headerBytes ? 'damaged' : 'torn' };
  if (bytes.length < headerBytes || !bytes.subarray(0, 8).equals(magic)) return bad;
  const end = bytes.readUInt16LE(10);
  if (end < headerBytes || end > bytes.length) return bad;
  const seed = bytes.readUInt32LE(end - 4);
  if (crc32(bytes.subarray(0, end - 4)) !== seed) return bad;
  const found = bytes.readUInt16LE(8);
  if (found !== version) return { kind: 'unknown_version', version: found };
  const header = {
    installationId: bytes.toString('hex', 12, 28),
    dataDirectoryId: bytes.toString('hex', 28, 44),
    segmentId: bytes.toString('hex', 44, 60),
    createdAtMs: bytes.readUIntLE(60, 6),
  };
  return { kind: 'header', header, end, seed };
}

function writeId(bytes: Buffer, id: string, at: number): void {
  if (!/^[0-9a-f]{32}$/.test(id)) throw new RangeError(`${JSON.stringify(id)} is not 32 hex digits`);
  bytes.write(id, at, 'hex');
}
