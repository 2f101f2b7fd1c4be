import { crc32 } from 'node:zlib';
import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../test/harness/database.ts';
import { Rows } from '../../test/harness/rows.ts';
import { MemoryDisk } from './fixtures/memory-disk.ts';
import { type MeteredKey, MeteredWorld } from './fixtures/metered-world.ts';
import { clearTables } from './fixtures/metering-model.ts';
import {
  openNode,
  openTestPool,
  TestLocks,
  type TestNode,
  type TestNodeOptions,
  testNowMs,
} from './fixtures/metering-node.ts';
import { frameBytes } from './record.ts';
import { decodeHeader } from './segment-header.ts';

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

/** Decisions, each a batch of its own, with the costs 1, 2, 4 …: the sum tells which of them are counted. */
async function append(node: TestNode, count: number, from = 0): Promise<void> {
  for (let number = from; number < from + count; number++)
    await node.ledger.append({
      timeMs: testNowMs + number,
      keyId: key.id,
      lineageId: key.id,
      accountId: key.accountId,
      issuerId: null,
      organizationId: null,
      environment: 'live',
      outcome: 'VALID',
      cost: 2 ** number,
      entrance: 'verify',
      fingerprint: null,
      charges: [],
    });
}

async function counted(): Promise<number> {
  const [row] = await rows.query<{ cost: number }>(
    `select coalesce(sum(cost), 0)::int as cost from usage_buckets where level = 'account' and grain = 'day'`,
  );
  return row!.cost;
}

async function lostBytes(): Promise<number> {
  const [row] = await rows.query<{ lost: number }>(
    'select sum(lost_bytes)::int as lost from ledger_segments',
  );
  return row!.lost;
}

function open(disk: MemoryDisk, process: string, options: Partial<TestNodeOptions> = {}): Promise<TestNode> {
  return openNode({ pool, disk, lock: locks.of(process), ...options });
}

/** A disk that a process has left after six decisions, none of them folded, and where each of them begins. */
async function leftBehind(): Promise<{ disk: MemoryDisk; path: string; begins: number[] }> {
  const disk = new MemoryDisk();
  const node = await open(disk, 'first');
  const begins: number[] = [];
  const [segmentId] = node.ledger.ownSegmentIds();
  for (let number = 0; number < 6; number++) {
    begins.push(node.ledger.durableEndOf(segmentId!)!);
    await append(node, 1, number);
  }
  locks.kill('first');
  const path = [...disk.contents().keys()].find((name) => name.includes(segmentId!))!;
  return { disk: disk.afterKill(), path, begins };
}

/** The disk with one of its files changed. */
function changed(disk: MemoryDisk, path: string, change: (content: Buffer) => Buffer): MemoryDisk {
  const contents = disk.contents();
  contents.set(path, change(Buffer.from(contents.get(path)!)));
  const other = new MemoryDisk();
  other.restore(contents);
  return other;
}

function loud(node: TestNode, kind: string): unknown[] {
  return node.logLines
    .map((line) => JSON.parse(line) as { level: string; reason?: string })
    .filter(({ level, reason }) => level === 'error' && reason === kind);
}

/** Folds all that can be, more than once, and says what is counted. */
async function foldAgainAndAgain(node: TestNode): Promise<number> {
  for (let again = 0; again < 3; again++) await node.fold.catchUp();
  return counted();
}

