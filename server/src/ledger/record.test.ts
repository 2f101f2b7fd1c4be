import { readFile } from 'node:fs/promises';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { idPrefixes } from '../ids/ids.ts';
import { counterPeriods } from '../limits/counter-period.ts';
import { levelKinds } from '../limits/limits.ts';
import type { Charge } from './charge.ts';
import { numbered } from './fixtures/ledger-records.ts';
import { unpackId } from './id-bytes.ts';
import { entrances, outcomes } from './outcome.ts';
import {
  type Decoded,
  decodeRecord,
  encodeCut,
  encodeDecision,
  encodeEnd,
  finishRecords,
  type LedgerRecord,
  maxRecordBytes,
} from './record.ts';
import { decodeHeader, encodeHeader } from './segment-header.ts';

interface ChargeVector {
  kind: Charge['level']['kind'];
  name: string;
  period: Charge['period'];
  window_start: number;
  cost: number;
}

interface DecisionVector {
  name: string;
  seed: number;
  starts_batch: boolean;
  record: Record<string, never>;
  hex: string;
}

const vectors = JSON.parse(
  await readFile(new URL('../../../vectors/ledger/records.json', import.meta.url), 'utf8'),
);

function toRecord(fields: Record<string, never>): LedgerRecord {
  return {
    timeMs: fields.time_ms!,
    keyId: fields.key_id!,
    lineageId: fields.lineage_id!,
    accountId: fields.account_id!,
    issuerId: fields.issuer_id!,
    organizationId: fields.organization_id!,
    environment: fields.environment!,
    outcome: fields.outcome!,
    cost: fields.cost!,
    entrance: fields.entrance!,
    fingerprint: fields.fingerprint === null ? null : new Uint8Array(Buffer.from(fields.fingerprint!, 'hex')),
    charges: (fields.charges! as ChargeVector[]).map(({ kind, name, period, window_start, cost }) => ({
      level: { kind },
      name,
      period,
      windowStart: window_start,
      cost,
    })),
  };
}

function idArbitrary(prefix: (typeof idPrefixes)[keyof typeof idPrefixes]): fc.Arbitrary<string> {
  return fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => unpackId(prefix, bytes, 0));
}

const chargeArbitrary: fc.Arbitrary<Charge> = fc.record({
  level: fc.constantFrom(...levelKinds).map((kind) => ({ kind })),
  name: fc.stringMatching(/^[A-Za-z0-9_.:-]{1,64}$/),
  period: fc.constantFrom(...counterPeriods),
  windowStart: fc.oneof(
    fc.integer({ min: 0, max: 2 ** 48 - 1 }),
    fc.constantFrom(1_795_300_000, 1_795_299_960, 1_795_297_200, 1_795_219_200),
  ),
  cost: fc.oneof(fc.integer({ min: 1, max: 2 ** 48 - 1 }), fc.constant(1)),
});

/** Only a level that a record names can be charged. */
function names(
  { issuerId, organizationId }: Pick<LedgerRecord, 'issuerId' | 'organizationId'>,
  kind: string,
) {
  return kind === 'issuer' ? issuerId !== null : kind !== 'organization' || organizationId !== null;
}

const recordArbitrary: fc.Arbitrary<LedgerRecord> = fc
  .record({
    timeMs: fc.oneof(fc.integer({ min: 0, max: 2 ** 48 - 1 }), fc.constant(1_795_300_000_123)),
    keyId: idArbitrary(idPrefixes.apiKey),
    lineageId: idArbitrary(idPrefixes.apiKey),
    accountId: idArbitrary(idPrefixes.account),
    issuerId: fc.option(idArbitrary(idPrefixes.issuer)),
    organizationId: fc.option(idArbitrary(idPrefixes.organization)),
    environment: fc.constantFrom('live', 'sandbox'),
    outcome: fc.constantFrom(...outcomes),
    cost: fc.oneof(fc.integer({ min: 0, max: 2 ** 32 - 1 }), fc.constant(1)),
    entrance: fc.constantFrom(...entrances),
    fingerprint: fc.option(fc.uint8Array({ minLength: 16, maxLength: 16 })),
    charges: fc.array(chargeArbitrary, { maxLength: 44 }),
  })
  .map((record) => ({ ...record, charges: record.charges.filter(({ level }) => names(record, level.kind)) }));
const seedArbitrary = fc.integer({ min: 0, max: 2 ** 32 - 1 });

