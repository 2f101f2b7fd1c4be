import { afterAll, describe, expect, test } from 'vitest';
import { retireQuietKeys } from '../src/api-keys/quiet-job.ts';
import type { ApiClient } from './harness/api-client.ts';
import { createCustomer, withScopes } from './harness/customer.ts';
import { Rows } from './harness/rows.ts';
import { scaled } from './harness/scale.ts';
import { startTestServer, TestClock } from './harness/server.ts';
import { createKey, succeeded, TestIssuer } from './harness/test-issuer.ts';

/*
 * From a request to what is told of it: whoever has been answered finds its request in usage and events at once, on the
 * node that has answered.
 */

// Half a minute into the next hour: what is metered has its time from this clock, other events from Postgres.
const nextHour = new Date(Math.ceil(Date.now() / 3_600_000) * 3_600_000).toISOString();
const clock = new TestClock(nextHour.replace(':00.000Z', ':30.000Z'));
const server = await startTestServer({ clock });
afterAll(() => server.close());

async function makeWorld() {
  const customer = await createCustomer(server, { plan: null });
  const { api } = customer;
  const issuer = await TestIssuer.create(server, {}, {}, api);
  const tenant: string = (await issuer.createOrganization({ external_id: 'tenant' })).id;
  const tenantKey = await issuer.createKey({}, tenant);
  const verify = async (key: string, more: object = {}) =>
    succeeded(await api.post('/v1/keys/verify', { key, ...more })).body.code as string;
  const bucketOf = async (query = '', as: ApiClient = api) =>
    succeeded(await as.get(`/v1/usage?interval=hour&${query}`)).body.data[0];
  const newest = async (query = '') => succeeded(await api.get(`/v1/events?limit=1${query}`)).body.data[0];
  return { ...customer, issuer, tenant, tenantKey, verify, bucketOf, newest };
}

