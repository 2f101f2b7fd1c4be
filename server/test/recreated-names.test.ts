import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { ApiClient } from './harness/api-client.ts';
import { type Customer, createCustomer } from './harness/customer.ts';
import { startTestServer, TestClock, type TestServer } from './harness/server.ts';
import { createKey, succeeded, type TestKey } from './harness/test-issuer.ts';

/*
 * Attack: something is deleted and made anew under the same name, external id or address, and the new one comes by
 * what the old one had: keys that open it again, restrictions, a trail of events, an answer kept for a replay.
 */

let server: TestServer;
let clock: TestClock;
let customer: Customer;
let api: ApiClient;
beforeAll(async () => {
  clock = new TestClock();
  server = await startTestServer({ clock });
});
afterAll(() => server.close());
beforeEach(async () => {
  customer = await createCustomer(server);
  ({ api } = customer);
  await api.create('/v1/plans', { name: 'big' });
});

const externalId = 'tenant_abc123';

async function createIssuer(): Promise<string> {
  const { id } = await api.create('/v1/issuers', { name: 'Acme API', publishable_scopes: ['catalog:read'] });
  return `/v1/issuers/${id}`;
}

async function createOrganization(issuerPath: string): Promise<{ id: string; path: string; key: TestKey }> {
  const { id } = await api.create(`${issuerPath}/organizations`, {
    name: 'Tenant',
    external_id: externalId,
    metadata: { secret_of_the_old_one: true },
    plan: 'big',
  });
  const path = `${issuerPath}/organizations/${id}`;
  const restrictions = { scopes: ['invoices:read'] };
  return { id, path, key: await createKey(api, `${path}/api-keys`, { name: 'backend', restrictions }) };
}

const verify = async (body: Record<string, unknown>) => (await api.post('/v1/keys/verify', body)).body;

describe('an organization made anew under its external id', () => {
  test('has another id, and nothing of the old one', async () => {
    const issuer = await createIssuer();
    const old = await createOrganization(issuer);
    succeeded(await api.post(`${old.path}/suspend`));
    succeeded(await api.delete(old.path));
    const { id } = await api.create(`${issuer}/organizations`, { name: 'Tenant', external_id: externalId });
    expect(id).not.toBe(old.id);
    const { body } = await api.get(`${issuer}/organizations/${id}`);
    expect(body.data).toMatchObject({ status: 'active', metadata: {}, plan: null });
    expect((await api.get(`${issuer}/organizations/${id}/api-keys`)).body.data).toEqual([]);
  });

  test('is not opened by the old one’s key, neither by that key alone nor with the name', async () => {
    const issuer = await createIssuer();
    const old = await createOrganization(issuer);
    expect(await verify({ key: old.key.secret, tenant: externalId })).toMatchObject({ valid: true });
    succeeded(await api.delete(old.path));
    await createOrganization(issuer);
    for (const tenant of [undefined, externalId, old.id]) {
      expect(await verify({ key: old.key.secret, tenant })).toMatchObject({
        valid: false,
        code: 'NOT_FOUND',
      });
    }
    expect((await api.as(old.key).get('/v1/me')).status).toBe(401);
  });

  test('is the one that an issuer’s key acts for by that name, from the very next request on', async () => {
    const issuer = await createIssuer();
    const key = await createKey(api, `${issuer}/api-keys`);
    for (let round = 0; round < 3; round++) {
      const { id, path } = await createOrganization(issuer);
      const decided = await verify({ key: key.secret, tenant: externalId });
      expect(decided).toMatchObject({ valid: true, organization: { id, external_id: externalId } });
      succeeded(await api.delete(path));
      expect(await verify({ key: key.secret, tenant: externalId })).toMatchObject({
        code: 'TENANT_MISMATCH',
      });
    }
  });

  test('shows its own key none of the old one’s events', async () => {
    const issuer = await createIssuer();
    const old = await createOrganization(issuer);
    succeeded(await api.delete(old.path));
    const { id, path } = await createOrganization(issuer);
    const key = await createKey(api, `${path}/api-keys`, {
      restrictions: { scopes: ['gatelodge.events:read'] },
    });
    const { body } = await api.as(key).get('/v1/events');
    expect(body.data.length).toBeGreaterThan(0);
    for (const event of body.data) expect(event.organization_id).toBe(id);
    expect(JSON.stringify(body)).not.toContain(old.id);
  });

  test('has none of the old one’s members and groups, nor is it among the organizations of these', async () => {
    const issuer = await createIssuer();
    const old = await createOrganization(issuer);
    const user = await api.create(`${issuer}/users`, { username: 'member@example.com' });
    const group = await api.create(`${old.path}/groups`, { name: 'Writers', scopes: ['invoices:write'] });
    const body = { member_id: user.id, scopes: ['invoices:read'], groups: [group.id] };
    await api.create(`${old.path}/members`, body);
    succeeded(await api.delete(old.path));
    const { path } = await createOrganization(issuer);
    for (const list of [`${path}/members`, `${path}/groups`, `${issuer}/users/${user.id}/organizations`])
      expect((await api.get(list)).body.data).toEqual([]);
    expect((await api.post(`${path}/members`, body)).body.errors[0].code).toBe('unknown_group');
    const anew = await api.create(`${path}/groups`, { name: 'Writers', scopes: ['reports:read'] });
    expect((await api.get(`${path}/groups/${anew.id}/members`)).body.data).toEqual([]);
  });

  // Attack: the name wanders from one tenant to another while both live.
  test('under the name that another one has given up takes over the name alone', async () => {
    const issuer = await createIssuer();
    const old = await createOrganization(issuer);
    const key = await createKey(api, `${issuer}/api-keys`);
    expect(await verify({ key: key.secret, tenant: externalId })).toMatchObject({
      organization: { id: old.id },
    });
    succeeded(await api.patch(old.path, { external_id: null }));
    const { id } = await createOrganization(issuer);
    expect(await verify({ key: key.secret, tenant: externalId })).toMatchObject({ organization: { id } });
    expect(await verify({ key: old.key.secret, tenant: externalId })).toMatchObject({
      code: 'TENANT_MISMATCH',
    });
    expect(await verify({ key: old.key.secret, tenant: old.id })).toMatchObject({ valid: true });
  });

  test('in another issuer is another tenant', async () => {
    const [first, second] = [await createIssuer(), await createIssuer()];
    const [one, two] = [await createOrganization(first), await createOrganization(second)];
    const key = await createKey(api, `${first}/api-keys`);
    const decided = await verify({ key: key.secret, tenant: externalId });
    expect(decided.organization.id).toBe(one.id);
    expect(await verify({ key: key.secret, tenant: two.id })).toMatchObject({ code: 'TENANT_MISMATCH' });
  });
});