describe('a damaged segment', () => {
  test('loses what is damaged, which is told once and kept on record, and nothing that is whole', async () => {
    const { disk, path, begins } = await leftBehind();
    const damaged = changed(disk, path, (content) =>
      content.fill(0xff, begins[2]! + frameBytes, begins[3]! + 4),
    );
    const node = await open(damaged, 'second');
    expect(await foldAgainAndAgain(node)).toBe(0b11_0011);
    expect(node.findings.list().map(({ kind }) => kind)).toEqual(['corrupt']);
    expect(loud(node, 'corrupt').length).toBe(1);
    expect(await lostBytes()).toBe(begins[4]! - begins[2]!);
    // Folded to its end, and kept for whoever looks into it.
    await node.keeper.work();
    expect(damaged.contents().has(path)).toBe(true);
    await node.close();
    const next = await open(damaged, 'third');
    expect(await foldAgainAndAgain(next)).toBe(0b11_0011);
    await next.close();
  });

  test('whose end is gone loses that, and is told of when more was counted than there is', async () => {
    const { disk, path, begins } = await leftBehind();
    const first = await open(disk, 'second');
    expect(await foldAgainAndAgain(first)).toBe(0b11_1111);
    await first.close();
    const cutOff = changed(disk, path, (content) => content.subarray(0, begins[4]));
    const node = await open(cutOff, 'third');
    expect(await foldAgainAndAgain(node)).toBe(0b11_1111);
    expect(node.findings.list().map(({ kind }) => kind)).toEqual(['past_end']);
    expect(loud(node, 'past_end').length).toBe(1);
    await node.close();
  });

  test('that a note cuts further on than it reaches counts as far as it is whole', async () => {
    const disk = new MemoryDisk();
    const node = await open(disk, 'first');
    await append(node, 3);
    const [segmentId] = node.ledger.ownSegmentIds();
    const path = [...disk.contents().keys()].find((name) => name.includes(segmentId!))!;
    const end = node.ledger.durableEndOf(segmentId!)!;
    // The write fails, and the next segment notes where this one ends.
    disk.onCall = ({ name, path: at }) => (name === 'write' && at === path ? { error: 'EIO' } : undefined);
    await append(node, 1, 3).catch(() => {});
    await append(node, 1, 4);
    locks.kill('first');
    const shortened = changed(disk.afterKill(), path, (content) => content.subarray(0, end - 1));
    const next = await open(shortened, 'second');
    expect(await foldAgainAndAgain(next)).toBe(0b1_0011);
    expect(next.findings.list().map(({ kind }) => kind)).toEqual(['truncated']);
    await next.close();
  });

  test('with a beginning that can’t be read is told', async () => {
    const { disk, path } = await leftBehind();
    const node = await open(
      changed(disk, path, (content) => content.fill(0, 0, 20)),
      'second',
    );
    expect(await foldAgainAndAgain(node)).toBe(0);
    expect(node.findings.list().map(({ kind }) => kind)).toEqual(['no_segment']);
    await node.keeper.work();
    await node.close();
  });

  test('of a newer version waits for that version', async () => {
    const { disk, path, begins } = await leftBehind();
    // Whole, of a kind that this version does not know.
    const node = await open(
      changed(disk, path, (content) => asUnknown(content, begins[3]!)),
      'second',
    );
    expect(await foldAgainAndAgain(node)).toBe(0b111);
    expect(node.findings.list().map(({ kind }) => kind)).toEqual(['unknown_version']);
    await node.keeper.work();
    await node.close();
    const newer = await open(disk, 'third');
    expect(await foldAgainAndAgain(newer)).toBe(0b11_1111);
    await newer.close();
  });
});

/** Makes the record at `at` one of a kind 99, with the checksum that goes with it. */
function asUnknown(content: Buffer, at: number): Buffer {
  const header = decodeHeader(content, content.length);
  if (header.kind !== 'header') throw new Error(header.kind);
  content[at + frameBytes] = 99;
  const length = content.readUInt16LE(at + 4);
  content.writeUInt32LE(crc32(content.subarray(at + 4, at + frameBytes + length), header.seed), at);
  return content;
}

describe('another installation', () => {
  test('finds its segments not counted here, and they are left alone', async () => {
    const { disk, path } = await leftBehind();
    const node = await open(disk, 'second', { installationId: 'f'.repeat(32) });
    expect(await foldAgainAndAgain(node)).toBe(0);
    expect(node.findings.list().map(({ kind }) => kind)).toEqual(['foreign']);
    await node.keeper.work();
    await node.close();
    expect(disk.contents().has(path)).toBe(true);
  });
});

describe('a directory that is lost', () => {
  test('is told of as long as more should come of it', async () => {
    const disk = new MemoryDisk();
    const node = await open(disk, 'first');
    await append(node, 3);
    await node.fold.catchUp();
    await append(node, 3, 3);
    locks.kill('first');
    for (const process of ['second', 'third']) {
      const next = await open(new MemoryDisk(), process);
      expect(await foldAgainAndAgain(next)).toBe(0b111);
      expect(next.findings.list().map(({ kind }) => kind)).toEqual(['lost_segment']);
      expect(loud(next, 'lost_segment').length).toBe(1);
      await next.close();
    }
  });

  test('while it is written is told of, and what comes after counts', async () => {
    const disk = new MemoryDisk();
    const node = await open(disk, 'first', { ledger: { maxSegmentBytes: 300 } });
    await append(node, 2);
    for (const path of disk.contents().keys()) await disk.remove(path);
    await append(node, 4, 2);
    expect(await foldAgainAndAgain(node)).toBeLessThan(0b11_1111);
    expect(node.findings.list().map(({ kind }) => kind)).toContain('lost_file');
    await node.close();
  });

  test('is no finding when all of it was folded', async () => {
    const node = await open(new MemoryDisk(), 'first');
    await append(node, 3);
    await node.close();
    const next = await open(new MemoryDisk(), 'second');
    expect(next.findings.list()).toEqual([]);
    await next.close();
  });
});

