import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PostgresProxy } from '../harness/postgres-proxy.ts';
import { startTestServer, type TestServer } from '../harness/server.ts';
import { StoppablePostgres } from '../harness/stoppable-postgres.ts';

/** How long a ping that came back vouches for memory; the stale time counts from its end. */
const trustMs = 750;
/** The contract's: Postgres is back, and so is the node. */
const recoveryMs = 5_000;

interface Asked {
  sentAt: number;
  status: number;
  code: string | undefined;
  warnings: string[] | undefined;
  retryAfter: string | null;
}

let postgres: StoppablePostgres;
let server: TestServer;
let known: { id: string; secret: string };
let unknown: { id: string; secret: string };

async function start(staleSeconds: number): Promise<void> {
  postgres = await StoppablePostgres.start();
  server = await startTestServer({
    env: { DATABASE_URL: postgres.appUrl, GATELODGE_STALE_SECONDS: String(staleSeconds) },
  });
  known = await makeKey();
  unknown = await makeKey();
  await expect.poll(async () => (await mode()).freshness, { timeout: 20_000 }).toBe('fresh');
  expect(await verify(known)).toMatchObject({ status: 200, code: 'VALID', warnings: [] });
}

afterEach(async () => {
  await server.close();
  await postgres[Symbol.asyncDispose]();
});

async function makeKey() {
  const path = `/v1/issuers/${server.demo.issuerId}/api-keys`;
  const made = await server.operator.api.create(path, { restrictions: { scopes: ['invoices:read'] } });
  return { id: made.id as string, secret: made.secret_plain as string };
}

async function verify(key: { secret: string }): Promise<Asked> {
  const sentAt = performance.now();
  const { status, body, headers } = await server.operator.api.post('/v1/keys/verify', { key: key.secret });
  return {
    sentAt,
    status,
    code: body.code,
    warnings: body.warnings,
    retryAfter: headers.get('Retry-After'),
  };
}

async function mode() {
  return (await server.operator.api.get('/readyz')).body.checks;
}

/** Verifies a key again and again until `isOver`, 20 s at most. */
async function verifyUntil(key: { secret: string }, isOver: (asked: Asked) => boolean): Promise<Asked[]> {
  const all: Asked[] = [];
  const deadline = performance.now() + 20_000;
  do {
    all.push(await verify(key));
    await sleep(10);
  } while (!isOver(all.at(-1)!) && performance.now() < deadline);
  return all;
}

const isUnavailable = { status: 503, code: 'unavailable', retryAfter: expect.any(String) };

describe('with GATELODGE_STALE_SECONDS=2', () => {
  beforeEach(() => start(2));

  it('a node cut off from Postgres goes on with the keys it knows and says so, then answers 503, and recovers', async () => {
    await postgres.stop();
    const goneAt = performance.now();
    const untilStale = await verifyUntil(known, ({ warnings }) => warnings?.includes('stale') === true);
    expect(untilStale.filter(({ code }) => code !== 'VALID')).toEqual([]);

    expect(await verify(unknown)).toMatchObject(isUnavailable);
    const change = await server.operator.api.post(`/v1/issuers/${server.demo.issuerId}/suspend`);
    expect([change.status, change.body.code]).toEqual([503, 'unavailable']);
    const authorized = await server.operator.api
      .as(null)
      .get(`/v1/authorize/${server.demo.issuerId}`, { 'X-API-Key': known.secret });
    expect(authorized.status).toBe(200);
    expect(authorized.headers.get('X-Gatelodge-Warnings')).toBe('stale');
    expect(await mode()).toEqual({
      database: 'unreachable',
      migrations: 'ok',
      freshness: 'stale',
      ledger: 'ok',
      ledger_findings: 0,
      stopping: false,
    });

    const untilOver = await verifyUntil(known, ({ status }) => status === 503);
    expect(untilOver.at(-1)).toMatchObject(isUnavailable);
    const served = untilOver.slice(0, -1);
    expect(served.filter(({ code, warnings }) => code !== 'VALID' || warnings?.[0] !== 'stale')).toEqual([]);
    expect(Math.max(...served.map(({ sentAt }) => sentAt))).toBeLessThanOrEqual(goneAt + trustMs + 2_000);
    expect(untilOver.at(-1)!.sentAt).toBeGreaterThanOrEqual(goneAt + 1_500);
    expect((await mode()).freshness).toBe('unavailable');

    await postgres.startAgain();
    const backAt = performance.now();
    await verifyUntil(unknown, ({ code, warnings }) => code === 'VALID' && warnings?.length === 0);
    await expect.poll(async () => (await mode()).freshness, { interval: 10, timeout: 20_000 }).toBe('fresh');
    const readiness = async () => (await server.operator.api.get('/readyz')).status;
    await expect.poll(readiness, { interval: 10, timeout: 20_000 }).toBe(200);
    expect(await verify(known)).toMatchObject({ code: 'VALID', warnings: [] });
    await server.operator.api.create('/v1/issuers', { name: 'after' });
    expect(performance.now() - backAt).toBeLessThanOrEqual(recoveryMs);
  });
});