describe('an issuer made anew under its name', () => {
  test('has neither the keys, the organizations, the profile, the scopes nor the twin of the old one', async () => {
    const old = await createIssuer();
    succeeded(await api.put(`${old}/key-profile`, { preset: 'otp' }));
    const twin = await api.create(`${old}/sandbox-issuer`);
    const { key } = await createOrganization(old);
    succeeded(await api.delete(old));
    const { id } = await api.create('/v1/issuers', { name: 'Acme API' });
    const { body } = await api.get(`/v1/issuers/${id}`);
    expect(body.data).toMatchObject({ publishable_scopes: [], sandbox_issuer_id: null, status: 'active' });
    expect((await api.get(`/v1/issuers/${id}/key-profile`)).body.data.preset).toBe('standard');
    for (const list of ['organizations', 'api-keys'])
      expect((await api.get(`/v1/issuers/${id}/${list}`)).body.data).toEqual([]);
    expect(await verify({ key: key.secret })).toMatchObject({ code: 'NOT_FOUND' });
    const renewed = await api.create(`/v1/issuers/${id}/sandbox-issuer`);
    expect(renewed.id).not.toBe(twin.id);
    expect(renewed.name).toBe('Acme API (sandbox)');
  });
});

describe('a user made anew under its address', () => {
  test('is a member of nothing that the old one was', async () => {
    const issuer = await createIssuer();
    const { path } = await createOrganization(issuer);
    const make = () => api.create(`${issuer}/users`, { username: 'member@example.com' });
    const old = await make();
    await api.create(`${path}/members`, { member_id: old.id, scopes: ['invoices:read'] });
    succeeded(await api.delete(`${issuer}/users/${old.id}`));
    const anew = await make();
    expect(anew.id).not.toBe(old.id);
    expect((await api.get(`${path}/members`)).body.data).toEqual([]);
    expect((await api.get(`${path}/members/${old.id}`)).status).toBe(404);
    expect((await api.get(`${issuer}/users/${anew.id}/organizations`)).body.data).toEqual([]);
  });
});

describe('a key made anew under its name', () => {
  test('has another secret, and nothing of the old one’s', async () => {
    const members = { name: 'backend', metadata: { of: 'old' } };
    const restrictions = { scopes: ['invoices:read'], origins: ['https://app.example.com'] };
    const old = await createKey(api, '/v1/api-keys', { ...members, restrictions });
    succeeded(await api.delete(old.path));
    const renewed = await api.create('/v1/api-keys', { name: 'backend', restrictions: { scopes: [] } });
    expect(renewed.id).not.toBe(old.id);
    expect(renewed.secret_plain).not.toBe(old.secret);
    expect(renewed).toMatchObject({ metadata: {}, restrictions: { scopes: [], origins: [] } });
    expect(await verify({ key: old.secret })).toMatchObject({ code: 'NOT_FOUND' });
  });
});

describe('an account made anew under its name and address', () => {
  test('has nothing of the old one, and the old one’s keys open nothing', async () => {
    const issuer = await createIssuer();
    const { key } = await createOrganization(issuer);
    const query = new URLSearchParams({ name: 'Acme', force: 'true' });
    succeeded(await server.operator.api.delete(`/v1/accounts/${customer.id}?${query}`));
    const renewed = await createCustomer(server);
    expect(renewed.id).not.toBe(customer.id);
    for (const list of ['/v1/issuers', '/v1/plans', '/v1/account/support-grants'])
      expect((await renewed.api.get(list)).body.data).toEqual([]);
    const keys = (await renewed.api.get('/v1/api-keys')).body.data;
    expect(keys.map(({ id }: { id: string }) => id)).toEqual([renewed.key.id]);
    const events = (await renewed.api.get('/v1/events')).body.data;
    expect(events.map(({ type }: { type: string }) => type)).toEqual(['account.created']);
    for (const old of [customer.key, key])
      expect((await renewed.api.as(old).get('/v1/me')).status).not.toBe(200);
  });
});

describe('an answer kept for replays', () => {
  // Attack: repeat the creation of what has been deleted since, to be shown its secret as if it still opened something.
  test('outlives the object without making it live again', async () => {
    const header = { 'Idempotency-Key': 'once' };
    const first = await api.post('/v1/api-keys', { name: 'backend' }, header);
    succeeded(await api.delete(`/v1/api-keys/${first.body.data.id}`));
    const replay = await api.post('/v1/api-keys', { name: 'backend' }, header);
    expect(replay.headers.get('idempotent-replayed')).toBe('true');
    expect(await verify({ key: replay.body.data.secret_plain })).toMatchObject({ code: 'NOT_FOUND' });
    expect((await api.get(`/v1/api-keys/${first.body.data.id}`)).status).toBe(404);
  });
});
