import { describe, expect, test } from 'vitest';
import { Random } from '../../test/harness/random.ts';
import { scaled } from '../../test/harness/scale.ts';
import { LedgerLoad, ledgerDirectory } from './fixtures/ledger-load.ts';
import { readLedger } from './fixtures/ledger-records.ts';
import { type DiskCall, type DiskFault, MemoryDisk } from './fixtures/memory-disk.ts';

const bursts = scaled(16, 25);

/** The calls of a run in which nothing fails; another with the same seed makes the same ones up to its first fault. */
async function callsOfRun(seed: number): Promise<readonly DiskCall[]> {
  const disk = new MemoryDisk();
  const load = new LedgerLoad(disk, new Random(seed));
  await load.run(bursts);
  await load.close();
  expect(load.acknowledged.size).toBe(load.appended);
  load.check(await readLedger(ledgerDirectory, disk));
  return disk.calls;
}

/** What each call of a run could come to, none, some and all of a write being done. */
function faultsOf(call: DiskCall): DiskFault[] {
  const errors: DiskFault[] = [{ error: 'EIO' }, { error: 'ENOSPC' }];
  if (call.name !== 'write') return errors;
  const some = [0, 1, Math.floor(call.length / 2), call.length - 1];
  return [
    ...errors,
    ...some.slice(1).map((short) => ({ short })),
    ...some.map((written) => ({ error: 'ENOSPC', written })),
  ];
}

function faultAt(index: number, fault: DiskFault): () => DiskFault | undefined {
  let calls = 0;
  return () => (calls++ === index ? fault : undefined);
}

const seeds = Array.from({ length: scaled(1, 10) }, () => new Random().int(2 ** 31));

describe.each(seeds)('in the run %i', (seed) => {
  test('one failure at any call of the disk loses and doubles nothing, and the ledger goes on by itself', async () => {
    const calls = await callsOfRun(seed);
    for (const [index, call] of calls.entries()) {
      for (const fault of faultsOf(call)) {
        const disk = new MemoryDisk();
        disk.onCall = faultAt(index, fault);
        const load = new LedgerLoad(disk, new Random(seed));
        await load.run(bursts);
        load.check(await load.readLive());
        await load.close();
        expect(load.uncertain).toEqual(new Set());
        const read = await readLedger(ledgerDirectory, disk);
        load.check(read);
        expect(read.numbers.length).toBe(load.acknowledged.size);
        expect(load.acknowledged.size + load.refused.size).toBe(load.appended);
      }
    }
  });

  test('a crash at any call leaves every acknowledged record, each once, and makes none up', async () => {
    const calls = await callsOfRun(seed);
    for (const [index, call] of calls.entries()) {
      const cuts = call.name === 'write' ? [0, 1, Math.floor(call.length / 2), call.length] : [0];
      for (const written of cuts) {
        const disk = new MemoryDisk();
        disk.onCall = faultAt(index, { crash: true, written });
        const load = new LedgerLoad(disk, new Random(seed));
        await load.run(bursts);
        await load.close();
        await checkAfterCrash(load, disk.afterKill());
        for (let cut = 0; cut < 4; cut++) {
          await checkAfterCrash(load, disk.afterPowerCut(new Random(seed + 1000 * index + cut)));
        }
      }
    }
  });
});

test('a disk that fails again and again, and then the power: nothing acknowledged is lost or doubled', async () => {
  const random = new Random();
  let uncertain = 0;
  for (let run = 0; run < scaled(80, 5_000); run++) {
    const seed = random.int(2 ** 31);
    const failing = random.pick([0.02, 0.1, 0.3]);
    const faults = new Random(seed + 1);
    const disk = new MemoryDisk();
    const crashAfter = random.int(300);
    disk.onCall = (call) => {
      if (disk.calls.length > crashAfter) return { crash: true, written: faults.int(call.length + 1) };
      return faults.chance(failing) ? faults.pick(faultsOf(call)) : undefined;
    };
    const load = new LedgerLoad(disk, new Random(seed));
    await load.run(60);
    load.check(await load.readLive());
    await checkAfterCrash(load, disk.afterKill());
    for (let cut = 0; cut < 3; cut++) await checkAfterCrash(load, disk.afterPowerCut(faults));
    uncertain += load.uncertain.size;
  }
  // The runs come to where a disk refuses even to take back what it could not write.
  expect(uncertain).toBeGreaterThan(0);
});

async function checkAfterCrash(load: LedgerLoad, disk: MemoryDisk): Promise<void> {
  const read = await readLedger(ledgerDirectory, disk);
  load.check(read);
  expect(read.ends.filter(({ kind }) => kind !== 'end' && kind !== 'torn')).toEqual([]);
  expect(read.faults.filter((kind) => kind !== 'torn')).toEqual([]);
}
