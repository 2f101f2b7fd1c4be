import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { scaled } from '../../test/harness/scale.ts';
import { type SegmentBytes, segmentOf } from './fixtures/segment-bytes.ts';
import type { LedgerFile } from './ledger-file-system.ts';
import { type ReadSegment, readHeader, readSegment, type SegmentEnd } from './segment-reader.ts';

interface Reading {
  numbers: number[];
  offsets: number[];
  end: SegmentEnd;
}

/** A file that answers reads in pieces, as it may. */
function fileOf(bytes: Buffer, pieceBytes = Number.POSITIVE_INFINITY): LedgerFile {
  const readOnly = async () => {
    throw new Error('a reader writes nothing');
  };
  return {
    write: readOnly,
    writeDurably: readOnly,
    datasync: readOnly,
    truncate: readOnly,
    read: async (into, at, length, position) =>
      bytes.copy(into, at, position, Math.min(position + Math.min(length, pieceBytes), bytes.length)),
    size: async () => bytes.length,
    close: async () => {},
  };
}

async function read(
  segment: SegmentBytes,
  bytes: Buffer = segment.bytes,
  options: Partial<ReadSegment> & { pieceBytes?: number } = {},
): Promise<Reading> {
  const numbers: number[] = [];
  const offsets: number[] = [];
  const end = await readSegment(fileOf(bytes, options.pieceBytes), {
    seed: segment.seed,
    from: segment.begin,
    onDecision: ({ cost }, endOffset) => {
      numbers.push(cost);
      offsets.push(endOffset);
      return true;
    },
    ...options,
  });
  return { numbers, offsets, end };
}

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1);
}

/** How many decisions end at or before an offset. */
function wholeAt(segment: SegmentBytes, offset: number): number {
  return segment.ends.filter((end) => end <= offset).length;
}

const batchesArbitrary = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 8 });

describe('a segment that is whole', () => {
  test('is read to its end, with the offset after each record, however it arrives', async () => {
    await fc.assert(
      fc.asyncProperty(
        batchesArbitrary,
        fc.boolean(),
        fc.integer({ min: 1, max: 2000 }),
        async (batches, isSealed, pieceBytes) => {
          const segment = segmentOf(batches, { isSealed });
          const { numbers, offsets, end } = await read(segment, segment.bytes, { pieceBytes });
          expect(numbers).toEqual(upTo(segment.ends.length));
          expect(offsets).toEqual(segment.ends);
          expect(end).toEqual({ kind: 'end', offset: segment.bytes.length, isSealed });
        },
      ),
    );
  });

  test('is read from any record on, and up to any', async () => {
    const segment = segmentOf([3, 1, 4]);
    const bounds = [segment.begin, ...segment.ends];
    for (const [first, from] of bounds.entries()) {
      for (const [last, until] of [...bounds.entries()].slice(first)) {
        const { numbers, end } = await read(segment, segment.bytes, { from, until });
        expect(numbers).toEqual(upTo(8).slice(first, last));
        expect(end).toEqual({ kind: 'end', offset: until, isSealed: false });
      }
    }
  });

  test('is read in parts by a visitor that stops', async () => {
    const segment = segmentOf([3, 1, 4], { isSealed: true });
    const seen: number[] = [];
    let from = segment.begin;
    for (;;) {
      const { end } = await read(segment, segment.bytes, {
        from,
        onDecision: ({ cost }) => seen.push(cost) % 3 !== 0,
      });
      from = end.offset;
      if (end.kind !== 'stopped') break;
    }
    expect(seen).toEqual(upTo(8));
    expect(from).toBe(segment.bytes.length);
  });

  test('is read in the memory of a buffer, also where it is many times as long', async () => {
    const segment = segmentOf(Array.from({ length: 400 }, () => 50));
    expect(segment.bytes.length).toBeGreaterThan(1_600_000);
    const lengths: number[] = [];
    const file = fileOf(segment.bytes);
    let last = 0;
    const watched: LedgerFile = {
      ...file,
      read: (into, at, length, position) => {
        lengths.push(length);
        return file.read(into, at, length, position);
      },
    };
    const end = await readSegment(watched, {
      seed: segment.seed,
      from: segment.begin,
      onDecision: ({ cost }) => cost === ++last,
    });
    expect(last).toBe(20_000);
    expect(end.kind).toBe('end');
    expect(Math.max(...lengths)).toBeLessThanOrEqual(256 * 1024);
  });
});

