import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer, withScopes } from '../../test/harness/customer.ts';
import { startTestServer } from '../../test/harness/server.ts';

const server = await startTestServer();
afterAll(() => server.close());
const { api } = await createCustomer(server);
const issuer = await api.create('/v1/issuers', { name: 'x' });
const path = `/v1/issuers/${issuer.id}/organizations`;
const organization = await api.create(path, { name: 'Tenant' });

describe('200', () => {
  test('answers the organization to keys of the account, the issuer and itself', async () => {
    const levels = ['/v1', `/v1/issuers/${issuer.id}`, `${path}/${organization.id}`];
    for (const level of levels) {
      const caller = await withScopes(api, ['gatelodge.organizations:read'], `${level}/api-keys`);
      const answer = await caller.get(`${path}/${organization.id}`);
      expect([level, answer.status, answer.body]).toEqual([level, 200, { data: organization }]);
      expect(answer.headers.get('ETag')).toBe('"1"');
    }
  });
});

describe('404', () => {
  test('for an organization’s key that asks for its neighbour', async () => {
    const neighbour = await api.create(path, { name: 'Neighbour' });
    const own = `${path}/${organization.id}/api-keys`;
    const caller = await withScopes(api, ['gatelodge.organizations:read'], own);
    expect((await caller.get(`${path}/${neighbour.id}`)).status).toBe(404);
  });

  test('under another issuer than its own', async () => {
    const other = await api.create('/v1/issuers', { name: 'other' });
    expect((await api.get(`/v1/issuers/${other.id}/organizations/${organization.id}`)).status).toBe(404);
  });
});