const longestCharge: Charge = {
  level: { kind: 'key' },
  name: 'x'.repeat(64),
  period: 'quota',
  windowStart: 1_795_000_000,
  cost: 2 ** 48 - 1,
};

function batchOf(records: readonly LedgerRecord[], seed: number): Buffer {
  const buffer = Buffer.alloc((records.length + 1) * maxRecordBytes, 0xee);
  let end = 0;
  for (const record of records) end = encodeDecision(record, buffer, end);
  finishRecords(buffer, end, seed);
  return buffer.subarray(0, end);
}

function decodeAll(bytes: Buffer, seed: number): Decoded[] {
  const all: Decoded[] = [];
  for (let at = 0; at < bytes.length; ) {
    const decoded = decodeRecord(bytes, at, bytes.length, seed);
    all.push(decoded);
    if (decoded.kind !== 'entry') break;
    at = decoded.end;
  }
  return all;
}

function decision(record: LedgerRecord, end: number, startsBatch: boolean): Decoded {
  return { kind: 'entry', entry: { kind: 'decision', record }, end, startsBatch };
}

describe('known answers', () => {
  test.each<DecisionVector>(vectors.decisions)('$name', ({ seed, starts_batch, record, hex }) => {
    const bytes = Buffer.from(hex, 'hex');
    const parsed = toRecord(record);
    expect(decodeRecord(bytes, 0, bytes.length, seed)).toEqual(decision(parsed, bytes.length, starts_batch));
    const before = starts_batch ? [] : [parsed];
    const batch = batchOf([...before, parsed], seed);
    expect(batch.subarray(batch.length - bytes.length).toString('hex')).toBe(hex);
  });

  test.each<DecisionVector>(vectors.later)('$name', ({ seed, record, hex }) => {
    const bytes = Buffer.from(hex, 'hex');
    expect(decodeRecord(bytes, 0, bytes.length, seed)).toEqual(
      decision(toRecord(record), bytes.length, true),
    );
  });

  test.each<{ name: string; seed: number; hex: string }>(vectors.unknown)(
    '$name is told apart from damage',
    ({ seed, hex }) => {
      const bytes = Buffer.from(hex, 'hex');
      expect(decodeRecord(bytes, 0, bytes.length, seed)).toMatchObject({ entry: { kind: 'unknown' } });
    },
  );

  test('a cut and an end', () => {
    const buffer = Buffer.alloc(maxRecordBytes);
    const [{ seed, segment_id, offset, hex }] = vectors.cuts;
    const cutEnd = encodeCut(segment_id, offset, buffer, 0);
    finishRecords(buffer, cutEnd, seed);
    expect(buffer.toString('hex', 0, cutEnd)).toBe(hex);
    expect(decodeRecord(buffer, 0, cutEnd, seed)).toMatchObject({
      entry: { kind: 'cut', segmentId: segment_id, offset },
    });
    const [end] = vectors.ends;
    const endEnd = encodeEnd(buffer, 0);
    finishRecords(buffer, endEnd, end.seed);
    expect(buffer.toString('hex', 0, endEnd)).toBe(end.hex);
    expect(decodeRecord(buffer, 0, endEnd, end.seed)).toMatchObject({ entry: { kind: 'end' } });
  });

  test('a header', () => {
    const [{ seed, hex, ...fields }] = vectors.headers;
    const header = {
      segmentId: fields.segment_id,
      installationId: fields.installation_id,
      dataDirectoryId: fields.data_directory_id,
      createdAtMs: fields.created_at_ms,
    };
    const encoded = encodeHeader(header);
    expect(encoded.seed).toBe(seed);
    expect(encoded.bytes.toString('hex')).toBe(hex);
    expect(decodeHeader(encoded.bytes, 1000)).toEqual({ kind: 'header', header, end: 70, seed });
  });
});

