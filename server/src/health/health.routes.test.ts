import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { PerformanceObserver } from 'node:perf_hooks';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { PostgresProxy } from '../../test/harness/postgres-proxy.ts';
import { send } from '../../test/harness/raw-http.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { createKey } from '../../test/harness/test-issuer.ts';

const server = await startTestServer();
const proxy = await PostgresProxy.start(server.database.appUrl);
// Its way to Postgres can be cut; and it has no metrics token.
const node = await startTestServer({
  nodeOf: server,
  env: { DATABASE_URL: proxy.url(server.database.appUrl), GATELODGE_METRICS_TOKEN: '' },
});
afterAll(async () => {
  await node.close();
  await proxy.close();
  await server.close();
});
const get = (path: string, headers = {}, at = server) => send(at.url + path, { headers });

describe('GET /healthz', () => {
  test('200: lives, whatever Postgres does', async () => {
    expect(await get('/healthz')).toMatchObject({ status: 200, body: { status: 'ok' } });
    await proxy.refuse();
    expect(await get('/healthz', {}, node)).toMatchObject({ status: 200, body: { status: 'ok' } });
    await proxy.open();
  });
});

describe('GET /readyz', () => {
  test('200: is ready, and tells nobody to keep that', async () => {
    const answer = await get('/readyz');
    expect(answer).toMatchObject({
      status: 200,
      body: {
        status: 'ready',
        checks: {
          ...{ database: 'ok', migrations: 'ok', freshness: 'fresh', stopping: false },
          ...{ ledger: 'ok', ledger_findings: 0 },
        },
      },
    });
    expect(answer.headers['cache-control']).toBe('no-store');
  });

  test('503: is not while Postgres is out of reach, and is again once it is back', async () => {
    await proxy.refuse();
    const away = await get('/readyz', {}, node);
    expect(away).toMatchObject({
      status: 503,
      body: { status: 'not_ready', checks: { database: 'unreachable', stopping: false } },
    });
    expect(away.text).not.toMatch(/socket|ECONN|ENOENT|gatelodge_app/);
    await proxy.open();
    await expect
      .poll(async () => (await get('/readyz', {}, node)).status, { timeout: 10_000, interval: 50 })
      .toBe(200);
  });
});

describe('GET /readyz under load', () => {
  test('200: is ready while every connection of the management API is taken', async () => {
    // The attack: enough slow requests that no connection is left, and the balancer takes every node out of service.
    const { pool } = server.running.services;
    const taken = await Promise.all(Array.from({ length: pool.options.max }, () => pool.connect()));
    try {
      expect(await get('/readyz')).toMatchObject({ status: 200, body: { checks: { database: 'ok' } } });
    } finally {
      for (const client of taken) client.release();
    }
  });

  test('asks Postgres a few times a second at the most, however many ask it', async () => {
    const { lookupPool } = server.running.services;
    const ask = lookupPool.query;
    let asked = 0;
    lookupPool.query = ((...args: unknown[]) => {
      asked++;
      return Reflect.apply(ask, lookupPool, args);
    }) as never;
    const startedAt = performance.now();
    const answers = await Promise.all(Array.from({ length: 100 }, () => get('/readyz')));
    const elapsedMs = performance.now() - startedAt;
    lookupPool.query = ask;
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect(asked).toBeLessThanOrEqual(1 + Math.ceil(elapsedMs / 250));
  });
});

