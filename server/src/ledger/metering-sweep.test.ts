import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../test/harness/database.ts';
import { Rows } from '../../test/harness/rows.ts';
import { scaled } from '../../test/harness/scale.ts';
import { idPrefixes, newId } from '../ids/ids.ts';
import { type MeteredKey, MeteredWorld } from './fixtures/metered-world.ts';
import { clearTables } from './fixtures/metering-model.ts';
import { openTestPool, testNowMs } from './fixtures/metering-node.ts';
import { type SweepOptions, sweepMetering } from './metering-sweep.ts';

const dayMs = 86_400_000;
const hourMs = 3_600_000;

let database: TestDatabase;
let rows: Rows;
let pool: pg.Pool;
let world: MeteredWorld;
let keys: MeteredKey[];
beforeAll(async () => {
  database = await createTestDatabase();
  rows = await Rows.open(database);
  pool = openTestPool(database.appUrl);
  world = await MeteredWorld.make(rows, { accounts: 3, keysOfEach: 2 });
  keys = world.keys;
});
afterAll(async () => {
  await pool.end();
  await rows.close();
  await database.drop();
});
beforeEach(() => clearTables(rows));

function sweep(options: Partial<SweepOptions> = {}): Promise<void> {
  const signal = new AbortController().signal;
  return sweepMetering({ connection: pool, nowMs: () => testNowMs, eventDays: 30, ...options }, signal);
}

async function addBucket(grain: 'hour' | 'day', startMs: number, key = keys[0]!): Promise<void> {
  await rows.query(
    `insert into usage_buckets (account_id, level, subject_id, grain, start_at, environment, code, count)
       select $1, level, $2, $3, $4, 'live', 'VALID', 1
       from unnest(array['account', 'issuer', 'organization', 'key']) as level`,
    [key.accountId, key.id, grain, new Date(startMs)],
  );
}

async function addWindow(
  period: string,
  startMs: number,
  { accountId, lineageId }: Pick<MeteredKey, 'accountId' | 'lineageId'> = keys[0]!,
): Promise<void> {
  await rows.query(
    `insert into limit_windows (account_id, kind, subject_id, environment, name, period, window_start, used)
       values ($1, 'key', $2, 'live', $3, $4, $5, 1)`,
    [accountId, lineageId, `${period} ${startMs}`, period, Math.floor(startMs / 1000)],
  );
}

test('hours of usage are kept for 90 days, days for good', async () => {
  const limitMs = testNowMs - 90 * dayMs;
  for (const key of keys) {
    await addBucket('hour', limitMs - 1_000, key);
    await addBucket('hour', limitMs, key);
    await addBucket('day', limitMs - 1_000 * dayMs, key);
  }
  await sweep();
  const left = await rows.query(
    `select grain, min(start_at) as oldest, count(*)::int from usage_buckets group by 1 order by 1`,
  );
  expect(left).toEqual([
    { grain: 'day', oldest: new Date(limitMs - 1_000 * dayMs), count: 4 * keys.length },
    { grain: 'hour', oldest: new Date(limitMs), count: 4 * keys.length },
  ]);
});

test('metered events are kept for as many days as are set', async () => {
  const add = (ageMs: number) =>
    rows.query(
      `insert into metered_events (id, account_id, type, created_at, last_at, environment, key_id, code, minute, count)
         values ($1, $2, 'api-key.verified', $3, $3, 'live', $4, 'VALID', $3, 1)`,
      [newId(idPrefixes.event), keys[0]!.accountId, new Date(testNowMs - ageMs), keys[0]!.id],
    );
  for (const days of [1, 2, 29, 30, 31, 400]) await add(days * dayMs);
  const ages = async () => {
    const found = await rows.query<{ minute: Date }>('select minute from metered_events order by 1 desc');
    return found.map(({ minute }) => (testNowMs - minute.getTime()) / dayMs);
  };
  await sweep();
  expect(await ages()).toEqual([1, 2, 29, 30]);
  await sweep({ eventDays: 2 });
  expect(await ages()).toEqual([1, 2]);
});