describe('records', () => {
  test('come back as they were written, the first of a batch being marked', () => {
    fc.assert(
      fc.property(
        fc.array(recordArbitrary, { minLength: 1, maxLength: 20 }),
        seedArbitrary,
        (records, seed) => {
          const decoded = decodeAll(batchOf(records, seed), seed);
          expect(decoded.map((one) => one.kind === 'entry' && one.entry)).toEqual(
            records.map((record) => ({ kind: 'decision', record })),
          );
          expect(decoded.map((one) => one.kind === 'entry' && one.startsBatch)).toEqual(
            records.map((_, index) => index === 0),
          );
        },
      ),
    );
  });

  test('are found out when one bit of them is flipped', () => {
    fc.assert(
      fc.property(recordArbitrary, seedArbitrary, fc.nat(), (record, seed, position) => {
        const bytes = batchOf([record], seed);
        const bit = position % (bytes.length * 8);
        bytes[bit >> 3]! ^= 1 << (bit & 7);
        expect(decodeRecord(bytes, 0, bytes.length, seed).kind).not.toBe('entry');
      }),
    );
  });

  test('that end too early are partial at every length', () => {
    const bytes = batchOf([numbered(1)], 5);
    for (let length = 0; length < bytes.length; length++) {
      expect(decodeRecord(bytes, 0, length, 5)).toEqual({ kind: 'partial' });
    }
  });

  // A block of the disk that once held another segment shows up in this one after a power cut.
  test('of another segment do not count in this one', () => {
    const bytes = batchOf([numbered(1)], 5);
    expect(decodeRecord(bytes, 0, bytes.length, 6)).toEqual({ kind: 'damaged' });
  });

  test('are none where there are only zeros or only ones', () => {
    for (const filling of [0, 0xff]) {
      const bytes = Buffer.alloc(maxRecordBytes, filling);
      expect(decodeRecord(bytes, 0, bytes.length, 0)).toEqual({ kind: 'damaged' });
    }
  });

  test('are never made out of random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), seedArbitrary, (bytes, seed) => {
        expect(decodeRecord(Buffer.from(bytes), 0, bytes.length, seed).kind).not.toBe('entry');
      }),
    );
  });

  test('with all there is are of the size that is documented, and have room', () => {
    const all = toRecord(vectors.decisions[3].record);
    expect(batchOf([all], 1).length).toBe(116);
    const charges = Array.from({ length: 44 }, () => longestCharge);
    expect(batchOf([{ ...all, charges }], 1).length).toBe(116 + 3434);
  });

  test('leave out what took nothing from a limit', () => {
    const charge: Charge = { ...longestCharge, cost: 0 };
    const [decoded] = decodeAll(batchOf([{ ...numbered(1), charges: [charge, charge] }], 1), 1);
    expect(decoded).toMatchObject({ entry: { record: { charges: [] } } });
    expect(batchOf([{ ...numbered(1), charges: [charge] }], 1)).toEqual(batchOf([numbered(1)], 1));
  });

  test.each<Partial<LedgerRecord>>([
    { timeMs: -1 },
    { timeMs: 1.5 },
    { timeMs: 2 ** 48 },
    { timeMs: Number.NaN },
    { cost: -1 },
    { cost: 2 ** 32 },
    { cost: 0.5 },
    { keyId: 'key_' },
    { keyId: numbered(1).accountId },
    { keyId: `key_${'z'.repeat(25)}` },
    { keyId: `key_${'A'.repeat(25)}` },
    { keyId: `key_${'é'.repeat(25)}` },
    { issuerId: numbered(1).accountId },
    { outcome: 'MAYBE' as 'VALID' },
    { entrance: 'back door' as 'verify' },
    { fingerprint: new Uint8Array(15) },
    { charges: [{ ...longestCharge, name: '' }] },
    { charges: [{ ...longestCharge, name: 'x'.repeat(65) }] },
    { charges: [{ ...longestCharge, name: 'é' }] },
    { charges: [{ ...longestCharge, period: 'week' as 'day' }] },
    { charges: [{ ...longestCharge, level: { kind: 'planet' as 'key' } }] },
    { charges: [{ ...longestCharge, cost: -1 }] },
    { charges: [{ ...longestCharge, cost: 0.5 }] },
    { charges: [{ ...longestCharge, cost: 2 ** 48 }] },
    { charges: [{ ...longestCharge, windowStart: -1 }] },
    { charges: Array.from({ length: 60 }, () => longestCharge) },
    { organizationId: null, charges: [{ ...longestCharge, level: { kind: 'organization' } }] },
    { issuerId: null, charges: [{ ...longestCharge, level: { kind: 'issuer' } }] },
  ])('that can not be are refused: %o', (wrong) => {
    const buffer = Buffer.alloc(maxRecordBytes);
    expect(() => encodeDecision({ ...numbered(1), ...wrong }, buffer, 0)).toThrow(RangeError);
  });
});
