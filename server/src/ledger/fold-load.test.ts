import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../test/harness/database.ts';
import { Rows } from '../../test/harness/rows.ts';
import { isSoak, scaled } from '../../test/harness/scale.ts';
import { windowAt } from '../limits/window.ts';
import { type MeteredKey, MeteredWorld } from './fixtures/metered-world.ts';
import { openNode, openTestPool } from './fixtures/metering-node.ts';
import type { LedgerRecord } from './record.ts';

const keyCount = scaled(500, 10_000);
const perSecond = scaled(1_000, 10_000);
const seconds = scaled(3, 120);

let database: TestDatabase;
let rows: Rows;
let pool: pg.Pool;
let world: MeteredWorld;
beforeAll(async () => {
  database = await createTestDatabase();
  rows = await Rows.open(database);
  pool = openTestPool(database.appUrl);
  // Six keys of an account for each of `keysOfEach`: two of each of its three places.
  world = await MeteredWorld.make(rows, { accounts: 10, keysOfEach: Math.ceil(keyCount / 30) });
}, 120_000);
afterAll(async () => {
  await pool.end();
  await rows.close();
  await database.drop();
});

function decision(key: MeteredKey): LedgerRecord {
  const timeMs = Date.now();
  const charge = (kind: 'key' | 'account', period: 'minute' | 'day') => ({
    level: { kind },
    name: period,
    period,
    windowStart: windowAt(period, timeMs).start,
    cost: 1,
  });
  return {
    timeMs,
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
    charges: [charge('key', 'minute'), charge('key', 'day'), charge('account', 'day')],
  };
}

test('a fold keeps up with the decisions of many keys, and every one of them is counted', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'gatelodge-fold-load-'));
  const node = await openNode({ pool, dataDir, nowMs: Date.now });
  node.fold.start();
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  let appended = 0;
  let worstLag = 0;
  const pending: Promise<void>[] = [];
  for (let tick = 0; tick < seconds * 100; tick++) {
    const began = performance.now();
    for (let more = perSecond / 100; more > 0; more--)
      pending.push(node.ledger.append(decision(world.keys[appended++ % world.keys.length]!)));
    worstLag = Math.max(worstLag, node.fold.lag.records);
    if (tick % 100 === 99) await Promise.all(pending.splice(0));
    await sleep(Math.max(0, 10 - (performance.now() - began)));
  }
  await Promise.all(pending);
  delay.disable();
  const catchingUp = performance.now();
  await node.fold.catchUp();
  const caughtUpMs = performance.now() - catchingUp;
  const [counted] = await rows.query<{ keys: number; accounts: number; used: number; events: number }>(
    `select (select sum(count)::int from usage_buckets where level = 'key' and grain = 'day') as keys,
       (select sum(count)::int from usage_buckets where level = 'account' and grain = 'hour') as accounts,
       (select sum(used)::int from limit_windows where kind = 'account') as used,
       (select sum(count)::int from metered_events) as events`,
  );
  expect(counted).toEqual({ keys: appended, accounts: appended, used: appended, events: appended });
  // By more than a few rounds of ten seconds it would never catch up.
  expect(worstLag).toBeLessThan(perSecond * 60);
  expect(node.fold.lag.records).toBe(0);
  await node.close();
  await rm(dataDir, { recursive: true });
  if (isSoak) {
    console.log(
      `SOAK fold: ${perSecond} decisions a second over ${world.keys.length} keys for ${seconds} s, worst lag ` +
        `${worstLag} decisions, the rest folded in ${Math.round(caughtUpMs)} ms, event loop p99.9 ` +
        `${(delay.percentile(99.9) / 1e6).toFixed(1)} ms, worst ${(delay.max / 1e6).toFixed(1)} ms`,
    );
  }
}, 600_000);
