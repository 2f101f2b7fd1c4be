import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer, withScopes } from '../../test/harness/customer.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { grantSupport, readIn, revokeSupport } from '../../test/harness/support.ts';
import { createKey } from '../../test/harness/test-issuer.ts';

const server = await startTestServer();
afterAll(() => server.close());
const { api, id: accountId } = await createCustomer(server);
const { api: operator } = server.operator;
await api.create('/v1/plans', { name: 'gold' });

describe('200', () => {
  test('for a key that may read plans and nothing else', async () => {
    const reader = await withScopes(api, ['gatelodge.plans:read']);
    const answer = await reader.get('/v1/plans/gold');
    expect([answer.status, answer.body.data.name, answer.headers.get('ETag')]).toEqual([200, 'gold', '"1"']);
    expect((await reader.get('/v1/account')).status).toBe(403);
  });

  test('the operator has the plans that accounts are on from the first start', async () => {
    const read = async (name: string) => (await operator.get(`/v1/plans/${name}`)).body.data;
    const limits = (hour: number, day: number) => [
      { name: 'hour', limit: hour, window: 'hour' },
      { name: 'day', limit: day, window: 'day' },
    ];
    expect(await read('default')).toMatchObject({
      limits: { live: limits(1000, 10_000), sandbox: limits(100, 1000) },
      included: { live: null, sandbox: null },
    });
    expect(await read('unlimited')).toMatchObject({ limits: { live: [], sandbox: limits(1000, 10_000) } });
  });

  test('the operator’s support reads it by a grant of the account, and not without one', async () => {
    const ask = () => operator.get('/v1/plans/gold', { 'X-Gatelodge-Account': accountId });
    expect((await ask()).status).toBe(404);
    const grant = await grantSupport(api);
    expect((await ask()).body.data.name).toBe('gold');
    expect((await readIn(operator, accountId)).status).toBe(200);
    await revokeSupport(api, grant);
    expect((await ask()).status).toBe(404);
  });
});

describe('403', () => {
  test('for a sandbox key: it is live traffic that plans limit', async () => {
    const sandbox = api.as(await createKey(api, '/v1/api-keys', { environment: 'sandbox' }));
    const answer = await sandbox.get('/v1/plans/gold');
    expect([answer.status, answer.body.code]).toEqual([403, 'wrong_environment']);
  });

  test('for a key of an issuer, whatever it may do', async () => {
    const { id } = await api.create('/v1/issuers', { name: 'x' });
    const own = await withScopes(api, ['gatelodge.plans:read'], `/v1/issuers/${id}/api-keys`);
    const answer = await own.get('/v1/plans/gold');
    expect([answer.status, answer.body.code]).toEqual([403, 'permission_denied']);
  });
});

// The attack: a customer reads what the operator sells to others, or what another customer’s tenants are held to.
test('404 for the plans of others, the operator’s included, as for one that does not exist', async () => {
  const other = await createCustomer(server);
  const headers = { 'X-Request-Id': 'the-same' };
  const missing = await other.api.get('/v1/plans/nothing', headers);
  for (const name of ['gold', 'default', 'unlimited', '-', 'a%2Fb', 'x'.repeat(64)]) {
    const answer = await other.api.get(`/v1/plans/${name}`, headers);
    expect([name, answer.status, answer.text]).toEqual([name, 404, missing.text]);
  }
});