describe('a directory that is copied', () => {
  test('is counted once, whoever comes first, and however far each copy goes', async () => {
    const disk = new MemoryDisk();
    const node = await open(disk, 'original');
    await append(node, 2);
    const early = disk.afterKill();
    await append(node, 2, 2);
    const late = disk.afterKill();
    // On other machines no lock is seen.
    const elsewhere = () => ({ lock: new TestLocks().of('copy') });
    const copies = [await open(early, '', elsewhere()), await open(late, '', elsewhere())];
    await Promise.all([...copies, node].map(({ fold }) => fold.catchUp()));
    expect(await counted()).toBe(0b1111);
    await rows.query('update ledger_segments set is_finished = true');
    // A copy has seen the end of what it has; the original has not ended.
    await append(node, 2, 4);
    expect(await foldAgainAndAgain(node)).toBe(0b11_1111);
    for (const copy of copies) expect(await foldAgainAndAgain(copy)).toBe(0b11_1111);
    for (const each of [...copies, node]) await each.close();
    expect(await counted()).toBe(0b11_1111);
    // One that turns up when everything is long done.
    const last = await open(early, '', elsewhere());
    expect(await foldAgainAndAgain(last)).toBe(0b11_1111);
    await last.close();
  });
});

test('a copy that comes to its end does not keep the original from being folded that is left behind later', async () => {
  const disk = new MemoryDisk();
  const node = await open(disk, 'original');
  await append(node, 2);
  const copy = await open(disk.afterKill(), '', { lock: new TestLocks().of('copy') });
  expect(await foldAgainAndAgain(copy)).toBe(0b11);
  await copy.close();
  await append(node, 3, 2);
  locks.kill('original');
  const next = await open(disk.afterKill(), 'second');
  expect(await foldAgainAndAgain(next)).toBe(0b1_1111);
  await next.close();
});

describe('a database that is restored', () => {
  async function backup(): Promise<void> {
    await rows.query('create table backup_usage as select * from usage_buckets');
    await rows.query('create table backup_segments as select * from ledger_segments');
  }
  async function restore(): Promise<void> {
    await clearTables(rows);
    await rows.query('insert into usage_buckets select * from backup_usage');
    await rows.query('insert into ledger_segments select * from backup_segments');
    await rows.query('drop table backup_usage, backup_segments');
  }

  test('gets back what was metered since, from files that were folded to their end', async () => {
    const disk = new MemoryDisk();
    const node = await open(disk, 'first', { ledger: { maxSegmentBytes: 300 } });
    await append(node, 3);
    await node.fold.catchUp();
    await backup();
    await append(node, 6, 3);
    await node.close();
    expect(await counted()).toBe(0b1_1111_1111);
    await restore();
    expect(await counted()).toBe(0b111);
    const next = await open(disk, 'second');
    expect(await foldAgainAndAgain(next)).toBe(0b1_1111_1111);
    await next.close();
  });

  test('is found out by a node that goes on running', async () => {
    const disk = new MemoryDisk();
    const node = await open(disk, 'first', { ledger: { maxSegmentBytes: 300 } });
    await append(node, 3);
    await node.fold.catchUp();
    await backup();
    await append(node, 6, 3);
    await node.fold.catchUp();
    await restore();
    await node.keeper.work();
    await append(node, 1, 9);
    expect(await foldAgainAndAgain(node)).toBe(0b11_1111_1111);
    await node.close();
  });

  test('to before anything was metered gets back all that files are left of', async () => {
    const disk = new MemoryDisk();
    const node = await open(disk, 'first');
    await append(node, 5);
    await node.close();
    await clearTables(rows);
    const next = await open(disk, 'second');
    expect(await foldAgainAndAgain(next)).toBe(0b1_1111);
    await next.close();
  });
});
