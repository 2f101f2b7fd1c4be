import { describe, expect, test } from 'vitest';
import { idPrefixes, newId } from '../ids/ids.ts';
import { MemoryDisk } from '../ledger/fixtures/memory-disk.ts';
import { Ledger } from '../ledger/ledger.ts';
import { level, limit } from '../limits/fixtures/levels.ts';
import { MemoryLimiter } from '../limits/memory-limiter.ts';
import { decide } from './decide.ts';
import { account, issuerKey } from './fixtures/records.ts';
import { type Charge, chargeAndRecord, Meter } from './meter.ts';
import type { KeyRecord } from './records.ts';

const nowMs = Date.parse('2026-11-21T12:00:00Z');
const id = newId(idPrefixes.apiKey);
const key: KeyRecord = {
  ...issuerKey,
  id,
  lineageId: id,
  account: { ...account, id: newId(idPrefixes.account) },
  issuer: null,
  ownLevel: level('key', id, [limit(10, 'hour')]),
};
const request = { hasBrowserHeaders: false, tenantGiven: false, tenantRequired: false, scopes: [] };
const charge: Charge = { key, decision: decide(key, request, nowMs), entrance: 'verify' };

async function meterOn(disk: MemoryDisk) {
  const limiter = new MemoryLimiter(() => nowMs);
  const ledger = await Ledger.open({
    directory: '/ledger',
    installationId: '0'.repeat(32),
    dataDirectoryId: '0'.repeat(32),
    fileSystem: disk,
    delay: () => new Promise((resolve) => setImmediate(resolve)),
  });
  const meter = new Meter({ limiter, ledger, nowMs: () => nowMs });
  const remaining = async () => (await meter.peek(charge))?.tightest?.remaining;
  return { meter, ledger, remaining };
}

describe('a decision that can’t be put on record', () => {
  test('is 503 and has consumed nothing, also of what waited for the same write', async () => {
    const disk = new MemoryDisk();
    const { meter, ledger, remaining } = await meterOn(disk);
    await chargeAndRecord(meter, charge);
    expect(await remaining()).toBe(9);
    let isFull = true;
    disk.onCall = ({ name }) => (isFull && name === 'write' ? { error: 'ENOSPC' } : undefined);
    const waiting = await Promise.allSettled(Array.from({ length: 5 }, () => chargeAndRecord(meter, charge)));
    for (const result of waiting)
      expect(result).toMatchObject({ status: 'rejected', reason: { code: 'unavailable' } });
    expect(await remaining()).toBe(9);
    // While nothing can be written nothing is even asked.
    await expect(async () => meter.charge(charge)).rejects.toMatchObject({ code: 'unavailable' });
    isFull = false;
    await expect.poll(() => ledger.state.kind).toBe('writable');
    await chargeAndRecord(meter, charge);
    expect(await remaining()).toBe(8);
    await ledger.close();
  });

  test('gives nothing back where it may count all the same', async () => {
    const disk = new MemoryDisk();
    const { meter, remaining } = await meterOn(disk);
    await chargeAndRecord(meter, charge);
    // Neither written nor taken back for certain: the record may come back with the next start.
    disk.onCall = ({ name }) => (name === 'write' ? undefined : { error: 'EIO' });
    await expect(chargeAndRecord(meter, charge)).rejects.toMatchObject({ code: 'unavailable' });
    expect(await remaining()).toBe(8);
  });
});

test('a refusal by another check consumes nothing and is on record', async () => {
  const { meter, remaining, ledger } = await meterOn(new MemoryDisk());
  const refused = decide(key, { ...request, scopes: ['b:read'] }, nowMs);
  const charged = await chargeAndRecord(meter, { ...charge, decision: refused });
  expect([charged.refusal, charged.outcome]).toEqual(['insufficient_scope', 'INSUFFICIENT_SCOPE']);
  expect(await remaining()).toBe(10);
  await ledger.close();
});
