import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../test/harness/database.ts';
import { Random } from '../../test/harness/random.ts';
import { Rows } from '../../test/harness/rows.ts';
import { scaled } from '../../test/harness/scale.ts';
import { type DiskCall, type DiskFault, MemoryDisk } from './fixtures/memory-disk.ts';
import { type MeteredKey, MeteredWorld } from './fixtures/metered-world.ts';
import { clearTables } from './fixtures/metering-model.ts';
import {
  breakingPool,
  mortalPool,
  openNode,
  openTestPool,
  TestLocks,
  type TestNode,
} from './fixtures/metering-node.ts';
import { minuteRecord, readMinutes } from './fixtures/minute-records.ts';
import { LedgerUnavailableError } from './ledger-unavailable.ts';

let database: TestDatabase;
let rows: Rows;
let pool: pg.Pool;
let key: MeteredKey;
beforeAll(async () => {
  database = await createTestDatabase();
  rows = await Rows.open(database);
  pool = openTestPool(database.appUrl);
  key = (await MeteredWorld.make(rows, { accounts: 1, keysOfEach: 1 })).keys[0]!;
});
afterAll(async () => {
  await pool.end();
  await rows.close();
  await database.drop();
});

/** Each decision lies in a minute of its own, so that the tables tell which of them were counted, and how often. */
class CountedLoad {
  readonly acknowledged = new Set<number>();
  readonly refused = new Set<number>();
  #appended = 0;

  async append(node: TestNode): Promise<void> {
    const number = ++this.#appended;
    try {
      await node.ledger.append(minuteRecord(key, number));
      this.acknowledged.add(number);
    } catch (error) {
      expect(error).toBeInstanceOf(LedgerUnavailableError);
      if (!(error as LedgerUnavailableError).mayBeCounted) this.refused.add(number);
    }
  }

  /** Nothing that was acknowledged is missing, nothing is counted twice or made up. Answers how many are counted. */
  async check(message: string): Promise<number> {
    const { numbers, countedTwice, usage, used } = await readMinutes(rows);
    expect(countedTwice, message).toEqual([]);
    expect(
      [...this.acknowledged].filter((number) => !numbers.has(number)),
      message,
    ).toEqual([]);
    expect(
      [...numbers].filter((number) => this.refused.has(number) || number > this.#appended),
      message,
    ).toEqual([]);
    expect([used, usage], message).toEqual([numbers.size, numbers.size]);
    return numbers.size;
  }
}

function faultsOf(call: DiskCall): DiskFault[] {
  const errors: DiskFault[] = [
    { error: 'EIO' },
    { error: 'ENOSPC' },
    { crash: true, written: call.length >> 1 },
  ];
  if (call.name !== 'write') return errors;
  return [
    ...errors,
    { short: 1 },
    { error: 'ENOSPC', written: call.length - 1 },
    { crash: true, written: call.length },
  ];
}

test('whatever disk and database do, and at whichever write: nothing acknowledged is lost, nothing is counted twice', async () => {
  let crashes = 0;
  let broken = 0;
  for (let run = 0; run < scaled(60, 3_000); run++) {
    await clearTables(rows);
    const random = new Random(new Random().seed + run);
    const message = `seed ${random.seed}`;
    const locks = new TestLocks();
    const load = new CountedLoad();
    const failing = random.pick([0, 0.02, 0.1]);
    const breaking = breakingPool(pool, () => {
      if (!random.chance(0.1)) return undefined;
      broken++;
      return random.pick(['before', 'after'] as const);
    });
    let disk = new MemoryDisk();
    for (let attempt = 0; attempt < 3; attempt++) {
      const crashAt = random.int(120);
      const current = disk;
      current.onCall = (call) => {
        if (current.calls.length > crashAt) return { crash: true, written: random.int(call.length + 1) };
        return random.chance(failing) ? random.pick(faultsOf(call)) : undefined;
      };
      const process = mortalPool(breaking);
      const work = async () => {
        const node = await openNode({
          pool: process.pool,
          disk: current,
          lock: locks.of(String(attempt)),
          bounds: { records: 1 + random.int(9), subjects: 9, windows: 9 },
          ledger: {
            maxSegmentBytes: 900,
            allocationBytes: 300,
            delay: async () => {
              for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
            },
          },
        });
        for (let burst = 0; burst < 12; burst++) {
          await Promise.all(Array.from({ length: 1 + random.int(5) }, () => load.append(node)));
          if (random.chance(0.4)) await node.fold.catchUp().catch(() => {});
        }
        await node.close();
      };
      const hasDied = await Promise.race([work().then(() => false), current.died.then(() => true)]);
      if (hasDied) crashes++;
      // What a fold of the dead had under way comes through or not; here it does.
      await process.die();
      locks.kill(String(attempt));
      disk = random.chance(0.5) ? current.afterKill() : current.afterPowerCut(random);
    }
    const last = await openNode({ pool, disk, lock: locks.of('last') });
    const limited = [...last.limiter.amounts(0)].reduce((sum, { amount }) => sum + amount, 0);
    await last.fold.catchUp();
    expect(await load.check(message), message).toBe(limited);
    expect(
      last.findings.list().filter(({ kind }) => kind !== 'torn_records'),
      message,
    ).toEqual([]);
    await last.close();
  }
  expect(crashes).toBeGreaterThan(10);
  expect(broken).toBeGreaterThan(10);
}, 1_200_000);
