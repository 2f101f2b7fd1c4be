import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer, withScopes } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { createKey } from '../../test/harness/test-issuer.ts';
import { permissionsOfAccount } from '../scopes/scope.ts';
import { apiKeyLevels } from './fixtures/levels.ts';

// The attack, all over: a key that may create keys makes itself one that may more.

const server = await startTestServer();
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api } = await createCustomer(server);
const levels = await apiKeyLevels(api);
const limited = await withScopes(api, ['gatelodge.api-keys:write', 'gatelodge.issuers:read']);

async function refused(ask: () => Promise<{ status: number; body: { code: string; detail: string } }>) {
  const before = await rows.snapshot();
  const answer = await ask();
  expect([answer.status, answer.body.code]).toEqual([403, 'permission_denied']);
  expect(await rows.snapshot()).toEqual(before);
  return answer.body.detail;
}

describe.each(levels)('whoever makes a key of the $level', ({ level, path }) => {
  test('grants what it holds, and every word of the account’s own', async () => {
    const scopes = ['gatelodge.api-keys:write', 'gatelodge.issuers:read', 'invoices:read', 'gate.lodge:x'];
    const answer = await limited.post(path, { restrictions: { scopes } });
    expect([answer.status, answer.body.data?.restrictions.scopes]).toEqual([201, scopes]);
  });

  test('grants nothing beyond, and is told what', async () => {
    const scopes = ['gatelodge.issuers:write', 'keys:verify'];
    const detail = await refused(() =>
      limited.post(path, { restrictions: { scopes: ['gatelodge.issuers:read', ...scopes] } }),
    );
    for (const scope of scopes) expect(detail).toContain(scope);
    expect(detail).not.toContain('gatelodge.issuers:read');
  });

  test('leaving the scopes out grants no more either', async () => {
    if (level === 'account') await refused(() => limited.post(path, {}));
    else expect((await limited.post(path, {})).body.data.restrictions.scopes).toEqual([]);
  });

  test('cannot raise a key afterwards, whichever way it is asked', async () => {
    const key = await createKey(api, path, { restrictions: { scopes: ['gatelodge.issuers:read'] } });
    const raised = ['gatelodge.issuers:read', 'gatelodge.issuers:write'];
    await refused(() => limited.patch(key.path, { restrictions: { scopes: raised } }));
    if (level === 'account') {
      // Taken away, the list of an account's key means every permission.
      await refused(() => limited.patch(key.path, { restrictions: { scopes: null } }));
      await refused(() => limited.patch(key.path, { restrictions: null }));
    } else {
      expect((await limited.patch(key.path, { restrictions: null })).body.data.restrictions.scopes).toEqual(
        [],
      );
    }
  });

  test('may change what else there is of a key that holds more, and take from it', async () => {
    const scopes = ['gatelodge.issuers:write', 'gatelodge.events:read'];
    const key = await createKey(api, path, { restrictions: { scopes } });
    expect((await limited.patch(key.path, { name: 'renamed' })).status).toBe(200);
    const narrowed = await limited.patch(key.path, { restrictions: { scopes: scopes.slice(0, 1) } });
    expect([narrowed.status, narrowed.body.data.restrictions.scopes]).toEqual([200, scopes.slice(0, 1)]);
    await refused(() => limited.patch(key.path, { restrictions: { scopes } }));
  });

  test('cannot raise itself', async () => {
    const own = await createKey(api, path, { restrictions: { scopes: ['gatelodge.api-keys:write'] } });
    await refused(() =>
      api.as(own).patch(own.path, {
        restrictions: { scopes: ['gatelodge.api-keys:write', 'gatelodge.organizations:write'] },
      }),
    );
  });
});

