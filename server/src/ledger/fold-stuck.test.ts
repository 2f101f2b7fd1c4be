import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../test/harness/database.ts';
import { Rows } from '../../test/harness/rows.ts';
import { MemoryDisk } from './fixtures/memory-disk.ts';
import { type MeteredKey, MeteredWorld } from './fixtures/metered-world.ts';
import { clearTables } from './fixtures/metering-model.ts';
import {
  breakingPool,
  openNode,
  openTestPool,
  type QueryFault,
  TestLocks,
  type TestNode,
  testNowMs,
} from './fixtures/metering-node.ts';
import { minuteRecord, readMinutes } from './fixtures/minute-records.ts';
import type { LedgerFile } from './ledger-file-system.ts';

// What goes wrong once must not keep decisions from being counted, files from being deleted or a node from starting for
// good.

let database: TestDatabase;
let rows: Rows;
let pool: pg.Pool;
let key: MeteredKey;
let locks: TestLocks;
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
beforeEach(async () => {
  await clearTables(rows);
  locks = new TestLocks();
});

async function append(node: TestNode, from: number, count: number): Promise<void> {
  const numbers = Array.from({ length: count }, (_, index) => from + index);
  await Promise.all(numbers.map((number) => node.ledger.append(minuteRecord(key, number))));
}

async function counted(): Promise<number> {
  const { numbers, countedTwice } = await readMinutes(rows);
  expect(countedTwice).toEqual([]);
  return numbers.size;
}

function usedBy(node: TestNode): number {
  return [...node.limiter.amounts(0)].reduce((sum, { amount }) => sum + amount, 0);
}

/** A disk that does not give what is in some files, for as long as it is told to. */
class UnreadableDisk extends MemoryDisk {
  unreadable = '';

  override async openToRead(path: string): Promise<LedgerFile> {
    if (this.unreadable !== '' && path.includes(this.unreadable))
      throw Object.assign(new Error('EIO'), { code: 'EIO' });
    return super.openToRead(path);
  }
}

// The fault: a neighbour dies in the minute in which Postgres is away too. Its directory is locked by whoever finds it,
// so if that one forgets it, nobody folds it, and the neighbour begins anew with all its limits unused.
test('what a dead neighbour has left is folded, also when Postgres was away as it was found', async () => {
  const disk = new MemoryDisk();
  let isAway = false;
  const query = (...given: unknown[]) => {
    if (isAway) throw new Error('Connection terminated unexpectedly');
    return Reflect.apply(pool.query, pool, given);
  };
  const sometimes = new Proxy(pool, {
    get(target, member) {
      if (member === 'query') return query;
      const value: unknown = Reflect.get(target, member);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  const living = await openNode({ pool: sometimes, disk, lock: locks.of('living') });
  await append(living, 0, 1);
  await living.fold.catchUp();
  const dying = await openNode({ pool, disk, lock: locks.of('dying') });
  await append(dying, 1, 5);
  locks.kill('dying');
  isAway = true;
  await living.keeper.work().catch(() => {});
  isAway = false;
  await living.keeper.work();
  await living.fold.catchUp();
  expect(await counted()).toBe(6);
  await living.close();
});

// The fault: one bad sector under a file of last week. A start that refuses takes every key down with it.
test('a start does not refuse for a directory that the disk does not give, and takes it over once it does', async () => {
  const disk = new UnreadableDisk();
  const first = await openNode({ pool, disk, lock: locks.of('first') });
  const second = await openNode({ pool, disk, lock: locks.of('second') });
  await append(first, 0, 3);
  await append(second, 3, 4);
  disk.unreadable = first.directories.own;
  locks.kill('first');
  locks.kill('second');
  const node = await openNode({ pool, disk, lock: locks.of('third') });
  expect(usedBy(node)).toBe(4);
  expect(node.findings.list().map(({ kind }) => kind)).toEqual(['unreadable']);
  await node.fold.catchUp();
  expect(await counted()).toBe(4);
  disk.unreadable = '';
  await node.keeper.work();
  await node.fold.catchUp();
  expect(await counted()).toBe(7);
  await node.close();
});

// The fault: something that is no directory is in the place of the ledger's.
test('a start does not refuse where the ledger can’t be, and says so', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'gatelodge-stuck-'));
  await writeFile(join(dataDir, 'ledger'), '');
  const node = await openNode({ pool, dataDir, ledger: { delay: () => new Promise(() => {}) } });
  expect(node.ledger.state).toMatchObject({ kind: 'refusing', reason: expect.any(String) });
  expect(node.findings.list().map(({ kind }) => kind)).toEqual(['unreadable']);
  await node.directories.close();
  await rm(dataDir, { recursive: true });
});