describe('with GATELODGE_STALE_SECONDS=0', () => {
  beforeEach(() => start(0));

  it('a node cut off from Postgres serves nothing once what it knows may be out of date', async () => {
    await postgres.stop();
    const goneAt = performance.now();
    const all = await verifyUntil(known, ({ status }) => status === 503);
    expect(all.at(-1)).toMatchObject(isUnavailable);
    const served = all.slice(0, -1);
    expect(served.filter(({ code, warnings }) => code !== 'VALID' || warnings?.length !== 0)).toEqual([]);
    expect(all.filter(({ sentAt, status }) => sentAt > goneAt + trustMs && status === 200)).toEqual([]);
    await postgres.startAgain();
    const backAt = performance.now();
    await verifyUntil(known, ({ code }) => code === 'VALID');
    expect(performance.now() - backAt).toBeLessThanOrEqual(recoveryMs);
  });
});

describe('a revocation that a node has read from Postgres', () => {
  let other: TestServer;
  let proxy: PostgresProxy;

  beforeEach(async () => {
    await start(30);
    proxy = await PostgresProxy.start(postgres.appUrl);
    other = await startTestServer({ nodeOf: server, env: { DATABASE_URL: proxy.url(postgres.appUrl) } });
  });
  afterEach(async () => {
    proxy.thaw();
    await other.close();
    await proxy.close();
  });

  // Attack: the thief of a key waits for the network between the node and Postgres to fail bit by bit: first changes
  // stop arriving, then nothing gets through. The record from before the revocation must not come back for it.
  it('is not forgotten when Postgres then goes away', async () => {
    const api = other.operator.api;
    const ask = async (key: { secret: string }) => {
      const { status, body } = await api.post('/v1/keys/verify', { key: key.secret });
      return { status, code: body.code, warnings: body.warnings };
    };
    const freshness = async () => (await api.get('/readyz')).body.checks.freshness;
    await expect.poll(freshness, { timeout: 20_000 }).toBe('fresh');
    for (const key of [known, unknown]) expect((await ask(key)).code).toBe('VALID');

    proxy.refuseOnly('gatelodge changes');
    await expect.poll(freshness, { timeout: 20_000 }).toBe('read-through');
    await server.operator.api.post(`/v1/issuers/${server.demo.issuerId}/api-keys/${known.id}/revoke`);
    expect((await ask(known)).code).toBe('REVOKED');
    expect((await ask(unknown)).code).toBe('VALID');

    await proxy.refuse();
    await expect.poll(freshness, { timeout: 20_000 }).toBe('stale');
    for (let i = 0; i < 20; i++) {
      expect(await ask(known)).toMatchObject({ status: 503, code: 'unavailable' });
      expect(await ask(unknown)).toEqual({ status: 200, code: 'VALID', warnings: ['stale'] });
    }
    await proxy.open();
  });
});
