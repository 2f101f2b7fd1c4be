import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer, withScopes } from '../../test/harness/customer.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { createKey, succeeded } from '../../test/harness/test-issuer.ts';

// What all lists have in common is tested in http/listing.test.ts.

const server = await startTestServer();
afterAll(() => server.close());
const { api } = await createCustomer(server);
const issuer = await api.create('/v1/issuers', { name: 'x' });
const other = await api.create('/v1/issuers', { name: 'other' });
const path = `/v1/issuers/${issuer.id}/organizations`;

await api.create('/v1/plans', { name: 'gold' });
const one = await api.create(path, { name: 'one', external_id: 'tenant_1' });
const two = await api.create(path, { name: 'two', external_id: 'tenant_2', plan: 'gold' });
const bare = await api.create(path, { name: 'bare' });
await api.create(`/v1/issuers/${other.id}/organizations`, { name: 'one', external_id: 'tenant_1' });
succeeded(await api.post(`${path}/${two.id}/suspend`));

const listed = async (query: string) =>
  succeeded(await api.get(`${path}?${query}`)).body.data.map(({ id }: { id: string }) => id);

describe('200', () => {
  test('lists the organizations of the issuer and of no other, each as it is read', async () => {
    expect(await listed('')).toEqual([bare.id, two.id, one.id]);
    expect((await api.get(path)).body.data.at(-1)).toEqual((await api.get(`${path}/${one.id}`)).body.data);
    const own = await withScopes(api, ['gatelodge.organizations:read'], `/v1/issuers/${issuer.id}/api-keys`);
    expect((await own.get(path)).body.data.length).toBe(3);
  });

  test('filters by status, external id, plan and a part of the name, also all at once', async () => {
    expect(await listed('external_id=tenant_1')).toEqual([one.id]);
    expect(await listed('external_id=TENANT_1')).toEqual([]);
    expect(await listed('external_id=tenant')).toEqual([]);
    expect(await listed('external_id=%25')).toEqual([]);
    expect(await listed('status=suspended')).toEqual([two.id]);
    expect(await listed('status=active')).toEqual([bare.id, one.id]);
    expect(await listed('plan=gold')).toEqual([two.id]);
    expect(await listed('plan=gold&status=active')).toEqual([]);
    expect(await listed('status=active&external_id=tenant_2')).toEqual([]);
    expect(await listed('search=O&status=suspended')).toEqual([two.id]);
  });
});

describe('404', () => {
  test('under a live issuer for a sandbox key', async () => {
    const sandbox = api.as(await createKey(api, '/v1/api-keys', { environment: 'sandbox' }));
    expect((await sandbox.get(path)).status).toBe(404);
  });
});

describe('422', () => {
  test.each(['status=gone', 'external_id=', `external_id=${'x'.repeat(129)}`, 'plan='])(
    'for the filter %s',
    async (query) => {
      expect((await api.get(`${path}?${query}`)).status).toBe(422);
    },
  );
});