describe('a crash', () => {
  test('that cut the file off at any byte loses what comes after the cut and nothing else', async () => {
    const segment = segmentOf([2, 1, 3]);
    for (let length = segment.begin; length <= segment.bytes.length; length++) {
      const { numbers, end } = await read(segment, segment.bytes.subarray(0, length));
      expect(numbers).toEqual(upTo(wholeAt(segment, length)));
      const offset = segment.ends.findLast((at) => at <= length) ?? segment.begin;
      if (offset === length) expect(end).toEqual({ kind: 'end', offset, isSealed: false });
      else expect(end).toEqual({ kind: 'torn', offset, bytes: length - offset, recordsAfter: 0 });
    }
  });

  test('that left zeros in place of any part of the last batch is none of damage', async () => {
    await fc.assert(
      fc.asyncProperty(batchesArbitrary, fc.nat(), fc.nat(), async (batches, one, other) => {
        const segment = segmentOf(batches);
        const acknowledged = segment.batchEnds.at(-2) ?? segment.begin;
        const tail = segment.bytes.length - acknowledged;
        const [from, to] = [one % tail, (other % tail) + 1].sort((a, b) => a - b) as [number, number];
        const bytes = Buffer.from(segment.bytes).fill(0, acknowledged + from, acknowledged + to);
        const { numbers, end } = await read(segment, bytes);
        expect(numbers).toEqual(upTo(numbers.length));
        expect(numbers.length).toBeGreaterThanOrEqual(wholeAt(segment, acknowledged));
        if (bytes.equals(segment.bytes)) return;
        // Zeros to the end are as good as space that was never used.
        const isUnused = bytes.subarray(end.offset).every((byte) => byte === 0);
        expect(end.kind).toBe(isUnused ? 'end' : 'torn');
      }),
    );
  });

  test('that left whole records behind a hole says how many', async () => {
    const segment = segmentOf([2, 4]);
    const bytes = Buffer.from(segment.bytes).fill(0, segment.ends[2], segment.ends[3]);
    const { numbers, end } = await read(segment, bytes);
    expect(numbers).toEqual([1, 2, 3]);
    const offset = segment.ends[2]!;
    expect(end).toEqual({ kind: 'torn', offset, bytes: bytes.length - offset, recordsAfter: 2 });
  });

  test('that left old bytes of the disk behind, or space that was taken and not used, adds no record', async () => {
    await fc.assert(
      fc.asyncProperty(
        batchesArbitrary,
        fc.uint8Array({ minLength: 1, maxLength: 600 }),
        async (batches, rest) => {
          const segment = segmentOf(batches);
          const { numbers, end } = await read(
            segment,
            Buffer.concat([segment.bytes, rest, Buffer.from([1])]),
          );
          expect(numbers).toEqual(upTo(segment.ends.length));
          expect(end).toMatchObject({ kind: 'torn', offset: segment.bytes.length, bytes: rest.length + 1 });
          const unused = await read(segment, Buffer.concat([segment.bytes, Buffer.alloc(rest.length)]));
          expect(unused.numbers).toEqual(upTo(segment.ends.length));
          expect(unused.end).toEqual({ kind: 'end', offset: segment.bytes.length, isSealed: false });
        },
      ),
    );
  });
});