describe('GET /metrics', () => {
  const token = 'metrics-token-of-the-tests-0123456789';
  const bearer = (secret: string) => ({ Authorization: `Bearer ${secret}` });

  test('200: tells the figures to whoever has the token', async () => {
    const answer = await get('/metrics', bearer(token));
    expect(answer.status).toBe(200);
    expect(answer.headers['content-type']).toMatch(/^text\/plain; version=/);
    for (const name of [
      ...['cached_keys', 'cache_is_fresh', 'stale_seconds', 'postgres_connections'],
      ...['ledger_is_writable', 'ledger_findings'],
      ...['fold_lag_records', 'fold_lag_bytes', 'fold_lag_seconds'],
    ])
      expect(answer.text).toMatch(new RegExp(`^gatelodge_${name} [0-9.]+$`, 'm'));
    expect(answer.text).toContain('process_cpu_seconds_total');
  });

  // Whatever watches the process is never taken down: of one for each service, each would hold on to all of its service.
  test('200: tells of the process without watching it once more for each service in it', async () => {
    const observe = vi.spyOn(PerformanceObserver.prototype, 'observe');
    const another = await startTestServer({ nodeOf: server });
    try {
      const answer = await get('/metrics', bearer(token), another);
      expect(answer.text).toMatch(/^process_start_time_seconds \d+$/m);
      expect(answer.text).toContain('nodejs_gc_duration_seconds');
      expect(observe).not.toHaveBeenCalled();
    } finally {
      observe.mockRestore();
      await another.close();
    }
  });

  test('200: counts every decision by its outcome', async () => {
    const { api } = server.operator;
    const key = await createKey(api, `/v1/issuers/${server.demo.issuerId}/api-keys`);
    const counted = async () =>
      Number(
        /gatelodge_decisions_total\{endpoint="verify",code="VALID"\} (\d+)/.exec(
          (await get('/metrics', bearer(token))).text,
        )?.[1] ?? 0,
      );
    const before = await counted();
    for (let index = 0; index < 3; index++) await api.post('/v1/keys/verify', { key: key.secret });
    expect(await counted()).toBe(before + 3);
  });

  test('200: counts calls of others’ URLs by outcome', async () => {
    const { outbound } = server.running.services;
    await expect(outbound.fetch('https://127.0.0.1/', { accountId: null })).rejects.toThrow();
    const { text } = await get('/metrics', bearer(token));
    expect(text).toContain('gatelodge_outbound_calls_total{outcome="blocked_address"} 1\n');
    expect(text).toContain('gatelodge_outbound_calls_total{outcome="answered"} 0\n');
    expect(text).toContain('gatelodge_outbound_calls_under_way 0\n');
  });

  test('200: names no path, key or account that a caller chose', async () => {
    // The attack: a label for every made-up path, until the memory is full; or a secret that ends up in one.
    const key = await createKey(server.operator.api, '/v1/api-keys');
    await server.operator.api.as(key).get('/v1/issuers/i_0000000000000000000000000');
    for (let index = 0; index < 20; index++) await get(`/canary-${index}?key=canary`, bearer('canary'));
    const { text } = await get('/metrics', bearer(token));
    for (const hidden of ['canary', key.secret, key.id, 'i_0000', server.operator.accountId])
      expect(text).not.toContain(hidden);
  });

  test.each([
    ['no token', {}, 'missing_key'],
    ['another token', bearer('x'.repeat(token.length)), 'invalid_key'],
    ['the beginning of the token', bearer(token.slice(0, -1)), 'invalid_key'],
    ['the operator’s key', bearer(server.operator.key.secret), 'invalid_key'],
    ['the token by Basic', { Authorization: `Basic ${btoa(`x:${token}`)}` }, 'missing_key'],
  ])('401: for %s', async (_name, headers, code) => {
    const answer = await get('/metrics', headers);
    expect([answer.status, answer.body.code]).toEqual([401, code]);
    expect(answer.headers['www-authenticate']).toContain('Bearer');
  });

  test('200: in development the token is made up and kept where only its owner can read it', async () => {
    const path = join(node.dataDir, 'metrics-token');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    const made = (await readFile(path, 'utf8')).trim();
    expect(made).toMatch(/^[0-9a-f]{64}$/);
    expect((await get('/metrics', bearer(made), node)).status).toBe(200);
    expect((await get('/metrics', bearer(token), node)).status).toBe(401);
  });

  test('404: in production there is no such page until a token is set', async () => {
    const production = await startTestServer({
      nodeOf: server,
      env: {
        GATELODGE_MODE: 'production',
        GATELODGE_PUBLIC_URL: 'https://gatelodge.test',
        GATELODGE_TRUSTED_PROXIES: '127.0.0.0/8',
        GATELODGE_METRICS_TOKEN: '',
      },
    });
    const headers = { ...bearer(token), 'X-Forwarded-Proto': 'https' };
    const answer = await get('/metrics', headers, production);
    await production.close();
    expect([answer.status, answer.body.code]).toEqual([404, 'route_not_found']);
  });

  test('401: for the token in the query, where it would be logged', async () => {
    expect((await get(`/metrics?token=${token}`)).status).toBe(401);
  });
});
