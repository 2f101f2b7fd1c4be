import type pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../test/harness/database.ts';
import { waitFor } from '../../test/harness/process.ts';
import { Random } from '../../test/harness/random.ts';
import { Rows } from '../../test/harness/rows.ts';
import { scaled } from '../../test/harness/scale.ts';
import { idPrefixes, isId, leastIdAt } from '../ids/ids.ts';
import { windowAt } from '../limits/window.ts';
import type { Charge } from './charge.ts';
import { MemoryDisk } from './fixtures/memory-disk.ts';
import { type MeteredKey, MeteredWorld } from './fixtures/metered-world.ts';
import { clearTables, modelOf, readTables, windowsOf } from './fixtures/metering-model.ts';
import {
  breakingPool,
  openNode,
  openTestPool,
  TestLocks,
  type TestNode,
  type TestNodeOptions,
  testNowMs,
} from './fixtures/metering-node.ts';
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

/** Of a limiter, as `windowsOf` tells it. */
function limitsOf(node: TestNode): Record<string, string> {
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

/** Records that all lie in this minute, so that they are one chunk. */
function recordOf(key: MeteredKey, changes: Partial<LedgerRecord> = {}): LedgerRecord {
  return {
    timeMs: testNowMs,
    keyId: key.id,
    lineageId: key.lineageId,
    accountId: key.accountId,
    issuerId: key.issuerId,
    organizationId: key.organizationId,
    environment: key.environment,
    outcome: 'VALID',
    cost: 1,
    entrance: 'verify',
    fingerprint: null,
    charges: [],
    ...changes,
  };
}

async function appendAll(node: TestNode, records: readonly LedgerRecord[]): Promise<void> {
  await Promise.all(records.map((record) => node.ledger.append(record)));
}

const openedNodes: TestNode[] = [];
afterEach(async () => {
  for (const node of openedNodes.splice(0)) await node.close();
});

/** A node on a disk of its own, closed at the end of the test. */
async function openOne(options: Partial<TestNodeOptions> = {}): Promise<TestNode> {
  const node = await openNode({ pool, disk: new MemoryDisk(), ...options });
  openedNodes.push(node);
  return node;
}

describe('folding', () => {
  test('makes of any decisions, in any pieces, over restarts and broken connections, what they come to one by one', async () => {
    let broken = 0;
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
      const breaking = breakingPool(pool, () => {
        const fault = random.chance(0.15) ? random.pick(['before', 'after'] as const) : undefined;
        if (fault !== undefined) broken++;
        return fault;
      });
      for (let process = 0; process < 4; process++) {
        const node = await openNode({
          pool: breaking,
          disk,
          bounds,
          lock: locks.of(`${run} ${process}`),
          ledger: { maxSegmentBytes: 1_000 + random.int(20_000), allocationBytes: 4_096 },
        });
        expect(limitsOf(node)).toEqual(windowsOf(records, testNowMs));
        for (let bursts = random.int(6); bursts > 0; bursts--) {
          const burst = Array.from({ length: 1 + random.int(40) }, () => world.record(random, testNowMs));
          await appendAll(node, burst);
          records.push(...burst);
          if (random.chance(0.4)) await node.fold.catchUp().catch(() => {});
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
    expect(broken).toBeGreaterThan(10);
  }, 600_000);

  test('is all or nothing where Postgres ends the session in the middle of the transaction', async () => {
    const node = await openOne();
    const records = Array.from({ length: 50 }, (_, index) =>
      recordOf(world.keys[index % world.keys.length]!),
    );
    await appendAll(node, records);
    await node.fold.catchUp();
    const before = await readTables(rows);
    await appendAll(node, records);
    // A row that somebody else holds makes the fold wait, its position being moved already.
    const other = await Rows.open(database);
    await other.query('begin');
    await other.query(`select from usage_buckets where level = 'organization' for update`);
    const folding = node.fold.catchUp().then(
      () => 'folded',
      () => 'failed',
    );
    const [waiting] = await waitFor(async () => {
      const found = await rows.query<{ pid: number }>(
        `select pid from pg_stat_activity where wait_event_type = 'Lock' and query like '%fold_ledger%'
          and datname = current_database()`,
      );
      return found.length > 0 ? found : null;
    });
    await rows.query('select pg_terminate_backend($1)', [waiting!.pid]);
    expect(await folding).toBe('failed');
    expect(await readTables(rows)).toEqual(before);
    await other.query('rollback');
    await other.close();
    await node.fold.catchUp();
    expect(await readTables(rows)).toEqual(modelOf([...records, ...records], world, testNowMs));
  });

  test('by two nodes that see the same keys, always at the same time, ends in what both have decided', async () => {
    const random = new Random();
    const nodes = [await openOne(), await openOne()];
    const records: LedgerRecord[] = [];
    for (let round = 0; round < scaled(10, 500); round++) {
      for (const node of nodes) {
        const burst = Array.from({ length: 60 }, () => world.record(random, testNowMs));
        await appendAll(node, burst);
        records.push(...burst);
      }
      await Promise.all(nodes.map((node) => node.fold.catchUp()));
    }
    expect(await readTables(rows)).toEqual(modelOf(records, world, testNowMs));
  });

  test('leaves out accounts that are gone or going', async () => {
    const doomed = await MeteredWorld.make(rows, { accounts: 2, keysOfEach: 1 });
    const node = await openOne();
    const charges = [limit('minute')];
    await appendAll(
      node,
      doomed.keys.map((key) => recordOf(key, { charges })),
    );
    await appendAll(
      node,
      world.keys.map((key) => recordOf(key)),
    );
    const [gone, going] = doomed.accountIds;
    await rows.query('delete from accounts where id = $1', [gone]);
    await rows.query(`update accounts set status = 'deleting' where id = $1`, [going]);
    await node.fold.catchUp();
    const kept = world.keys.map((key) => recordOf(key));
    expect(await readTables(rows)).toEqual(modelOf(kept, world, testNowMs));
    const uses = await rows.query('select from key_uses where account_id = any ($1)', [doomed.accountIds]);
    expect(uses).toEqual([]);
    await rows.query('delete from accounts where id = $1', [going]);
  });

  // Attack: an account that may name any cost has its usage, and the operator's statements, fail for being too much.
  test('of costs beyond what can be told ends at the most that can be', async () => {
    const node = await openOne();
    const [key] = world.keys;
    const record = recordOf(key!, { cost: 2 ** 32 - 1 });
    await appendAll(node, [record]);
    await node.fold.catchUp();
    await rows.query('update usage_buckets set cost = $1', [Number.MAX_SAFE_INTEGER - 1]);
    await appendAll(node, [record, record]);
    await node.fold.catchUp();
    const found = await rows.query<{ cost: string }>(
      'select distinct cost::text, count::int from usage_buckets',
    );
    expect(found).toEqual([{ cost: String(Number.MAX_SAFE_INTEGER), count: 3 }]);
    const charges = [{ ...limit('day'), cost: 2 ** 48 - 1 }];
    for (let more = 0; more < 2; more++) {
      await appendAll(
        node,
        Array.from({ length: 40 }, () => recordOf(key!, { charges })),
      );
      await node.fold.catchUp();
    }
    const used = await rows.query<{ used: string }>('select used::text from limit_windows');
    expect(used).toEqual([{ used: String(Number.MAX_SAFE_INTEGER) }]);
  });

  test('a decision of a key that was deleted counts, with no last use and no organization told', async () => {
    const made = await MeteredWorld.make(rows, { accounts: 1, keysOfEach: 1 });
    const key = made.keys.find(({ organizationId }) => organizationId !== null)!;
    const node = await openOne();
    await appendAll(node, [recordOf(key)]);
    await rows.query('delete from api_keys where id = $1', [key.id]);
    await node.fold.catchUp();
    expect(await readTables(rows)).toEqual(modelOf([recordOf(key)], { keys: [] }, testNowMs));
    expect(await rows.query('select from key_uses')).toEqual([]);
  });
});

function limit(period: 'second' | 'minute' | 'hour' | 'day'): Charge {
  const windowStart = windowAt(period, testNowMs).start;
  return { level: { kind: 'key' }, name: period, period, windowStart, cost: 1 };
}

describe('last uses', () => {
  const key = () => world.keys[0]!;
  const lastUse = async () => {
    const found = await rows.query<{ last_used_at: Date }>(
      'select last_used_at from key_uses where key_id = $1',
      [key().id],
    );
    return found[0]?.last_used_at.getTime();
  };

  test('are of decisions that passed, by whatever way, and are written when half a minute behind', async () => {
    const node = await openOne();
    const use = async (afterMs: number, changes: Partial<LedgerRecord> = {}) => {
      await appendAll(node, [recordOf(key(), { timeMs: testNowMs + afterMs, ...changes })]);
      await node.fold.catchUp();
    };
    await use(0, { outcome: 'RATE_LIMITED' });
    expect(await lastUse()).toBeUndefined();
    await use(1_000, { entrance: 'management' });
    expect(await lastUse()).toBe(testNowMs + 1_000);
    await use(31_000);
    expect(await lastUse()).toBe(testNowMs + 1_000);
    await use(31_001);
    expect(await lastUse()).toBe(testNowMs + 31_001);
    await use(2_000);
    expect(await lastUse()).toBe(testNowMs + 31_001);
  });
});

describe('metered events', () => {
  test('have the id and the time of the first of their minute, and stand among other events by it', async () => {
    const node = await openOne();
    const key = world.keys[0]!;
    const minute = Math.floor(testNowMs / 60_000) * 60_000;
    const times = [minute + 5_000, minute + 59_999, minute + 60_000];
    for (const timeMs of times) {
      await appendAll(node, [recordOf(key, { timeMs })]);
      await node.fold.catchUp();
    }
    const found = await rows.query<{ id: string; created_at: Date; last_at: Date; count: number }>(
      'select id, created_at, last_at, count::int from metered_events order by id',
    );
    expect(
      found.map(({ created_at, last_at, count }) => [created_at.getTime(), last_at.getTime(), count]),
    ).toEqual([
      [times[0], times[1], 2],
      [times[2], times[2], 1],
    ]);
    for (const { id, created_at } of found) {
      expect(isId(idPrefixes.event, id)).toBe(true);
      expect(id > leastIdAt(idPrefixes.event, created_at.getTime())).toBe(true);
      expect(id < leastIdAt(idPrefixes.event, created_at.getTime() + 1)).toBe(true);
    }
  });
});

describe('catching up', () => {
  test('has everything that was acknowledged before the call, and calls at the same time share it', async () => {
    let folds = 0;
    const node = await openOne({
      pool: breakingPool(pool, () => {
        folds++;
        return undefined;
      }),
    });
    const key = world.keys[0]!;
    const counted = async () => {
      const found = await rows.query<{ count: number }>(
        `select count::int from usage_buckets where level = 'key' and grain = 'day'`,
      );
      return found[0]?.count ?? 0;
    };
    for (let round = 1; round <= 10; round++) {
      await appendAll(node, [recordOf(key)]);
      await Promise.all(Array.from({ length: 20 }, () => node.fold.catchUp()));
      expect(await counted()).toBe(round);
    }
    expect(folds).toBe(10);
    // One that comes while another is at work has what came meanwhile, too.
    await appendAll(node, [recordOf(key)]);
    const first = node.fold.catchUp();
    await node.ledger.append(recordOf(key));
    await node.fold.catchUp();
    expect(await counted()).toBe(12);
    await first;
  });

  test('asks the database nothing when there is nothing', async () => {
    const node = await openOne();
    await node.fold.catchUp();
    const { query } = pool;
    try {
      pool.query = (() => {
        throw new Error('it asked');
      }) as never;
      await node.fold.catchUp();
    } finally {
      pool.query = query;
    }
  });

  test('takes less at once after Postgres took too long over it, and comes to its end', async () => {
    const sizes: number[] = [];
    const slow = breakingPool(pool, ({ values }) => {
      const count = String(values![10]).split(',').length;
      sizes.push(count);
      return count > 12 ? 'timeout' : undefined;
    });
    const node = await openOne({ pool: slow, bounds: { records: 1_000, subjects: 200, windows: 1_000 } });
    const records = Array.from({ length: 4 }, () => world.keys.map((key) => recordOf(key))).flat();
    await appendAll(node, records);
    for (let again = 0; again < 40; again++) await node.fold.catchUp().catch(() => {});
    expect(sizes[0]).toBeGreaterThan(12);
    expect(await readTables(rows)).toEqual(modelOf(records, world, testNowMs));
  });

  test('fails while the database does, and the next one makes up for it', async () => {
    let isBroken = true;
    const node = await openOne({ pool: breakingPool(pool, () => (isBroken ? 'before' : undefined)) });
    const records = [recordOf(world.keys[0]!)];
    await appendAll(node, records);
    await expect(node.fold.catchUp()).rejects.toThrow();
    expect(node.fold.lag).toMatchObject({ records: 1 });
    isBroken = false;
    await node.fold.catchUp();
    expect(await readTables(rows)).toEqual(modelOf(records, world, testNowMs));
  });
});

describe('the pause after a fold', () => {
  test('is twenty times as long as it took, within a second and ten', () => {
    expect([0, 10, 50, 100, 400, 5_000].map(pauseAfter)).toEqual([1_000, 1_000, 1_000, 2_000, 8_000, 10_000]);
  });
});
