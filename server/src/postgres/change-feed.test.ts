import { sql } from 'kysely';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../test/harness/database.ts';
import { PostgresProxy } from '../../test/harness/postgres-proxy.ts';
import { idPrefixes, newId } from '../ids/ids.ts';
import { silentLog } from '../supervisor/log.ts';
import { type Change, notifyChange } from './change.ts';
import { type ChangeFeed, startChangeFeed } from './change-feed.ts';
import { Database } from './database.ts';
import { createPool } from './pool.ts';

let database: TestDatabase;
let proxy: PostgresProxy;
let pool: pg.Pool;
let db: Database;
let account: string;
let feed: ChangeFeed;
let heard: (Change | 'flush')[];
let onChange: (change: Change) => void;

beforeAll(async () => {
  database = await createTestDatabase();
  pool = createPool({ connectionString: database.appUrl, max: 4, applicationName: 'test', log: silentLog });
  db = new Database({ pool });
  account = newId(idPrefixes.account);
  await db.withAccount(account, (tx) =>
    tx.insertInto('accounts').values({ id: account, name: 'a' }).execute(),
  );
});
afterAll(async () => {
  await pool.end();
  await database.drop();
});
beforeEach(async () => {
  proxy = await PostgresProxy.start(database.appUrl);
  heard = [];
  onChange = (change) => heard.push(change);
  feed = startChangeFeed({
    connectionString: proxy.url(database.appUrl),
    nodeId: newId(idPrefixes.node),
    onChange: (change) => onChange(change),
    onReconnect: () => heard.push('flush'),
    log: silentLog,
  });
});
afterEach(async () => {
  await feed.close();
  await proxy.close();
});

function isTrusted(): boolean {
  return performance.now() < feed.trustedUntilMs;
}

const becomesTrusted = () => expect.poll(isTrusted, { interval: 5, timeout: 20_000 }).toBe(true);
const losesTrust = () => expect.poll(isTrusted, { interval: 5, timeout: 20_000 }).toBe(false);
const hears = (expected: (Change | 'flush')[]) =>
  expect.poll(() => heard, { timeout: 20_000 }).toEqual(expected);

function announce(payload: string): Promise<unknown> {
  return pool.query(`select pg_notify('gatelodge_change', $1)`, [payload]);
}

describe('announcements', () => {
  it('come in the order of the commits, and never for what was rolled back', async () => {
    await becomesTrusted();
    const expected: (Change | 'flush')[] = ['flush'];
    for (let i = 0; i < 20; i++) {
      const change: Change = { kind: 'organization', id: `org_${i}` };
      const work = db.withAccount(account, async (tx) => {
        await notifyChange(tx, change);
        if (i % 3 === 0) throw new Error('rolled back');
      });
      await work.then(
        () => expected.push(change),
        () => {},
      );
    }
    await hears(expected);
  });

  it('are made by the tables themselves, for changes and deletions but not for creations', async () => {
    await becomesTrusted();
    const id = newId(idPrefixes.account);
    await db.withAccount(id, (tx) => tx.insertInto('accounts').values({ id, name: 'b' }).execute());
    await db.withAccount(id, (tx) => sql`update accounts set name = 'c', version = version + 1`.execute(tx));
    await db.withAccount(id, (tx) => tx.deleteFrom('accounts').execute());
    await hears(['flush', { kind: 'account', id }, { kind: 'account', id }]);
  });

  it.each([
    ['{"kind":"secrets"}', { kind: 'secrets' }],
    ['{"kind":"api-key","id":"key_1","digest":"00ff"}', { kind: 'api-key', id: 'key_1', digest: '00ff' }],
    ['{"kind":"issuer","id":"i_1","later":true}', { kind: 'issuer', id: 'i_1' }],
  ])('%s is understood', async (payload, change) => {
    await becomesTrusted();
    await announce(payload);
    await hears(['flush', change as Change]);
  });

  // A newer build may announce what this one has no name for. Ignoring it would leave something revoked in memory.
  it.each([
    '',
    '{',
    'null',
    '[]',
    '{"kind":"plan","id":"p"}',
    '{"kind":"issuer"}',
    '{"kind":"api-key","id":"k"}',
  ])('%j is not understood, so everything is forgotten', async (payload) => {
    await becomesTrusted();
    await announce(payload);
    await hears(['flush', 'flush']);
    expect(isTrusted()).toBe(true);
  });

  it('that could not be handled end the connection, and everything is forgotten', async () => {
    await becomesTrusted();
    onChange = () => {
      throw new Error('the cache is broken');
    };
    await announce('{"kind":"secrets"}');
    await hears(['flush', 'flush']);
    await becomesTrusted();
  });
});