describe.each(levels)('a key of the $level that holds more than its caller', ({ path }) => {
  // The attack: a key that was put out of use, or tied to one place, is put back by whoever may write keys and holds
  // its secret, or has somebody who does.
  const scopes = ['gatelodge.issuers:write', 'invoices:read'];
  const tight = {
    scopes,
    origins: ['https://a.example'],
    browsers: 'deny',
    require_origin: true,
    ips: ['192.0.2.0/24'],
  };
  const expires_at = '2027-01-01T00:00:00.000Z';

  test('is not enabled by it, but disabled and revoked', async () => {
    const key = await createKey(api, path, { restrictions: { scopes } });
    expect((await limited.post(`${key.path}/disable`)).status).toBe(200);
    expect(await refused(() => limited.post(`${key.path}/enable`))).toContain('gatelodge.issuers:write');
    expect((await api.post(`${key.path}/enable`)).status).toBe(200);
    expect((await limited.post(`${key.path}/enable`)).status).toBe(200);
    expect((await limited.post(`${key.path}/revoke`)).status).toBe(200);
  });

  test.each([
    { expires_at: null },
    { expires_at: '2027-01-01T00:00:00.001Z' },
    { restrictions: { origins: null } },
    { restrictions: { origins: ['https://a.example', 'https://b.example'] } },
    { restrictions: { browsers: 'allow' } },
    { restrictions: { require_origin: false } },
    { restrictions: { ips: [] } },
    { restrictions: { ips: ['192.0.2.0/23'] } },
    { restrictions: { scopes: [...scopes, 'invoices:write'] } },
  ])('is not loosened by it: %j', async (patch) => {
    const key = await createKey(api, path, { restrictions: tight, expires_at });
    await refused(() => limited.patch(key.path, patch));
    expect((await api.patch(key.path, patch)).status).toBe(200);
  });

  test.each([
    { name: 'renamed', description: null, metadata: { a: 1 } },
    { expires_at: '2026-12-31T23:59:59.999Z' },
    { restrictions: { ips: ['192.0.2.128/25', '192.0.2.1/32'] } },
    { restrictions: { scopes: [] } },
    { expires_at, restrictions: tight },
  ])('is renamed and narrowed by it: %j', async (patch) => {
    const key = await createKey(api, path, { restrictions: tight, expires_at });
    expect((await limited.patch(key.path, patch)).status).toBe(200);
  });

  test('does not loosen itself either', async () => {
    // The attack: whoever has stolen a key that works from one network only lets it work from theirs.
    const own = ['gatelodge.api-keys:write', ...scopes];
    const restrictions = { scopes: own, ips: ['127.0.0.0/8', '192.0.2.0/24'] };
    const key = await createKey(api, path, { restrictions, expires_at });
    const itself = api.as(key);
    for (const patch of [
      { expires_at: null },
      { restrictions: { ips: null } },
      { restrictions: { scopes: [...own, 'invoices:write'] } },
    ])
      await refused(() => itself.patch(key.path, patch));
    expect((await itself.patch(key.path, { restrictions: { ips: ['127.0.0.0/8'] } })).status).toBe(200);
  });
});

test('a key with every permission is enabled by one with every permission only', async () => {
  // The attack: as above; the key without a list of scopes is the one worth having.
  const key = await createKey(api, '/v1/api-keys');
  expect((await api.post(`${key.path}/disable`)).status).toBe(200);
  await refused(() => limited.post(`${key.path}/enable`));
  const everything = await withScopes(api, [...permissionsOfAccount({ isOperator: false })]);
  await refused(() => everything.post(`${key.path}/enable`));
  expect((await api.post(`${key.path}/enable`)).status).toBe(200);
});

test('a key with every permission of its account grants each of them, and none of the operator’s', async () => {
  const all = [...permissionsOfAccount({ isOperator: false })];
  expect((await api.post('/v1/api-keys', { restrictions: { scopes: all } })).status).toBe(201);
  expect((await api.post('/v1/api-keys')).body.data.restrictions.scopes).toBeNull();
  for (const scope of ['gatelodge.accounts:read', 'gatelodge.accounts:write'])
    await refused(() => api.post('/v1/api-keys', { restrictions: { scopes: [scope] } }));
});

test('a key with every permission spelled out is not one without a list: it cannot make one', async () => {
  const all = [...permissionsOfAccount({ isOperator: false })];
  const listed = await withScopes(api, all);
  await refused(() => listed.post('/v1/api-keys'));
  expect((await listed.post('/v1/api-keys', { restrictions: { scopes: all } })).status).toBe(201);
});