describe('usage', () => {
  test('has a verification at once, at every level', async () => {
    const { issuer, tenant, tenantKey, verify, bucketOf } = await makeWorld();
    for (let count = 1; count <= 3; count++) {
      expect(await verify(tenantKey.secret)).toBe('VALID');
      for (const query of [
        '',
        `issuer_id=${issuer.id}`,
        `organization_id=${tenant}`,
        `key_id=${tenantKey.id}`,
      ])
        expect(await bucketOf(query)).toMatchObject({
          start: nextHour,
          ...{ total: count, valid: count, refused: 0, by_code: { VALID: count } },
        });
    }
    expect(await verify(tenantKey.secret, { origin: 'https://app.example', scopes: ['a:b'], cost: 7 })).toBe(
      'INSUFFICIENT_SCOPE',
    );
    expect(await verify(tenantKey.secret, { cost: 7 })).toBe('VALID');
    expect(await bucketOf()).toMatchObject({
      ...{ total: 5, valid: 4, refused: 1, cost: 10, error_rate: 0.2 },
      by_code: { VALID: 4, INSUFFICIENT_SCOPE: 1 },
    });
  });

  test('counts what comes by a gateway and by /v1/me, and calls of the management API apart', async () => {
    const { api, issuer, tenantKey, bucketOf } = await makeWorld();
    expect((await issuer.authorize({ 'X-API-Key': tenantKey.secret })).status).toBe(200);
    expect((await issuer.authorize({ 'X-API-Key': tenantKey.secret }, '?scope=a:b')).status).toBe(403);
    expect((await api.as(tenantKey).get('/v1/me')).status).toBe(200);
    const { id } = await withKey(api);
    expect(await bucketOf(`key_id=${tenantKey.id}`)).toMatchObject({ total: 3, valid: 2, management: 0 });
    expect(await bucketOf(`key_id=${id}`)).toMatchObject({ total: 0, management: 2, error_rate: null });
  });

  /** A key of the account's that has called the management API twice. */
  async function withKey(api: ApiClient) {
    const key = await createKey(api, '/v1/api-keys');
    for (const path of ['/v1/issuers', '/v1/api-keys']) succeeded(await api.as(key).get(path));
    return key;
  }

  test('of a key of an issuer is also that of the organization that it acted for', async () => {
    const { issuer, tenant, verify, bucketOf } = await makeWorld();
    const acting = await issuer.createKey();
    expect(await verify(acting.secret, { tenant: 'tenant' })).toBe('VALID');
    expect(await verify(acting.secret)).toBe('VALID');
    expect(await bucketOf(`organization_id=${tenant}`)).toMatchObject({ total: 1 });
    expect(await bucketOf(`key_id=${acting.id}`)).toMatchObject({ total: 2 });
    expect(await bucketOf(`key_id=${acting.id}&group_by=organization`)).toMatchObject({
      organization_id: tenant,
      total: 1,
    });
  });

  test('is nobody else’s', async () => {
    const [ours, theirs] = [await makeWorld(), await makeWorld()];
    await ours.verify(ours.tenantKey.secret);
    // A key of another account is known to nobody there: it is counted for nobody.
    expect(await theirs.verify(ours.tenantKey.secret)).toBe('NOT_FOUND');
    expect(await ours.bucketOf()).toMatchObject({ total: 1 });
    expect(await theirs.bucketOf()).toMatchObject({ total: 0 });
  });

  test('has all of many requests at once, in the list, the export and the statement', async () => {
    const { api, issuer, tenant, tenantKey, verify, bucketOf } = await makeWorld();
    const total = scaled(500, 20_000);
    const keys = [tenantKey, await issuer.createKey({}, tenant), await issuer.createKey({}, tenant)];
    let sent = 0;
    const worker = async () => {
      while (sent < total) await verify(keys[sent++ % keys.length]!.secret);
    };
    await Promise.all(Array.from({ length: 16 }, worker));
    expect(await bucketOf(`organization_id=${tenant}`)).toMatchObject({ total: sent });
    const { data } = succeeded(await api.get(`/v1/usage?group_by=key&organization_id=${tenant}`)).body;
    expect(data.reduce((sum: number, bucket: { total: number }) => sum + bucket.total, 0)).toBe(sent);
    const csv = succeeded(await api.get(`/v1/usage/export.csv?organization_id=${tenant}`)).text;
    expect(csv.split('\r\n')[1]!.split(',')[1]).toBe(String(sent));
    const [line] = succeeded(await api.get(`/v1/statements/${nextHour.slice(0, 7)}`)).body.data;
    expect(line).toMatchObject({ used: sent, complete: false });
    expect((await api.get('/v1/account')).body.data.used_this_month).toEqual({ live: sent, sandbox: 0 });
  });

  // The attack: whatever keeps the fold waiting (an account's deletion, a backlog of hours, a Postgres that is slow to
  // write) must not keep people from reading, nor a key that has leaked from being rotated.
  test('is answered as it stands while the fold can’t get on, and a key is rotated', async () => {
    const { api, tenantKey, issuer, tenant, verify, bucketOf } = await makeWorld();
    // The fold may have come by meanwhile: the hour is there then, with the requests that made this world.
    const total = async () => (await bucketOf())?.total ?? 0;
    const other = await Rows.open(server.database);
    try {
      await other.query('begin');
      await other.query(`select pg_advisory_xact_lock(hashtextextended('metering', 0))`);
      expect(await verify(tenantKey.secret)).toBe('VALID');
      expect(await total()).toBe(0);
      const path = `${issuer.path}/organizations/${tenant}/api-keys/${tenantKey.id}/rotate`;
      expect((await api.post(path, { grace_seconds: 0 })).status).toBe(201);
    } finally {
      await other.query('rollback');
      await other.close();
    }
    expect(await bucketOf()).toMatchObject({ total: 1, valid: 1 });
  });

  test('takes what middleware tells of the same requests', async () => {
    const { api, issuer, tenantKey, verify, bucketOf } = await makeWorld();
    for (let count = 0; count < 4; count++) await verify(tenantKey.secret);
    const middleware = await withScopes(api, ['keys:verify'], `${issuer.path}/api-keys`);
    const outcomes = [
      { key_id: tenantKey.id, status: 200, latency_ms: 10, count: 3 },
      { key_id: tenantKey.id, status: 502, latency_ms: 50 },
    ];
    succeeded(await middleware.post('/v1/usage/outcomes', { outcomes }));
    const told = { total: 4, errors: 1, error_rate: 0.25, reported: 4, latency_ms: 20 };
    expect(await bucketOf(`key_id=${tenantKey.id}`)).toMatchObject(told);
  });
});