// The fault: a new segment takes no batch and is removed again, after the fold has seen it. Whoever waits for it to be
// folded before what comes later may go never deletes a file again, until the disk is full.
test('files that are old go, also after a segment that never came to hold anything', async () => {
  let nowMs = testNowMs;
  const disk = new MemoryDisk();
  const node = await openNode({
    ...{ pool, disk, lock: locks.of('only'), keepHours: 1, nowMs: () => nowMs },
    ledger: { maxSegmentBytes: 200, delay: async () => {} },
  });
  await node.fold.catchUp();
  let failing = true;
  disk.onCall = ({ name, path }) =>
    failing && name === 'datasync' && path.endsWith('.segment') ? { error: 'EIO' } : undefined;
  await expect(node.ledger.append(minuteRecord(key, 0))).rejects.toThrow();
  failing = false;
  while (node.ledger.state.kind !== 'writable') await new Promise(setImmediate);
  for (let number = 1; number < 6; number++) await append(node, number, 1);
  await node.fold.catchUp();
  expect(await counted()).toBe(5);
  nowMs += 3_600_000;
  await node.keeper.work();
  expect([...disk.contents().keys()].filter((path) => path.endsWith('.segment')).length).toBe(1);
  await node.close();
});

// The fault: after an hour without Postgres there is more to write at once than a slow database does within its
// statement timeout. The same step would be too long each time.
test('a step that the database has no time for is divided until it has', async () => {
  await rows.query(`create function too_much() returns trigger language plpgsql as $$
    begin
      if (select count(*) from added) > 4 then raise sqlstate '57014'; end if;
      return null;
    end $$`);
  await rows.query(`create trigger too_much after insert on metered_events
    referencing new table as added for each statement execute function too_much()`);
  const bounds = { records: 64, subjects: 64, windows: 64 };
  const node = await openNode({ pool, disk: new MemoryDisk(), lock: locks.of('only'), bounds });
  await append(node, 0, 40);
  for (let attempt = 0; attempt < 20 && (await counted()) < 40; attempt++)
    await node.fold.catchUp().catch(() => {});
  expect(await counted()).toBe(40);
  await rows.query('drop trigger too_much on metered_events');
  await node.close();
});

// The attack: somebody holds what a fold needs, or Postgres stops in the middle of one. Whoever reads usage meanwhile must
// get an answer all the same, and nothing may be counted twice for it.
test('who reads waits for a fold that does not end only as long as it wants to', async () => {
  const node = await openNode({ pool, disk: new MemoryDisk(), lock: locks.of('only') });
  await append(node, 0, 3);
  const other = await Rows.open(database);
  await other.query('begin');
  await other.query(`select pg_advisory_xact_lock(hashtextextended('metering', 0))`);
  expect(await node.fold.caughtUp(20)).toBe(false);
  expect(await node.fold.caughtUp(20)).toBe(false);
  await other.query('commit');
  await other.close();
  await node.fold.catchUp();
  expect(await node.fold.caughtUp(20)).toBe(true);
  expect(await counted()).toBe(3);
  await node.close();
});

// The race: Postgres comes back between the fold and the reading that waited for it, which then would lack the newest
// decisions and not say so.
test('who reads while Postgres goes away or comes back is told so, unless another connection does', async () => {
  const errorOf = (code: string) => Object.assign(new pg.DatabaseError('', 0, 'error'), { code });
  let faults: QueryFault[] = [];
  const options = { disk: new MemoryDisk(), lock: locks.of('only') };
  const node = await openNode({ ...options, pool: breakingPool(pool, () => faults.shift()) });
  let appended = 0;
  const caughtUp = async (...next: QueryFault[]) => {
    faults = next;
    await append(node, appended++, 1);
    return node.fold.caughtUp(60_000);
  };
  const [away, starting] = ['before', errorOf('57P03')] as const;
  expect(await caughtUp(away, starting)).toBe(true);
  await expect(caughtUp(away, starting, starting)).rejects.toMatchObject({ code: '57P03' });
  await expect(caughtUp(starting, starting, away)).rejects.toThrow('Connection terminated unexpectedly');
  expect(await caughtUp('after')).toBe(true);
  // What is slow or broken for other reasons must not keep what there is from being read.
  expect(await caughtUp('timeout')).toBe(false);
  expect(await caughtUp(errorOf('23505'))).toBe(false);
  expect(await caughtUp()).toBe(true);
  expect(await counted()).toBe(appended);
  await node.close();
});

// The race: a fold notes the last uses of keys in the order of their ids; whoever deletes some of the keys takes those rows
// away. In another order each would wait for the other.
test('a fold and a deletion of its keys take the rows of last uses in the same order', async () => {
  const ids = (await MeteredWorld.make(rows, { accounts: 1, keysOfEach: 4 })).keys.map(({ id }) => id).sort();
  const account = (
    await rows.query<{ account_id: string }>('select account_id from api_keys where id = $1', [ids[0]])
  )[0]!.account_id;
  // As they lie: the last comes first.
  for (const id of ids.toReversed())
    await rows.query('insert into key_uses (key_id, account_id, last_used_at) values ($1, $2, now())', [
      id,
      account,
    ]);
  const [folding, deleting] = [await Rows.open(database), await Rows.open(database)];
  const use = (id: string) =>
    folding.query('update key_uses set last_used_at = now() where key_id = $1', [id]);
  await folding.query('begin');
  await use(ids[0]!);
  const deleted = deleting.query('delete from api_keys where id = any ($1)', [ids.toReversed()]);
  await expect
    .poll(() => rows.query(`select from pg_locks where not granted and locktype = 'transactionid'`))
    .not.toEqual([]);
  for (const id of ids.slice(1)) await use(id);
  await folding.query('commit');
  await deleted;
  expect(await rows.query('select from key_uses where key_id = any ($1)', [ids])).toEqual([]);
  for (const one of [folding, deleting]) await one.close();
});