test('windows of limits go a day after their end, credits with the last key of their line', async () => {
  const minuteMs = 60_000;
  await addWindow('minute', testNowMs - dayMs - 2 * minuteMs);
  await addWindow('minute', testNowMs - dayMs);
  await addWindow('hour', testNowMs - dayMs - 2 * hourMs);
  await addWindow('hour', testNowMs - hourMs);
  await addWindow('month', testNowMs - 20 * dayMs);
  await addWindow('month', testNowMs - 40 * dayMs);
  await addWindow('quota', 1_000_000);
  await addWindow('quota-month', testNowMs - 400 * dayMs);
  const line = keys.find(({ id, lineageId }) => id !== lineageId)!;
  await addWindow('quota', 2_000_000, line);
  const gone = { accountId: line.accountId, lineageId: newId(idPrefixes.apiKey) };
  await addWindow('quota', 3_000_000, gone);
  await addWindow('quota-day', 3_000_000, gone);
  await sweep();
  const left = await rows.query<{ name: string }>('select name from limit_windows');
  expect(left.map(({ name }) => name).sort()).toEqual(
    [
      `hour ${testNowMs - hourMs}`,
      `minute ${testNowMs - dayMs}`,
      `month ${testNowMs - 20 * dayMs}`,
      'quota 1000000',
      'quota 2000000',
      `quota-month ${testNowMs - 400 * dayMs}`,
    ].sort(),
  );
});

test('however much there is goes, a few rows at a time', async () => {
  const count = scaled(2_500, 100_000);
  await rows.query(
    `insert into usage_buckets (account_id, level, subject_id, grain, start_at, environment, code)
       select $1, 'key', n, 'hour', to_timestamp(0), 'live', 'VALID' from generate_series(1, $2) n`,
    [keys[0]!.accountId, count],
  );
  await rows.query(
    `insert into metered_events (id, account_id, type, created_at, last_at, environment, key_id, code, minute, count)
       select 'evt_' || n, $1, 'api-key.verified', now(), now(), 'live', 'key_' || n, 'VALID', to_timestamp(0), 1
       from generate_series(1, $2) n`,
    [keys[0]!.accountId, count],
  );
  await rows.query(
    `insert into limit_windows (account_id, kind, subject_id, environment, name, period, window_start, used)
       select $1, 'key', n, 'live', 'x', 'hour', 0, 1 from generate_series(1, $2) n`,
    [keys[0]!.accountId, count],
  );
  await rows.query('create table batches (name text, size integer)');
  await rows.query(`
    create function note_batch() returns trigger language plpgsql security definer as $$
    begin
      insert into gatelodge.batches select tg_table_name, count(*) from gone;
      return null;
    end $$`);
  for (const table of ['usage_buckets', 'metered_events', 'limit_windows'])
    await rows.query(`create trigger note_batch after delete on ${table} referencing old table as gone
      for each statement execute function note_batch()`);
  await sweep({ atOnce: 100 });
  const batches = await rows.query<{ name: string; most: number; all: number }>(
    'select name, max(size)::int as most, sum(size)::int as all from batches group by 1 order by 1',
  );
  expect(batches.map(({ all }) => all)).toEqual([count, count, count]);
  // Windows go by stretches of the table instead.
  expect(batches.filter(({ name }) => name !== 'limit_windows').every(({ most }) => most <= 100)).toBe(true);
});

test('it stops where it is told to', async () => {
  await addBucket('hour', 0);
  const stop = new AbortController();
  stop.abort();
  await sweepMetering({ connection: pool, nowMs: () => testNowMs, eventDays: 30 }, stop.signal);
  expect((await rows.query('select from usage_buckets')).length).toBe(4);
});
