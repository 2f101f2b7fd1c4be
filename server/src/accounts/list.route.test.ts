import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { succeeded } from '../../test/harness/test-issuer.ts';

// What all lists have in common is tested in http/listing.test.ts.

const server = await startTestServer();
afterAll(() => server.close());
const { api, accountId } = server.operator;

const active = await createCustomer(server, { name: 'active' });
const suspended = await createCustomer(server, { name: 'suspended', plan: 'unlimited' });
const planless = await createCustomer(server, { name: 'planless', plan: null });
succeeded(await api.post(`/v1/accounts/${suspended.id}/suspend`));

const listed = async (query: string) =>
  succeeded(await api.get(`/v1/accounts?${query}`)).body.data.map(({ id }: { id: string }) => id);

describe('200', () => {
  test('lists every account of the installation, the operator’s too, each as it is read', async () => {
    expect(await listed('')).toEqual([planless.id, suspended.id, active.id, accountId]);
    const [first] = (await api.get('/v1/accounts')).body.data;
    expect(first).toEqual((await api.get(`/v1/accounts/${planless.id}`)).body.data);
  });

  test('filters by status and by plan, also both', async () => {
    expect(await listed('status=suspended')).toEqual([suspended.id]);
    expect(await listed('status=active')).toEqual([planless.id, active.id, accountId]);
    expect(await listed('status=deleting')).toEqual([]);
    expect(await listed('plan=unlimited')).toEqual([suspended.id, accountId]);
    expect(await listed('plan=unlimited&status=active')).toEqual([accountId]);
    expect(await listed('plan=nothing')).toEqual([]);
    expect(await listed('search=lan&plan=default')).toEqual([]);
  });
});

describe('422', () => {
  test.each(['status=gone', 'plan=', 'operator=true', 'status=active&status=suspended'])(
    'for the filter %s',
    async (query) => {
      const answer = await api.get(`/v1/accounts?${query}`);
      expect([answer.status, answer.body.code]).toEqual([422, 'invalid_request']);
    },
  );
});
