import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../test/harness/database.ts';
import { waitFor } from '../../test/harness/process.ts';
import { Random } from '../../test/harness/random.ts';
import { Rows } from '../../test/harness/rows.ts';
import { scaled } from '../../test/harness/scale.ts';
import { dataDirectoryId } from './fixtures/ledger-records.ts';
import { MemoryDisk } from './fixtures/memory-disk.ts';
import { type MeteredKey, MeteredWorld } from './fixtures/metered-world.ts';
import { clearTables } from './fixtures/metering-model.ts';
import {
  openNode,
  openTestPool,
  TestLocks,
  type TestNode,
  type TestNodeOptions,
  TestReplays,
  testNowMs,
} from './fixtures/metering-node.ts';
import { minuteRecord, readMinutes } from './fixtures/minute-records.ts';
import { LedgerUnavailableError } from './ledger-unavailable.ts';
import type { LedgerRecord } from './record.ts';

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

function open(disk: MemoryDisk, process: string, options: Partial<TestNodeOptions> = {}): Promise<TestNode> {
  return openNode({ pool, disk, lock: locks.of(process), ...options });
}

async function append(node: TestNode, from: number, count: number): Promise<void> {
  const numbers = Array.from({ length: count }, (_, index) => from + index);
  await Promise.all(numbers.map((number) => node.ledger.append(minuteRecord(key, number))));
}

function usedBy(node: TestNode): number {
  return [...node.limiter.amounts(0)].reduce((sum, { amount }) => sum + amount, 0);
}

function segmentFiles(disk: MemoryDisk): string[] {
  return [...disk.contents().keys()].filter((path) => path.endsWith('.segment'));
}

describe('a start', () => {
  // Attack on the limits: whoever makes the server end in the middle of a fold has part of what was used forgotten, or
  // locks others out by having it counted twice.
  test('finds limits used as they were, also while a fold of the dead process comes through in that moment', async () => {
    const disk = new MemoryDisk();
    const node = await open(disk, 'first');
    await append(node, 0, 10);
    await node.fold.catchUp();
    await append(node, 10, 7);
    const other = await Rows.open(database);
    await other.query('begin');
    await other.query('select from limit_windows for update');
    const folding = node.fold.catchUp();
    const isWaiting = async () => {
      const found = await rows.query(
        `select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`,
      );
      return found.length > 0 || null;
    };
    await waitFor(isWaiting);
    locks.kill('first');
    const next = await open(disk.afterKill(), 'second');
    expect(usedBy(next)).toBe(17);
    await other.query('commit');
    await other.close();
    await folding;
    await append(next, 17, 3);
    await next.fold.catchUp();
    const { numbers, countedTwice, usage, used } = await readMinutes(rows);
    expect([numbers.size, countedTwice, usage, used]).toEqual([20, [], 20, 20]);
    await next.close();
    const last = await open(disk.afterKill(), 'third');
    expect(usedBy(last)).toBeGreaterThanOrEqual(17);
    await last.close();
  });

  test('takes what can’t be true of a limit for nothing, and says so', async () => {
    await rows.query(
      `insert into limit_windows (account_id, kind, subject_id, environment, name, period, window_start, used)
         values ($1, 'account', $1, 'live', 'odd', 'hour', $2, 5), ($1, 'account', $1, 'live', 'right', 'hour', $3, 5)`,
      [key.accountId, Math.floor(testNowMs / 1000), Math.floor(testNowMs / 3_600_000) * 3600],
    );
    const node = await open(new MemoryDisk(), 'first');
    expect([...node.limiter.amounts(0)].map(({ name }) => name)).toEqual(['right']);
    expect(node.findings.list().map(({ kind }) => kind)).toEqual(['wrong_window']);
    await node.close();
  });

  test('goes on while the disk takes nothing, refuses, and records again once it does', async () => {
    const disk = new MemoryDisk();
    let isFull = true;
    disk.onCall = () => (isFull ? { error: 'ENOSPC' } : undefined);
    const retry = Promise.withResolvers<void>();
    const node = await open(disk, 'first', { ledger: { delay: () => retry.promise } });
    expect(node.ledger.state).toMatchObject({ kind: 'refusing', reason: 'ENOSPC' });
    await expect(append(node, 0, 1)).rejects.toThrow(LedgerUnavailableError);
    expect(node.ledger.counts).toEqual({ appended: 0, refused: 1 });
    isFull = false;
    retry.resolve();
    await waitFor(() => node.ledger.state.kind === 'writable' || null);
    await append(node, 1, 2);
    await node.fold.catchUp();
    expect([...(await readMinutes(rows)).numbers]).toEqual([1, 2]);
    expect(node.ledger.counts).toEqual({ appended: 2, refused: 1 });
    const told = node.logLines.map((line) => JSON.parse(line) as { level: string; reason?: string });
    expect(told.filter(({ level, reason }) => level === 'error' && reason === 'ENOSPC').length).toBe(1);
    await node.close();
  });
});