describe('events', () => {
  test('have /v1/me as the newest at once, and grow with each in its minute', async () => {
    const { api, id: accountId, issuer, tenant, tenantKey, newest } = await makeWorld();
    for (let count = 1; count <= 2; count++) {
      succeeded(await api.as(tenantKey).get('/v1/me'));
      expect(await newest(`&subject=${tenantKey.id}`)).toMatchObject({
        ...{ type: 'api-key.verified', account_id: accountId, issuer_id: issuer.id, organization_id: tenant },
        ...{ environment: 'live', data: { code: 'VALID' }, count, last_at: clock.now().toISOString() },
        actor: { type: 'api_key', id: tenantKey.id },
      });
    }
    const first = await newest(`&type=api-key.verified&subject=${tenantKey.id}`);
    clock.advance(60);
    succeeded(await api.as(tenantKey).get('/v1/me'));
    const second = await newest(`&type=api-key.verified&subject=${tenantKey.id}`);
    expect(second).toMatchObject({ count: 1, created_at: clock.now().toISOString() });
    expect(second.id > first.id).toBe(true);
  });

  test('tell of refusals, one for each code, and nothing of calls of the management API', async () => {
    const { api, tenantKey, verify } = await makeWorld();
    await verify(tenantKey.secret, { scopes: ['a:b'] });
    await verify(tenantKey.secret, { scopes: ['c:d'] });
    succeeded(await api.post(`${tenantKey.path}/disable`));
    await verify(tenantKey.secret);
    const { data } = succeeded(await api.get('/v1/events?type=api-key.rejected')).body;
    expect(
      data.map((event: { data: { code: string }; count: number }) => [event.data.code, event.count]).sort(),
    ).toEqual([
      ['DISABLED', 1],
      ['INSUFFICIENT_SCOPE', 2],
    ]);
    expect(succeeded(await api.get('/v1/events?type=api-key.verified')).body.data).toEqual([]);
  });
});

describe('the life of a key', () => {
  test('last_used_at is there at once the first time, and within a minute later', async () => {
    const { api, tenantKey, verify } = await makeWorld();
    await verify(tenantKey.secret, { scopes: ['a:b'] });
    expect((await api.get(tenantKey.path)).body.data.last_used_at).toBeNull();
    await verify(tenantKey.secret);
    const usedAt = clock.now().toISOString();
    expect((await api.get(tenantKey.path)).body.data.last_used_at).toBe(usedAt);
    clock.advance(59);
    await verify(tenantKey.secret);
    expect((await api.get(tenantKey.path)).body.data.last_used_at).toBe(clock.now().toISOString());
  });

  test('both keys of a rotation tell their share from the rotation on', async () => {
    const { api, tenantKey, verify } = await makeWorld();
    for (let count = 0; count < 5; count++) await verify(tenantKey.secret);
    const next = await api.create(`${tenantKey.path}/rotate`, { grace_seconds: 86_400 });
    await verify(tenantKey.secret);
    for (let count = 0; count < 3; count++) await verify(next.secret_plain);
    const since = clock.now().toISOString();
    const trafficOf = async (path: string) => succeeded(await api.get(path)).body.data.traffic;
    expect(await trafficOf(tenantKey.path)).toEqual({ share: 0.25, total: 4, since });
    expect(await trafficOf(tenantKey.path.replace(tenantKey.id, next.id))).toEqual({
      ...{ share: 0.75, total: 4, since },
    });
  });

  test('a key that is used each day does not retire, one that is not does', async () => {
    const { api, tenantKey, verify } = await makeWorld();
    succeeded(await api.post(`${tenantKey.path}/rotate`, { retire: 'when-quiet' }));
    const { database, fold, log } = server.running.services;
    const retire = async () => {
      await fold.catchUp();
      await retireQuietKeys(database, log, clock.now());
    };
    for (let days = 0; days < 2; days++) {
      clock.advance(86_399);
      expect(await verify(tenantKey.secret)).toBe('VALID');
      clock.advance(61);
      await retire();
      expect((await api.get(tenantKey.path)).body.data.status).toBe('active');
    }
    clock.advance(86_400);
    await retire();
    expect((await api.get(tenantKey.path)).body.data.status).toBe('expired');
    await expect.poll(() => verify(tenantKey.secret), { timeout: 5_000 }).toBe('EXPIRED');
  });
});
