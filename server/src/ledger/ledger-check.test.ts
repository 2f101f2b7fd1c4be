import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { expect, test } from 'vitest';
import { ledgerDirectory } from './fixtures/ledger-load.ts';
import { dataDirectoryId, installationId, numbered } from './fixtures/ledger-records.ts';
import { MemoryDisk } from './fixtures/memory-disk.ts';
import { segmentId, segmentOf } from './fixtures/segment-bytes.ts';
import { Ledger } from './ledger.ts';
import { checkLedger, type SegmentReport, type StoredPositions } from './ledger-check.ts';
import { segmentFileName } from './segment-list.ts';

const processDirectory = join(ledgerDirectory, 'a'.repeat(32));

/** What a database says that has folded the segment up to there. */
function positionsOf(position: number): StoredPositions {
  const stored = { segmentId, position, isFinished: false, lostBytes: 0, foldedAt: new Date() };
  return { read: async () => new Map([[segmentId, stored]]), unfinished: [stored] };
}

async function check(
  bytes: Buffer,
  {
    id = segmentId,
    owner = installationId,
    position,
  }: { id?: string; owner?: string; position?: number } = {},
) {
  const disk = new MemoryDisk();
  disk.restore(new Map([[join(processDirectory, segmentFileName(id)), bytes]]));
  const positions = position === undefined ? undefined : positionsOf(position);
  const report = await checkLedger({
    fileSystem: disk,
    root: ledgerDirectory,
    installationId: owner,
    positions,
  });
  expect(report.segments.length).toBe(1);
  return { ...report, ...(report.segments[0] as SegmentReport) };
}

/** A header with its checksum made good after a change. */
function resealed(bytes: Buffer): Buffer {
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 66)), 66);
  return bytes;
}

test('a segment that was closed in order, and one that was not', async () => {
  const sealed = segmentOf([2, 3], { isSealed: true });
  expect(await check(sealed.bytes)).toMatchObject({
    segmentId,
    createdAtMs: 1_795_300_000_000,
    bytes: sealed.bytes.length,
    records: 5,
    verdict: { kind: 'sealed' },
    isSound: true,
  });
  expect(await check(segmentOf([2, 3]).bytes)).toMatchObject({
    records: 5,
    verdict: { kind: 'open' },
    isSound: true,
  });
});

test('a torn tail is no fault', async () => {
  const { bytes, ends } = segmentOf([2, 3]);
  expect(await check(bytes.subarray(0, -1))).toMatchObject({
    records: 4,
    verdict: { kind: 'torn', at: ends[3], bytes: 83, recordsAfter: 0 },
    isSound: true,
  });
});

test('damage in the middle is one, and its place is told', async () => {
  const { bytes, ends, batchEnds } = segmentOf([2, 3, 1]);
  bytes[ends[1]! + 10]! ^= 1;
  expect(await check(bytes)).toMatchObject({
    records: 3,
    lostBytes: batchEnds[1]! - ends[1]!,
    verdict: { kind: 'corrupt', at: ends[1], nextWholeAt: batchEnds[1] },
    isSound: false,
  });
});

test('a segment that a crash ended before it was made is empty', async () => {
  for (const length of [0, 1, 69]) {
    const report = await check(segmentOf([]).bytes.subarray(0, length));
    expect(report).toMatchObject({
      records: 0,
      createdAtMs: null,
      verdict: { kind: 'empty' },
      isSound: true,
    });
  }
});

test('a segment of another installation is told, and not counted', async () => {
  const owner = 'f'.repeat(32);
  expect(await check(segmentOf([2]).bytes, { owner })).toMatchObject({
    records: 0,
    verdict: { kind: 'foreign', installationId },
    isSound: false,
  });
});

test('a segment or a record of a newer version is told', async () => {
  const { bytes, begin } = segmentOf([1]);
  bytes.writeUInt16LE(2, 8);
  expect(await check(resealed(bytes))).toMatchObject({
    verdict: { kind: 'unknown_version', at: 0 },
    isSound: false,
  });

  const newer = segmentOf([1]);
  newer.bytes[begin + 6] = 9;
  newer.bytes.writeUInt32LE(crc32(newer.bytes.subarray(begin + 4), newer.seed), begin);
  expect(await check(newer.bytes)).toMatchObject({
    verdict: { kind: 'unknown_version', at: begin },
    isSound: false,
  });
});

test('a file under the name of another segment, and one that is no segment, are told', async () => {
  const { bytes } = segmentOf([1]);
  expect(await check(bytes, { id: 'e'.repeat(32) })).toMatchObject({
    verdict: { kind: 'misnamed' },
    isSound: false,
  });
  expect(await check(Buffer.alloc(500, 'x'))).toMatchObject({
    verdict: { kind: 'no_segment' },
    isSound: false,
  });
});

test('files that are no segments by their name are none of its business', async () => {
  const disk = new MemoryDisk();
  disk.restore(
    new Map(
      [ledgerDirectory, processDirectory].map((path) => [join(path, 'notes.txt'), Buffer.from('hello')]),
    ),
  );
  const report = await checkLedger({ fileSystem: disk, root: ledgerDirectory });
  expect(report).toEqual({ segments: [], lost: [], records: 0, isSound: true });
});

test('a segment that a disk could not be made to take back counts up to where the next one says', async () => {
  const disk = new MemoryDisk();
  const ledger = await Ledger.open({
    directory: processDirectory,
    installationId,
    dataDirectoryId,
    fileSystem: disk,
  });
  await ledger.append(numbered(1));
  let failures = 2;
  disk.onCall = ({ name }) =>
    (name === 'datasync' || name === 'truncate') && failures-- > 0 ? { error: 'EIO' } : undefined;
  await expect(ledger.append(numbered(2))).rejects.toMatchObject({ reason: 'EIO' });
  await ledger.append(numbered(3));
  await ledger.close();
  const report = await checkLedger({ fileSystem: disk, root: ledgerDirectory, installationId });
  expect(report).toMatchObject({ records: 2, isSound: true });
  expect(report.segments.map(({ verdict }) => verdict)).toEqual(
    expect.arrayContaining([{ kind: 'cut', at: 70 + 84, bytes: 1024 * 1024 - 84 }, { kind: 'sealed' }]),
  );
});

test('what the database does not have yet is told, and what it should not have', async () => {
  const { bytes, ends } = segmentOf([2, 3], { isSealed: true });
  expect(await check(bytes, { position: ends[1]! })).toMatchObject({
    records: 5,
    unfolded: 3,
    position: { position: ends[1] },
    isSound: true,
  });
  expect(await check(bytes)).toMatchObject({ unfolded: null, position: null });
  expect(await check(bytes.subarray(0, ends[3]), { position: ends[4]! })).toMatchObject({
    records: 4,
    unfolded: 0,
    verdict: { kind: 'past_end', at: ends[4] },
    isSound: false,
  });
});

test('a segment that is gone before all of it was folded is lost', async () => {
  const positions = positionsOf(200);
  const report = await checkLedger({ fileSystem: new MemoryDisk(), root: ledgerDirectory, positions });
  expect(report).toEqual({ segments: [], lost: positions.unfinished, records: 0, isSound: false });
});