describe('requests that may come again', () => {
  const fingerprintOf = (number: number) => Buffer.alloc(16, number);
  const asked = (number: number, ageMs: number, changes: Partial<LedgerRecord> = {}): LedgerRecord => ({
    ...minuteRecord(key, 0),
    timeMs: testNowMs - ageMs,
    fingerprint: fingerprintOf(number),
    ...changes,
  });
  const remembered = ({ replays }: TestNode) =>
    replays.remembered.map(({ fingerprint }) => Number.parseInt(fingerprint.slice(0, 2), 16));

  test('are remembered for ten minutes, folded or not, the newest first, as many as there is room for', async () => {
    let nowMs = testNowMs - 2_000_000;
    const disk = new MemoryDisk();
    const at = (process: string, options: Partial<TestNodeOptions> = {}) =>
      open(disk, process, { nowMs: () => nowMs, ledger: { maxSegmentBytes: 300 }, ...options });
    const first = await at('first');
    for (const [number, ageMs] of [
      [1, 1_900_000],
      [2, 700_000],
      [3, 600_001],
      [4, 600_000],
      [5, 400_000],
    ] as const) {
      nowMs = testNowMs - ageMs;
      await first.ledger.append(asked(number, ageMs));
    }
    await first.close();
    const second = await at('second');
    nowMs = testNowMs - 1_000;
    await second.ledger.append(asked(6, 300_000, { outcome: 'RATE_LIMITED', charges: [] }));
    await second.ledger.append({ ...asked(7, 200_000), fingerprint: null });
    await second.ledger.append(asked(8, 1_000));
    locks.kill('second');
    nowMs = testNowMs;
    const third = await at('third');
    expect(remembered(third)).toEqual([8, 6, 5, 4]);
    expect(third.replays.remembered[1]).toMatchObject({
      timeMs: testNowMs - 300_000,
      outcome: 'RATE_LIMITED',
    });
    locks.kill('third');
    const replays = new TestReplays();
    replays.max = 2;
    expect(remembered(await at('fourth', { replays }))).toEqual([8, 6]);
  });
});

