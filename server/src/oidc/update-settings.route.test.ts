import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { createKey, succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';

const server = await startTestServer();
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api, key } = await createCustomer(server);
const create = async () => `${(await TestIssuer.create(server, {}, {}, api)).path}/oidc-settings`;
const defaults = {
  device_flow: false,
  dpop: false,
  registration: 'off',
  registration_quota: 100,
  registration_scopes: [],
  resources: [],
  login_seconds: 1_209_600,
  organization_picker: true,
};

describe('200', () => {
  test('an issuer that has set nothing answers the defaults, with an ETag', async () => {
    const answer = await api.get(await create());
    expect([answer.status, answer.body.data, answer.headers.get('ETag')]).toEqual([200, defaults, '"0"']);
  });

  test('a patch sets what it names, with one event, and null sets it back', async () => {
    const path = await create();
    const { result: first, events } = await rows.eventsOf(() =>
      api.patch(path, { dpop: true, login_seconds: 3_600 }),
    );
    expect(first.body.data).toEqual({ ...defaults, dpop: true, login_seconds: 3_600 });
    expect(events).toMatchObject([
      { type: 'oidc-settings.updated', actor: { id: key.id }, data: { changed: ['dpop', 'login_seconds'] } },
    ]);
    const second = await api.patch(path, { dpop: null });
    expect(second.body.data).toEqual({ ...defaults, login_seconds: 3_600 });
    const { result: same, events: none } = await rows.eventsOf(() =>
      api.patch(path, { login_seconds: 3_600 }),
    );
    expect([same.headers.get('ETag'), none]).toEqual([second.headers.get('ETag'), []]);
  });

  test('what a later build has stored is passed over', async () => {
    const path = await create();
    succeeded(await api.patch(path, { dpop: true }));
    await rows.query(
      `update oidc_settings set settings = settings || '{"registration": "maybe", "x": 1}' where issuer_id = $1`,
      [path.split('/')[3]],
    );
    expect((await api.get(path)).body.data).toEqual({ ...defaults, dpop: true });
  });
});

test.each([
  [{ registration: 'yes' }, 'registration'],
  [{ registration_quota: 0 }, 'registration_quota'],
  [{ registration_scopes: ['a b'] }, 'registration_scopes[0]'],
  [{ registration_scopes: ['gatelodge.admin'] }, 'registration_scopes[0]'],
  [{ login_seconds: 10 }, 'login_seconds'],
  [{ resources: ['/mcp'] }, 'resources[0]'],
  [{ resources: ['https://mcp.example/#a'] }, 'resources[0]'],
  [{ device_flow: 'on' }, 'device_flow'],
  [{ par: true }, 'par'],
])('422: %j', async (body, field) => {
  const answer = await api.patch(await create(), body);
  expect([answer.status, answer.body.errors[0].path]).toEqual([422, field]);
});

test('412 where the settings have changed since', async () => {
  const path = await create();
  expect((await api.patch(path, { dpop: true }, { 'If-Match': '"7"' })).status).toBe(412);
});

test('403 without the permission, 404 for another tenant’s issuer', async () => {
  const path = await create();
  const reader = await createKey(api, '/v1/api-keys', {
    restrictions: { scopes: ['gatelodge.login-settings:read'] },
  });
  expect((await api.as(reader).patch(path, { dpop: true })).status).toBe(403);
  expect((await api.as(reader).get(path)).status).toBe(200);
  const { api: otherApi } = await createCustomer(server);
  expect((await otherApi.get(path)).status).toBe(404);
  expect((await otherApi.patch(path, { dpop: true })).status).toBe(404);
});
