import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { createKey, succeeded } from '../../test/harness/test-issuer.ts';
import { once } from './idempotency.ts';

const clock = new TestClock();
const server = await startTestServer({ clock });
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api } = await createCustomer(server);

let made = 0;
const freshKey = () => `key-${++made}`;
const under = (key: string) => ({ 'Idempotency-Key': key });

describe('a replay is authorized anew', () => {
  test('a permission lost since is missed by the replay too', async () => {
    // The attack: keeping an Idempotency-Key to be shown a secret again after one's rights were taken away.
    const key = await createKey(api, '/v1/api-keys', {
      restrictions: { scopes: ['gatelodge.api-keys:write'] },
    });
    const caller = api.as(key);
    const headers = under(freshKey());
    const body = { restrictions: { scopes: [] } };
    const first = await caller.post('/v1/api-keys', body, headers);
    expect(first.status).toBe(201);

    succeeded(await api.patch(key.path, { restrictions: { scopes: ['gatelodge.api-keys:read'] } }));
    const lost = await caller.post('/v1/api-keys', body, headers);
    expect([lost.status, lost.body.code]).toEqual([403, 'permission_denied']);
    expect(lost.text).not.toContain(first.body.data.secret_plain);

    succeeded(await api.post(`${key.path}/revoke`));
    const dead = await caller.post('/v1/api-keys', body, headers);
    expect([dead.status, dead.body.code]).toEqual([401, 'revoked_key']);
  });

  test('so is one by which the first answer told more than that the thing was made', async () => {
    // The attack: keeping an Idempotency-Key to be told a user's names again once reading members was taken away.
    const issuer = await api.create('/v1/issuers', { name: 'x' });
    const path = `/v1/issuers/${issuer.id}`;
    const organization = await api.create(`${path}/organizations`, { name: 'x' });
    const user = await api.create(`${path}/users`, { username: 'told@example.com' });
    const scopes = ['gatelodge.members:read', 'gatelodge.members:write', 'gatelodge.groups:read'];
    const key = await createKey(api, '/v1/api-keys', { restrictions: { scopes } });
    const headers = under(freshKey());
    const body = { member_id: user.id, scopes: ['a:b'] };
    const ask = () => api.as(key).post(`${path}/organizations/${organization.id}/members`, body, headers);
    const first = await ask();
    expect(first.body.data.user.username).toBe('told@example.com');
    // More is no less, and neither is another order.
    await api.patch(key.path, { restrictions: { scopes: [...scopes.toReversed(), 'gatelodge.users:read'] } });
    expect((await ask()).text).toBe(first.text);
    succeeded(await api.patch(key.path, { restrictions: { scopes: ['gatelodge.members:write'] } }));
    const lost = await ask();
    expect([lost.status, lost.body.code]).toEqual([403, 'permission_denied']);
    expect(lost.text).not.toContain('told@');
  });

  test('and so is a scope that the caller may no longer grant', async () => {
    // The attack: as above, with the right to create keys kept but what the key may do lost.
    const scopes = ['gatelodge.api-keys:write', 'gatelodge.issuers:write'];
    const key = await createKey(api, '/v1/api-keys', { restrictions: { scopes } });
    const headers = under(freshKey());
    const body = { restrictions: { scopes: ['gatelodge.issuers:write'] } };
    const first = await api.as(key).post('/v1/api-keys', body, headers);
    expect(first.status).toBe(201);

    succeeded(await api.patch(key.path, { restrictions: { scopes: scopes.slice(0, 1) } }));
    const lost = await api.as(key).post('/v1/api-keys', body, headers);
    expect([lost.status, lost.body.code]).toEqual([403, 'permission_denied']);
    expect(lost.text).not.toContain(first.body.data.secret_plain);
  });

  test('and so is an issuer that has been deleted', async () => {
    const headers = under(freshKey());
    const { id } = await api.create('/v1/issuers', { name: 'short-lived' });
    const path = `/v1/issuers/${id}/api-keys`;
    expect((await api.post(path, {}, headers)).status).toBe(201);
    succeeded(await api.delete(`/v1/issuers/${id}`));
    expect((await api.post(path, {}, headers)).status).toBe(404);
  });

  test('also when the expiry of what was made has passed, which alone would be no reason', async () => {
    // The attack: waiting for an error that a replay is forgiven, so that a refusal is never come to; and then a key
    // whose expiry the caller may push out again.
    const scopes = ['gatelodge.api-keys:write', 'gatelodge.issuers:write'];
    const key = await createKey(api, '/v1/api-keys', { restrictions: { scopes } });
    const headers = under(freshKey());
    const expires_at = new Date(clock.nowMs() + 60_000).toISOString();
    const body = { expires_at, restrictions: { scopes: ['gatelodge.issuers:write'] } };
    const first = await api.as(key).post('/v1/api-keys', body, headers);
    expect(first.status).toBe(201);
    succeeded(await api.patch(key.path, { restrictions: { scopes: scopes.slice(0, 1) } }));
    clock.advance(120);
    const lost = await api.as(key).post('/v1/api-keys', body, headers);
    expect([lost.status, lost.body.code]).toEqual([403, 'permission_denied']);
    expect(lost.text).not.toContain(first.body.data.secret_plain);
  });

  test('and so is a scope that the issuer no longer marks publishable, whatever else is wrong by now', async () => {
    // The attack: as above, with a rule of the key instead of one of the caller.
    const { id } = await api.create('/v1/issuers', { name: 'x', publishable_scopes: ['catalog:read'] });
    const headers = under(freshKey());
    const expires_at = new Date(clock.nowMs() + 60_000).toISOString();
    const body = { kind: 'publishable', expires_at, restrictions: { scopes: ['catalog:read'] } };
    const path = `/v1/issuers/${id}/api-keys`;
    expect((await api.post(path, body, headers)).status).toBe(201);
    succeeded(await api.patch(`/v1/issuers/${id}`, { publishable_scopes: [] }));
    clock.advance(120);
    const lost = await api.post(path, body, headers);
    expect([lost.status, lost.body.code]).toEqual([422, 'invalid_request']);
  });

  test('but an expiry that has passed since is no reason to withhold the answer', async () => {
    const headers = under(freshKey());
    const body = { expires_at: new Date(server.running.services.clock.nowMs() + 60_000).toISOString() };
    const first = await api.post('/v1/api-keys', body, headers);
    clock.advance(120);
    const again = await api.post('/v1/api-keys', body, headers);
    expect([again.status, again.text]).toEqual([201, first.text]);
  });
});

test('a replay does not do what was to be done after the commit: there is no change for it to follow', async () => {
  const { accountId } = server.operator;
  const effects: string[] = [];
  const request = {
    accountId,
    idempotencyKey: freshKey(),
    presentedSecret: 'secret',
    permissions: 'all' as const,
    method: 'POST',
    path: '/v1/probes',
    body: {},
  };
  const creation = {
    create: async () => {
      effects.push('forget what nodes hold');
      return { status: 201, body: { data: effects.length } };
    },
    undo: () => {
      effects.length = 0;
    },
  };
  const ask = () =>
    server.running.services.database.withAccount(accountId, (tx) => once(tx, request, creation));
  const first = await ask();
  expect(effects).toHaveLength(1);
  effects.length = 0;
  expect((await ask()).body).toEqual(first.body);
  expect(effects).toEqual([]);
});
