import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../test/harness/database.ts';
import { PostgresProxy } from '../../test/harness/postgres-proxy.ts';
import { idPrefixes, newId } from '../ids/ids.ts';
import { type ChangeFeed, startChangeFeed } from '../postgres/change-feed.ts';
import { callLookup } from '../postgres/lookup.ts';
import { createPool } from '../postgres/pool.ts';
import { isUnavailable } from '../postgres/unavailable.ts';
import { silentLog } from '../supervisor/log.ts';
import { Freshness } from './freshness.ts';

type Status = 'active' | 'suspended';
type Answer = { believedAtMs: number; status: Status | 'unavailable' };

let database: TestDatabase;
let owner: pg.Client;
let issuer: string;
/** Between the node and Postgres: one for its pool, one for its connection for changes. */
let poolProxy: PostgresProxy;
let feedProxy: PostgresProxy;
let pool: pg.Pool;
let feed: ChangeFeed;
let freshness: Freshness;
let clockOffsetMs: number;

// What a node does, as small as it can be: one kind of record, held by the rules that `startChangeFeed` and
// `Freshness` ask for.
let held: Map<string, Status>;
let epoch: number;

beforeAll(async () => {
  database = await createTestDatabase();
  owner = new pg.Client({ connectionString: database.ownerUrl, options: '-c search_path=gatelodge' });
  await owner.connect();
});
afterAll(async () => {
  await owner.end();
  await database.drop();
});
beforeEach(async () => {
  poolProxy = await PostgresProxy.start(database.appUrl);
  feedProxy = await PostgresProxy.start(database.appUrl);
  held = new Map();
  epoch = 0;
  clockOffsetMs = 0;
  issuer = await makeIssuer();
  startNode({ staleSeconds: 30 });
});
afterEach(async () => {
  await stopNode();
  await poolProxy.close();
  await feedProxy.close();
});

function startNode({ staleSeconds }: { staleSeconds: number }): void {
  const clock = () => performance.now() + clockOffsetMs;
  pool = createPool({
    connectionString: poolProxy.url(database.appUrl),
    max: 3,
    applicationName: 'test',
    log: silentLog,
  });
  feed = startChangeFeed({
    connectionString: feedProxy.url(database.appUrl),
    nodeId: newId(idPrefixes.node),
    onChange: (change) => {
      epoch++;
      if ('id' in change) held.delete(change.id);
    },
    onReconnect: () => {
      epoch++;
      held.clear();
    },
    log: silentLog,
    clock,
  });
  freshness = new Freshness({ pool, changeFeed: feed, staleSeconds, clock });
}

async function stopNode(): Promise<void> {
  freshness.close();
  await feed.close();
  poolProxy.thaw();
  poolProxy.cut();
  await pool.end();
}

async function makeIssuer(): Promise<string> {
  const account = newId(idPrefixes.account);
  const id = newId(idPrefixes.issuer);
  await owner.query(`insert into accounts (id, name) values ($1, 'a')`, [account]);
  await owner.query(`insert into issuers (id, account_id, name, environment) values ($1, $2, 'i', 'live')`, [
    id,
    account,
  ]);
  await owner.query(`insert into key_profiles (issuer_id, account_id, profile) values ($1, $2, '{}')`, [
    id,
    account,
  ]);
  return id;
}

/** Node A: commits the suspension. Gives back a moment that is not before the commit. */
async function suspend(): Promise<number> {
  await owner.query(`update issuers set status = 'suspended', version = version + 1 where id = $1`, [issuer]);
  return performance.now();
}

