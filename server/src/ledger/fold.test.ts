import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../test/harness/database.ts';
import { Random } from '../../test/harness/random.ts';
import { Rows } from '../../test/harness/rows.ts';
import { scaled } from '../../test/harness/scale.ts';
import { MemoryDisk } from './fixtures/memory-disk.ts';
import { MeteredWorld } from './fixtures/metered-world.ts';
import { clearTables, modelOf, readTables, windowsOf } from './fixtures/metering-model.ts';
import { openNode, openTestPool, TestLocks, type TestNode, testNowMs } from './fixtures/metering-node.ts';
import { pauseAfter } from './fold.ts';
import type { LedgerRecord } from './record.ts';

let database: TestDatabase;
let rows: Rows;
let pool: pg.Pool;
let world: MeteredWorld;
beforeAll(async () => {
  database = await createTestDatabase();
  rows = await Rows.open(database);
  pool = openTestPool(database.appUrl);
  world = await MeteredWorld.make(rows, { keysOfEach: 3 });
});
afterAll(async () => {
  await pool.end();
  await rows.close();
  await database.drop();
});
beforeEach(() => clearTables(rows));

function recordsOf(random: Random, count: number): LedgerRecord[] {
  return Array.from({ length: count }, () => world.record(random, testNowMs));
}

/** Of a limiter, as `windowsOf` tells it. */
function limitsOf(node: TestNode, accountOf: (id: string, kind: string) => string): Record<string, string> {
  const told = [...node.limiter.amounts(testNowMs / 1000)].map(
    ({ kind, id, environment, name, period, windowStart, amount }) => [
      [accountOf(id, kind), kind, id, environment, name, period].join(' '),
      `${amount} from ${windowStart}`,
    ],
  );
  return Object.fromEntries(told);
}

function accountOf(id: string, kind: string): string {
  if (kind === 'account') return id;
  const key = world.keys.find(
    (one) =>
      one.lineageId === id ||
      one.issuerId === id ||
      (one.issuerId !== null && world.organizationIds.get(one.issuerId)!.includes(id)),
  );
  return key!.accountId;
}

describe('folding', () => {
  test('makes of any decisions, in any pieces and over any restarts, what they come to one by one', async () => {
    for (let run = 0; run < scaled(12, 400); run++) {
      await clearTables(rows);
      const random = new Random(run + new Random().seed);
      const locks = new TestLocks();
      let disk = new MemoryDisk();
      const records: LedgerRecord[] = [];
      const bounds = {
        records: 1 + random.int(60),
        subjects: 1 + random.int(9),
        windows: 1 + random.int(30),
      };
      for (let process = 0; process < 4; process++) {
        const node = await openNode({
          ...{ pool, disk, bounds, lock: locks.of(`${run} ${process}`) },
          ledger: { maxSegmentBytes: 1_000 + random.int(20_000), allocationBytes: 4_096 },
        });
        expect(limitsOf(node, accountOf)).toEqual(windowsOf(records, testNowMs));
        for (let bursts = random.int(6); bursts > 0; bursts--) {
          const burst = recordsOf(random, 1 + random.int(40));
          await Promise.all(burst.map((record) => node.ledger.append(record)));
          records.push(...burst);
          if (random.chance(0.4)) await node.fold.catchUp();
        }
        if (random.chance(0.5)) await node.close();
        locks.kill(`${run} ${process}`);
        disk = disk.afterKill();
      }
      const last = await openNode({ pool, disk, bounds, lock: locks.of('last') });
      await last.fold.catchUp();
      expect(await readTables(rows), `seed ${random.seed}`).toEqual(modelOf(records, world, testNowMs));
      expect(last.fold.lag).toEqual({ records: 0, bytes: 0, seconds: 0 });
      expect(last.findings.list()).toEqual([]);
      await last.close();
    }
  }, 600_000);
});

describe('the pause after a fold', () => {
  test('is twenty times as long as it took, within a second and ten', () => {
    expect([0, 10, 50, 100, 400, 5_000].map(pauseAfter)).toEqual([1_000, 1_000, 1_000, 2_000, 8_000, 10_000]);
  });
});