describe('damage', () => {
  test('of one bit before the last batch is corruption, and its place is told', async () => {
    await fc.assert(
      fc.asyncProperty(batchesArbitrary, fc.boolean(), fc.nat(), async (batches, isSealed, position) => {
        const segment = segmentOf([...batches, 1], { isSealed });
        const acknowledged = isSealed ? segment.batchEnds.at(-1)! : segment.batchEnds.at(-2)!;
        const bit = position % ((acknowledged - segment.begin) * 8);
        const bytes = Buffer.from(segment.bytes);
        bytes[segment.begin + (bit >> 3)]! ^= 1 << (bit & 7);
        const whole = wholeAt(segment, segment.begin + (bit >> 3));
        const { numbers, end } = await read(segment, bytes);
        expect(numbers).toEqual(upTo(whole));
        const damagedBatch = segment.batchEnds.find((at) => at > segment.begin + (bit >> 3));
        expect(end).toEqual({
          kind: 'corrupt',
          offset: whole === 0 ? segment.begin : segment.ends[whole - 1],
          nextWholeAt: damagedBatch,
        });
      }),
    );
  });

  test('of one bit in the last batch never passes', async () => {
    const segment = segmentOf([1, 3]);
    for (let bit = segment.batchEnds[0]! * 8; bit < segment.bytes.length * 8; bit++) {
      const bytes = Buffer.from(segment.bytes);
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      const { numbers, end } = await read(segment, bytes);
      expect(numbers).toEqual(upTo(wholeAt(segment, bit >> 3)));
      expect(end.kind).toBe('torn');
    }
  });

  test('is corruption wherever it is, once it is known how far the segment was on disk', async () => {
    const segment = segmentOf([1, 3]);
    const bytes = Buffer.from(segment.bytes).fill(0, segment.ends[2]);
    const { end } = await read(segment, bytes, { until: bytes.length });
    expect(end).toEqual({ kind: 'corrupt', offset: segment.ends[2], nextWholeAt: null });
  });

  test('that made zeros of any length is told with the place where the next batch begins', async () => {
    const long = scaled(20_000, 200_000);
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: long }),
        // Old bytes of the disk before and after them.
        fc.uint8Array({ maxLength: 20 }),
        fc.uint8Array({ maxLength: 20 }),
        async (length, before, after) => {
          const segment = segmentOf([2, 1]);
          const whole = segment.batchEnds[0]!;
          const hole = Buffer.concat([before, Buffer.alloc(length), after]);
          const parts = [segment.bytes.subarray(0, whole), hole, segment.bytes.subarray(whole)];
          const options = { pageBytes: 8_192 };
          const { numbers, end } = await read(segment, Buffer.concat(parts), options);
          expect(numbers).toEqual([1, 2]);
          expect(end).toEqual({ kind: 'corrupt', offset: whole, nextWholeAt: whole + hole.length });
          const unused = await read(segment, Buffer.concat(parts.slice(0, 2)), options);
          const isUnused = hole.every((byte) => byte === 0);
          expect(unused.end).toEqual(
            isUnused
              ? { kind: 'end', offset: whole, isSealed: false }
              : { kind: 'torn', offset: whole, bytes: hole.length, recordsAfter: 0 },
          );
        },
      ),
    );
  });

  test('is what comes after the end', async () => {
    const segment = segmentOf([2], { isSealed: true });
    const { end } = await read(segment, Buffer.concat([segment.bytes, Buffer.from([0])]));
    expect(end).toEqual({ kind: 'corrupt', offset: segment.bytes.length, nextWholeAt: null });
  });
});

test('an offset past the end of the file is a fault', async () => {
  const segment = segmentOf([2]);
  const { length } = segment.bytes;
  for (const options of [{ from: length + 1 }, { until: length + 1 }]) {
    expect((await read(segment, segment.bytes, options)).end).toMatchObject({ kind: 'missing' });
  }
});

test('a file that shrinks while it is read is a fault', async () => {
  const segment = segmentOf([2]);
  const file = fileOf(segment.bytes.subarray(0, segment.ends[0]));
  const size = async () => segment.bytes.length;
  const end = await readSegment({ ...file, size }, { seed: segment.seed, from: segment.begin });
  expect(end).toEqual({ kind: 'missing', offset: segment.ends[0] });
});

describe('a header', () => {
  test('that a crash has cut off is torn, and in a file that goes on it is damaged', async () => {
    const { bytes, begin } = segmentOf([1]);
    for (let length = 0; length < begin; length++) {
      expect(await readHeader(fileOf(bytes.subarray(0, length)))).toEqual({ kind: 'torn' });
    }
    expect(await readHeader(fileOf(bytes.subarray(0, begin)))).toMatchObject({ kind: 'header' });
    for (let bit = 0; bit < begin * 8; bit++) {
      const flipped = Buffer.from(bytes);
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      expect(await readHeader(fileOf(flipped))).toEqual({ kind: 'damaged' });
    }
  });
});