/** Node B: what it believes, and a moment at which it came to believe it. */
async function ask(): Promise<Answer> {
  const believedAtMs = performance.now();
  const known = held.get(issuer);
  if (freshness.isFresh() && known !== undefined) return { believedAtMs, status: known };
  const mode = await freshness.state();
  if (mode === 'stale' || mode === 'unavailable') {
    const status = mode === 'stale' ? held.get(issuer) : undefined;
    return { believedAtMs: performance.now(), status: status ?? 'unavailable' };
  }
  try {
    const epochBefore = epoch;
    const [row] = await callLookup<{ status: Status }>(pool, 'lookup_issuer', [issuer]);
    const status = row!.status;
    if (epoch === epochBefore) held.set(issuer, status);
    return { believedAtMs: performance.now(), status };
  } catch (error) {
    if (!isUnavailable(error)) throw error;
    return { believedAtMs: performance.now(), status: 'unavailable' };
  }
}

async function becomesFresh(): Promise<void> {
  await expect.poll(() => freshness.isFresh(), { interval: 5, timeout: 20_000 }).toBe(true);
}

const becomesMode = (mode: string) =>
  expect.poll(() => freshness.state(), { interval: 20, timeout: 20_000 }).toBe(mode);

async function warm(): Promise<void> {
  await becomesFresh();
  expect((await ask()).status).toBe('active');
  expect(held.get(issuer)).toBe('active');
}