test('the operator’s key grants the operator’s permissions, its sandbox key does not', async () => {
  const { api: operator } = server.operator;
  const scopes = ['gatelodge.accounts:read'];
  const granted = await withScopes(operator, scopes);
  expect((await granted.get('/v1/accounts')).status).toBe(200);
  const sandbox = operator.as(await createKey(operator, '/v1/api-keys', { environment: 'sandbox' }));
  const detail = await refused(() => sandbox.post('/v1/api-keys', { restrictions: { scopes } }));
  expect(detail).toContain('gatelodge.accounts:read');
});

test('whoever may only read keys makes none', async () => {
  const reader = await withScopes(api, ['gatelodge.api-keys:read']);
  const key = await createKey(api, '/v1/api-keys');
  expect((await reader.get(key.path)).status).toBe(200);
  await refused(() => reader.post('/v1/api-keys', { restrictions: { scopes: [] } }));
  for (const verb of ['disable', 'enable', 'revoke']) await refused(() => reader.post(`${key.path}/${verb}`));
  await refused(() => reader.patch(key.path, { name: 'x' }));
  await refused(() => reader.delete(key.path));
});

// The attack: a key that works for an hour, or from one network only, is stolen; the thief has it make one that works
// for ever and from anywhere.
describe('a key that is bound in time or place', () => {
  const scopes = ['gatelodge.api-keys:write'];
  const inAnHour = new Date(Date.now() + 3_600_000).toISOString();
  const atHome = ['127.0.0.0/8', '::1/128'];

  test('passes on no permission beyond its own end', async () => {
    const bound = api.as(
      await createKey(api, '/v1/api-keys', { restrictions: { scopes }, expires_at: inAnHour }),
    );
    const detail = await refused(() => bound.post('/v1/api-keys', { restrictions: { scopes } }));
    expect(detail).toContain(inAnHour);
    const later = new Date(Date.now() + 7_200_000).toISOString();
    await refused(() => bound.post('/v1/api-keys', { restrictions: { scopes }, expires_at: later }));
    const within = await bound.post('/v1/api-keys', { restrictions: { scopes }, expires_at: inAnHour });
    expect(within.status).toBe(201);
    await refused(() => bound.patch(`/v1/api-keys/${within.body.data.id}`, { expires_at: null }));
  });

  test('passes on no permission to other addresses than its own', async () => {
    const bound = api.as(await createKey(api, '/v1/api-keys', { restrictions: { scopes, ips: atHome } }));
    await refused(() => bound.post('/v1/api-keys', { restrictions: { scopes } }));
    await refused(() => bound.post('/v1/api-keys', { restrictions: { scopes, ips: ['0.0.0.0/0'] } }));
    const within = await bound.post('/v1/api-keys', { restrictions: { scopes, ips: ['127.0.0.1'] } });
    expect(within.status).toBe(201);
  });

  test('neither rotates nor revives one that may act beyond', async () => {
    const free = await createKey(api, '/v1/api-keys', { restrictions: { scopes } });
    const bound = api.as(await createKey(api, '/v1/api-keys', { restrictions: { scopes, ips: atHome } }));
    await refused(() => bound.post(`${free.path}/rotate`, {}));
    expect((await api.post(`${free.path}/disable`)).status).toBe(200);
    await refused(() => bound.post(`${free.path}/enable`));
  });

  test('makes keys for tenants as ever: the account’s own words are not bound', async () => {
    const restrictions = { scopes, ips: atHome };
    const bound = api.as(await createKey(api, '/v1/api-keys', { restrictions, expires_at: inAnHour }));
    const { path } = levels.find(({ level }) => level === 'organization')!;
    const made = await bound.post(path, { restrictions: { scopes: ['invoices:read'] } });
    expect(made.status).toBe(201);
  });

  test('rotates itself', async () => {
    const own = await createKey(api, '/v1/api-keys', {
      restrictions: { scopes, ips: atHome },
      expires_at: inAnHour,
    });
    expect((await api.as(own).post(`${own.path}/rotate`, {})).status).toBe(201);
  });
});
