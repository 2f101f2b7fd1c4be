import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { createKey, succeeded, type TestKey } from '../../test/harness/test-issuer.ts';
import { permissionsOfAccount } from '../scopes/scope.ts';

// The attack, all over: the key of a test bench, easily lost, that reaches into live data.

const server = await startTestServer();
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api } = await createCustomer(server);
const live = await api.create('/v1/issuers', { name: 'live' });
const bench = await api.create('/v1/issuers', { name: 'bench', environment: 'sandbox' });
const livePath = `/v1/issuers/${live.id}`;
const benchPath = `/v1/issuers/${bench.id}`;
const sandboxKey = await createKey(api, '/v1/api-keys', { environment: 'sandbox' });
const sandbox = api.as(sandboxKey);
const listed = async (path: string, as = sandbox) =>
  succeeded(await as.get(path)).body.data.map(({ id }: { id: string }) => id);

describe('a sandbox key of the account', () => {
  let liveKey: TestKey;
  let ownKey: TestKey;
  beforeAll(async () => {
    liveKey = await createKey(api, '/v1/api-keys');
    ownKey = await createKey(sandbox, '/v1/api-keys');
  });

  test('makes sandbox keys unless it says otherwise, and never live ones', async () => {
    expect((await api.get(ownKey.path)).body.data.environment).toBe('sandbox');
    const before = await rows.snapshot();
    const answer = await sandbox.post('/v1/api-keys', { environment: 'live' });
    expect([answer.status, answer.body.code]).toEqual([403, 'wrong_environment']);
    expect(answer.headers.get('X-Environment')).toBe('SANDBOX');
    expect(await rows.snapshot()).toEqual(before);
  });

  test('lists sandbox keys only, and the live caller all', async () => {
    expect(await listed('/v1/api-keys')).toEqual([ownKey.id, sandboxKey.id]);
    expect(await listed('/v1/api-keys?environment=live')).toEqual([]);
    expect(await listed('/v1/api-keys', api)).toContain(liveKey.id);
  });

  test('finds no live key, whatever it wants to do to it', async () => {
    const before = await rows.snapshot();
    for (const [method, suffix, body] of [
      ['GET', '', undefined],
      ['PATCH', '', { name: 'x' }],
      ['DELETE', '', undefined],
      ['POST', '/disable', undefined],
      ['POST', '/enable', undefined],
      ['POST', '/revoke', undefined],
    ] as const) {
      const answer = await sandbox.request(method, liveKey.path + suffix, { body });
      expect([method, suffix, answer.status, answer.body.code]).toEqual([method, suffix, 404, 'not_found']);
    }
    expect(await rows.snapshot()).toEqual(before);
  });

  test('finds no live issuer and nothing below one, its sandbox keys included', async () => {
    const organization = await api.create(`${livePath}/organizations`, { name: 'x' });
    const key = await createKey(api, `${livePath}/api-keys`, { environment: 'sandbox' });
    const before = await rows.snapshot();
    for (const path of [
      livePath,
      `${livePath}/key-profile`,
      `${livePath}/organizations`,
      `${livePath}/organizations/${organization.id}`,
      `${livePath}/api-keys`,
      `${livePath}/organizations/${organization.id}/api-keys`,
      key.path,
    ]) {
      expect([path, (await sandbox.get(path)).status]).toEqual([path, 404]);
    }
    const creations = [`${livePath}/organizations`, `${livePath}/api-keys`, `${livePath}/sandbox-issuer`];
    for (const path of creations) {
      const body = path.endsWith('organizations') ? { name: 'x' } : undefined;
      expect([path, (await sandbox.post(path, body)).status]).toEqual([path, 404]);
    }
    expect(await rows.snapshot()).toEqual(before);
  });

  test('does as it likes in a sandbox issuer', async () => {
    const organization = await sandbox.create(`${benchPath}/organizations`, { name: 'x' });
    const path = `${benchPath}/organizations/${organization.id}`;
    const key = await createKey(sandbox, `${path}/api-keys`);
    for (const answer of [
      await sandbox.get(key.path),
      await sandbox.patch(path, { name: 'y' }),
      await sandbox.post(`${key.path}/disable`),
      await sandbox.put(`${benchPath}/key-profile`, {}),
      await sandbox.post(`${benchPath}/suspend`),
      await sandbox.post(`${benchPath}/activate`),
      await sandbox.delete(path),
    ])
      expect([200, 204]).toContain(answer.status);
  });

  test('sees what happened in sandbox and nothing else', async () => {
    const seen = (await sandbox.get('/v1/events?limit=100')).body.data;
    expect(seen.length).toBeGreaterThan(3);
    for (const event of seen) expect(event.environment).toBe('sandbox');
    const all = (await api.get('/v1/events?limit=100')).body.data;
    expect(
      all.filter(({ environment }: { environment: string }) => environment === 'live').length,
    ).toBeGreaterThan(3);
  });
});

test('a sandbox key of a live issuer manages nothing of it', async () => {
  const scopes = [...permissionsOfAccount({ isOperator: false })];
  const key = await createKey(api, `${livePath}/api-keys`, {
    environment: 'sandbox',
    restrictions: { scopes },
  });
  const caller = api.as(key);
  const before = await rows.snapshot();
  for (const answer of [
    await caller.get(livePath),
    await caller.get(key.path),
    await caller.get(`${livePath}/organizations`),
    await caller.post(`${livePath}/organizations`, { name: 'x' }),
    await caller.post(`${livePath}/api-keys`),
    await caller.put(`${livePath}/key-profile`, {}),
    await caller.post(`${livePath}/suspend`),
  ])
    expect([answer.status, answer.headers.get('X-Environment')]).toEqual([404, 'SANDBOX']);
  expect(await rows.snapshot()).toEqual(before);
});