describe('trust', () => {
  it('is given only after everything has been forgotten', async () => {
    expect(feed.trustedUntilMs).toBe(Number.NEGATIVE_INFINITY);
    await becomesTrusted();
    expect(heard).toEqual(['flush']);
  });

  it('never reaches further than 750 ms ahead, and is renewed before it ends', async () => {
    await becomesTrusted();
    for (let i = 0; i < 100; i++) {
      expect(feed.trustedUntilMs).toBeLessThanOrEqual(performance.now() + 750);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect(heard).toEqual(['flush']);
  });

  it('covers every change that was committed before the ping that vouches for it', async () => {
    await becomesTrusted();
    const committed = new Map<string, number>();
    let checked = 0;
    for (const end = performance.now() + 1_500; performance.now() < end; ) {
      const id = `org_${committed.size}`;
      await announce(JSON.stringify({ kind: 'organization', id }));
      committed.set(id, performance.now());
      const sentAtMs = feed.trustedUntilMs - 750;
      const known = new Set(heard.map((what) => (typeof what === 'object' && 'id' in what ? what.id : what)));
      for (const [before, committedAtMs] of committed) {
        if (committedAtMs >= sentAtMs) continue;
        expect(known).toContain(before);
        checked++;
      }
    }
    expect(checked).toBeGreaterThan(0);
  });

  it('runs out when the connection hangs half-open, and comes back over a new one after a flush', async () => {
    await becomesTrusted();
    proxy.freezePresent();
    await announce('{"kind":"secrets"}');
    await losesTrust();
    expect(heard).toEqual(['flush']);
    await becomesTrusted();
    expect(heard).toEqual(['flush', 'flush']);
  });

  it('runs out when pings still arrive at Postgres but nothing comes back', async () => {
    await becomesTrusted();
    proxy.dropAnswers();
    await announce('{"kind":"secrets"}');
    await losesTrust();
    expect(heard).toEqual(['flush']);
    proxy.thaw();
    await becomesTrusted();
    // Late, but over the same connection in the same order; over a new one it would have been a flush.
    expect(heard).toHaveLength(2);
  });

  it('runs out while nothing gets through at all, and comes back', async () => {
    await becomesTrusted();
    proxy.freeze();
    await losesTrust();
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(isTrusted()).toBe(false);
    proxy.thaw();
    await becomesTrusted();
    expect(heard.at(-1)).toBe('flush');
  });

  it('runs out while Postgres refuses connections, and comes back', async () => {
    await becomesTrusted();
    await proxy.refuse();
    await losesTrust();
    await proxy.open();
    await becomesTrusted();
    expect(heard).toEqual(['flush', 'flush']);
  });

  it('does not suffer from a connection that is cut once', async () => {
    await becomesTrusted();
    for (const flushes of [2, 3]) {
      proxy.cut();
      await expect.poll(() => heard.length, { timeout: 20_000 }).toBe(flushes);
      await becomesTrusted();
    }
  });

  it('ends with the feed, and the connection with it', async () => {
    await becomesTrusted();
    await feed.close();
    expect(feed.trustedUntilMs).toBe(Number.NEGATIVE_INFINITY);
    await expect.poll(() => proxy.connections).toBe(0);
    await announce('{"kind":"secrets"}');
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(heard).toEqual(['flush']);
    expect(feed.trustedUntilMs).toBe(Number.NEGATIVE_INFINITY);
  });

  it('can be ended while nothing answers', async () => {
    proxy.freeze();
    await feed.close();
    expect(heard).toEqual([]);
  });
});