/** Asks every few milliseconds, as requests come in, also while earlier ones still wait. */
async function askDuring(work: () => Promise<void>): Promise<Answer[]> {
  const answers: Promise<Answer>[] = [];
  const timer = setInterval(() => answers.push(ask()), 4);
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
  return Promise.all(answers);
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('a change committed elsewhere holds within a second', () => {
  // Attack: a key is stolen and its owner revokes it. The thief goes on using it at the node whose view of the
  // world is broken in one way or another, while that node still reaches Postgres.
  const faults: [string, () => void | Promise<void>][] = [
    ['nothing is wrong', () => {}],
    ['the connection for changes is cut', () => feedProxy.cut()],
    ['the connection for changes is cut and cannot be made again', () => feedProxy.refuse()],
    ['the connection for changes hangs half-open', () => feedProxy.freezePresent()],
    ['the connection for changes hangs, and every new one too', () => feedProxy.freeze()],
    ['pings arrive at Postgres, and no answer comes back', () => feedProxy.dropAnswers()],
    [
      'every connection of the node has died without a word',
      () => {
        feedProxy.freezePresent();
        poolProxy.freezePresent();
      },
    ],
    [
      'changes do not arrive and the pool is full of slow queries',
      async () => {
        await feedProxy.refuse();
        for (let i = 0; i < 3; i++) pool.query('select pg_sleep(4)').catch(() => {});
      },
    ],
  ];
  it.each(faults)('when %s', async (_name, breakIt) => {
    await warm();
    let committedAtMs = Number.POSITIVE_INFINITY;
    const answers = await askDuring(async () => {
      await pause(50);
      await breakIt();
      await pause(100);
      committedAtMs = await suspend();
      await pause(1_600);
    });
    const late = answers.filter((answer) => answer.believedAtMs > committedAtMs + 1_000);
    expect(late.filter((answer) => answer.status === 'active')).toEqual([]);
    expect(late.length).toBeGreaterThan(0);
  });

  it('and the node goes on answering from Postgres when changes do not arrive', async () => {
    await warm();
    await feedProxy.refuse();
    await becomesMode('read-through');
    expect((await ask()).status).toBe('active');
    await suspend();
    expect((await ask()).status).toBe('suspended');
  });

  // Attack: the record is read just before the revocation, and put into memory just after the revocation has been
  // announced, where nothing would ever remove it.
  it('when a fill of the cache races it', async () => {
    await becomesFresh();
    await pool.query('select');
    poolProxy.dropAnswers();
    const slow = ask();
    await pause(100);
    await suspend();
    await expect.poll(() => epoch).toBe(2);
    poolProxy.thaw();
    expect(await slow).toMatchObject({ status: 'active' });
    expect(held.has(issuer)).toBe(false);
    expect((await ask()).status).toBe('suspended');
  });

  // Attack: the network keeps an answer that was read before the revocation, and delivers it seconds later.
  it('when an answer of Postgres arrives late', async () => {
    await warm();
    await feedProxy.refuse();
    await becomesMode('read-through');
    let committedAtMs = Number.POSITIVE_INFINITY;
    const answers = await askDuring(async () => {
      await pause(50);
      poolProxy.holdBack('active');
      await pause(50);
      committedAtMs = await suspend();
      await pause(1_300);
      poolProxy.thaw();
      await pause(300);
    });
    const late = answers.filter((answer) => answer.believedAtMs > committedAtMs + 1_000);
    expect(late.filter((answer) => answer.status === 'active')).toEqual([]);
    expect(late.at(-1)?.status).toBe('suspended');
  });

  it('when it happens while nobody listens', async () => {
    await warm();
    await feedProxy.refuse();
    await suspend();
    await feedProxy.open();
    await becomesMode('fresh');
    await expect.poll(async () => (await ask()).status).toBe('suspended');
  });
});

describe('without Postgres', () => {
  async function loseAll(): Promise<void> {
    await Promise.all([feedProxy.refuse(), poolProxy.refuse()]);
  }

  it('a node goes on with what it has, for staleSeconds and not longer', async () => {
    await warm();
    await loseAll();
    await becomesMode('stale');
    expect((await ask()).status).toBe('active');
    expect(freshness.staleForMs).toBeGreaterThan(0);
    clockOffsetMs += 29_000 - freshness.staleForMs;
    expect(await freshness.state()).toBe('stale');
    clockOffsetMs += 1_100;
    expect(await freshness.state()).toBe('unavailable');
    expect((await ask()).status).toBe('unavailable');
  });

  it('a node does so too when everything hangs instead of failing', async () => {
    await warm();
    feedProxy.freeze();
    poolProxy.freeze();
    await becomesMode('stale');
    expect((await ask()).status).toBe('active');
  });

  it('a node with staleSeconds 0 serves nothing', async () => {
    await stopNode();
    startNode({ staleSeconds: 0 });
    await warm();
    await loseAll();
    await becomesMode('unavailable');
    expect((await ask()).status).toBe('unavailable');
  });

  it('a node that was never fresh is stale only as long as after a last fresh moment at its start', async () => {
    await stopNode();
    await loseAll();
    startNode({ staleSeconds: 1 });
    await becomesMode('stale');
    clockOffsetMs += 1_000;
    await becomesMode('unavailable');
  });

  it('no request waits while it is known to be away', async () => {
    await warm();
    feedProxy.freeze();
    poolProxy.freeze();
    await becomesMode('stale');
    for (let i = 0; i < 50; i++) {
      const waited = new Promise((resolve) => setImmediate(resolve, 'waited'));
      expect(await Promise.race([freshness.state(), waited])).toBe('stale');
      await pause(20);
    }
  });

  it('one probe serves all who ask at once', async () => {
    await warm();
    await feedProxy.refuse();
    await expect.poll(() => freshness.isFresh(), { interval: 5, timeout: 20_000 }).toBe(false);
    let queries = 0;
    pool.on('acquire', () => queries++);
    const modes = await Promise.all(Array.from({ length: 100 }, () => freshness.state()));
    expect(new Set(modes)).toEqual(new Set(['read-through']));
    expect(queries).toBe(1);
  });

  it('a node recovers by itself, to Postgres first and to its memory when changes arrive again', async () => {
    await warm();
    await loseAll();
    await becomesMode('stale');
    await suspend();
    await poolProxy.open();
    await expect.poll(() => freshness.mode, { interval: 5, timeout: 20_000 }).toBe('read-through');
    expect((await ask()).status).toBe('suspended');
    await feedProxy.open();
    await becomesFresh();
    expect((await ask()).status).toBe('suspended');
    expect(freshness.staleForMs).toBe(0);
  });
});