describe('directories', () => {
  test('of two nodes in one data directory are left alone by each other, and taken over by whoever comes next', async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'gatelodge-metering-'));
    const nodes = [await openNode({ pool, dataDir }), await openNode({ pool, dataDir })];
    for (const [index, node] of nodes.entries()) await append(node, 10 * index, 5);
    const third = await openNode({ pool, dataDir });
    expect(usedBy(third)).toBe(0);
    await third.fold.catchUp();
    expect((await readMinutes(rows)).numbers.size).toBe(0);
    // One ends without having folded: without a database, say.
    await nodes[0]!.ledger.close();
    await nodes[0]!.directories.close();
    const fourth = await openNode({ pool, dataDir });
    expect(usedBy(fourth)).toBe(5);
    await fourth.fold.catchUp();
    expect([...(await readMinutes(rows)).numbers].sort()).toEqual([0, 1, 2, 3, 4]);
    for (const node of [nodes[1]!, third, fourth]) await node.close();
    const { countedTwice, usage } = await readMinutes(rows);
    expect([countedTwice, usage]).toEqual([[], 10]);
    await rm(dataDir, { recursive: true });
  });

  test('of a process that ended beside a running one are taken over by that one in time', async () => {
    const disk = new MemoryDisk();
    const living = await open(disk, 'living');
    const dying = await open(disk, 'dying');
    await append(dying, 0, 5);
    locks.kill('dying');
    await living.keeper.work();
    await living.fold.catchUp();
    expect((await readMinutes(rows)).numbers.size).toBe(5);
    await living.close();
  });

  test('of processes that recorded nothing are gone when they end, or with the next start', async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'gatelodge-metering-'));
    const directories = () => readdir(join(dataDir, 'ledger'));
    const idle = await openNode({ pool, dataDir });
    expect((await directories()).length).toBe(1);
    await idle.close();
    expect(await directories()).toEqual([]);
    // As one leaves it that did not come to its end.
    const killed = await openNode({ pool, dataDir });
    await killed.ledger.close();
    await killed.directories.close();
    const next = await openNode({ pool, dataDir });
    await next.fold.catchUp();
    await next.keeper.work();
    expect((await directories()).length).toBe(1);
    await next.close();
    await rm(dataDir, { recursive: true });
  });

  test('are kept for as long as a backup may be old, and then go, the files first and the oldest first', async () => {
    let nowMs = testNowMs;
    const disk = new MemoryDisk();
    const at = (process: string) =>
      open(disk, process, { nowMs: () => nowMs, keepHours: 2, ledger: { maxSegmentBytes: 200 } });
    const first = await at('first');
    for (let number = 0; number < 6; number++) await append(first, number, 1);
    await first.fold.catchUp();
    const own = segmentFiles(disk).length;
    expect(own).toBeGreaterThan(2);
    nowMs += 7_199_999;
    await first.keeper.work();
    expect(segmentFiles(disk).length).toBe(own);
    nowMs += 1;
    // Its last segment is still written to.
    await first.keeper.work();
    expect(segmentFiles(disk).length).toBe(1);
    await append(first, 6, 3);
    await first.close();
    const second = await at('second');
    await second.fold.catchUp();
    await second.keeper.work();
    expect(segmentFiles(disk).length).toBeGreaterThan(1);
    nowMs += 7_200_000;
    await second.keeper.work();
    expect(segmentFiles(disk).length).toBe(1);
    expect(disk.calls.filter(({ name }) => name === 'removeDirectory').length).toBe(1);
    await second.close();
    const { numbers, countedTwice } = await readMinutes(rows);
    expect([numbers.size, countedTwice]).toEqual([9, []]);
  });
});

describe('kill -9', () => {
  const program = fileURLToPath(new URL('fixtures/meter-until-killed.ts', import.meta.url));
  const callers = 16;

  async function meterAndKill(dataDir: string, from: number, enough: number): Promise<number[]> {
    const args = [program, database.appUrl, dataDir, dataDirectoryId, key.id, key.accountId, String(from)];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const closed = once(child, 'close');
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      if (text.split('\n').length > enough) child.kill('SIGKILL');
    });
    await closed;
    return text.slice(0, text.lastIndexOf('\n')).split('\n').map(Number);
  }

  test('at random points under load loses no acknowledged decision and counts none twice', async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'gatelodge-metering-kill-'));
    const random = new Random();
    const kills = scaled(3, 50);
    const acknowledged: number[] = [];
    for (let kill = 0; kill < kills; kill++)
      acknowledged.push(...(await meterAndKill(dataDir, kill * 10_000, 1 + random.int(1_500))));
    const node = await openNode({ pool, dataDir });
    await node.fold.catchUp();
    const { numbers, countedTwice, usage, used } = await readMinutes(rows);
    expect(acknowledged.filter((number) => !numbers.has(number))).toEqual([]);
    expect(countedTwice).toEqual([]);
    expect(numbers.size - acknowledged.length).toBeLessThanOrEqual(kills * callers);
    expect([usage, used, usedBy(node)]).toEqual([numbers.size, numbers.size, numbers.size]);
    expect(node.findings.list()).toEqual([]);
    await node.close();
    await rm(dataDir, { recursive: true });
  }, 600_000);
});
