import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { exampleBodyOf, managementRoutes, pathOf, unknownIds } from '../../test/harness/management-routes.ts';
import { PostgresProxy } from '../../test/harness/postgres-proxy.ts';
import { Rows } from '../../test/harness/rows.ts';
import { scaled } from '../../test/harness/scale.ts';
import { startTestServer, type TestServer } from '../../test/harness/server.ts';

// A server whose way to Postgres can be cut, beside one on the same database whose way cannot.
const server = await startTestServer();
const proxy = await PostgresProxy.start(server.database.appUrl);
const rows = await Rows.open(server.database);
const node = await startTestServer({
  nodeOf: server,
  env: { DATABASE_URL: proxy.url(server.database.appUrl) },
});
const api = node.operator.api;

afterAll(async () => {
  await node.close();
  await proxy.close();
  await rows.close();
  await server.close();
});

describe('503', () => {
  beforeAll(async () => {
    expect((await api.get('/v1/account')).status).toBe(200);
    await proxy.refuse();
  });
  afterAll(() => proxy.open());

  test.each(managementRoutes.map((route) => [route.operationId, route] as const))(
    '%s says when to try again while Postgres is away',
    async (_name, route) => {
      const answer = await api.request(route.method, pathOf(route, unknownIds()), {
        ...(route.body && { body: exampleBodyOf(route) }),
      });
      expect([answer.status, answer.body.code]).toEqual([503, 'unavailable']);
      expect(Number(answer.headers.get('Retry-After'))).toBeGreaterThan(0);
      expect(answer.headers.get('Content-Type')).toBe('application/problem+json');
      expect(answer.text).not.toMatch(/postgres|connect|socket|ECONN|ENOENT/i);
    },
  );
});

/** Also for keys that memory does not hold: what says that is readiness. */
async function recovered({ operator }: TestServer): Promise<void> {
  for (const path of ['/v1/account', '/readyz'])
    await expect
      .poll(async () => (await operator.api.get(path)).status, { timeout: 20_000, interval: 50 })
      .toBe(200);
}

describe('the way to Postgres is cut while a key is being made', () => {
  // Each statement that the creation sends, and the moment just after Postgres has carried it out.
  const moments = [
    'set local gatelodge.account_id',
    'pg_try_advisory_xact_lock',
    'insert into "api_keys"',
    'insert into "events"',
    'insert into "idempotency_records"',
    // Not what the start of a connection says of its isolation.
    'commit\0',
  ];
  const keysAndEvents = async (name: string) => {
    const keys = await rows.query<{ id: string }>('select id from api_keys where name = $1', [name]);
    const events = await rows.query<{ subject_id: string }>(
      `select subject_id from events where type = 'api-key.created' and data->>'name' = $1`,
      [name],
    );
    const ids = keys.map(({ id }) => id);
    return { ids, told: events.map(({ subject_id }) => subject_id) };
  };

  test.each(
    Array.from({ length: scaled(1, 10) }).flatMap((_, round) => moments.map((at) => [at, round] as const)),
  )('after %j (%i): a whole key or none, and the retry finds it or makes it', async (moment, round) => {
    const isCommit = moment.startsWith('commit');
    const name = `${moment.replace('\0', '')} ${round}`;
    const headers = { 'Idempotency-Key': `${round}-${moments.indexOf(moment)}` };
    await recovered(node);
    proxy.cutAfter(moment);
    const first = await api.post('/v1/api-keys', { name }, headers);
    expect([first.status, first.body.code]).toEqual([503, 'unavailable']);
    expect(first.headers.get('Retry-After')).not.toBeNull();

    const after = await keysAndEvents(name);
    expect(after.ids.length).toBe(isCommit ? 1 : 0);
    expect(after.told).toEqual(after.ids);

    await recovered(node);
    const retry = await api.post('/v1/api-keys', { name }, headers);
    expect(retry.status).toBe(201);
    expect(retry.headers.get('Idempotent-Replayed')).toBe(isCommit ? 'true' : null);
    const whole = await keysAndEvents(name);
    expect(whole).toEqual({ ids: [retry.body.data.id], told: [retry.body.data.id] });
    // What the answer shows is the key's own secret.
    const { id, secret_plain: secret } = retry.body.data;
    expect((await api.as({ id, secret }).get('/v1/account')).status).toBe(200);
  });
});

test('a caller that goes away during a creation leaves a whole key or none', async () => {
  const before = await rows.query<{ id: string }>('select id from api_keys');
  const known = before.map(({ id }) => id);
  const attempts = Array.from({ length: scaled(20, 500) }, async (_, index) => {
    const abort = AbortSignal.timeout(1 + (index % 20));
    const headers = {
      Authorization: `Bearer ${server.operator.key.secret}`,
      'Content-Type': 'application/json',
    };
    await fetch(`${server.url}/v1/api-keys`, {
      method: 'POST',
      headers,
      body: '{"name":"abandoned"}',
      signal: abort,
    }).catch(() => {});
  });
  await Promise.all(attempts);
  // Whatever was still under way is done once as many connections as the pool has are free again.
  await expect
    .poll(async () => {
      const { pool } = server.running.services;
      return pool.idleCount === pool.totalCount && pool.waitingCount === 0;
    })
    .toBe(true);
  const keys = await rows.query<{ id: string }>('select id from api_keys where id <> all ($1)', [known]);
  const told = await rows.query<{ id: string }>(
    `select subject_id as id from events where type = 'api-key.created' and data->>'name' = 'abandoned'`,
  );
  expect(told.map(({ id }) => id).sort()).toEqual(keys.map(({ id }) => id).sort());
});
