import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { startTestServer } from '../../test/harness/server.ts';

const server = await startTestServer();
afterAll(() => server.close());
const { api, accountId } = server.operator;

describe('200', () => {
  test('answers a customer’s account without what is in it', async () => {
    const { id, api: customer } = await createCustomer(server);
    await customer.create('/v1/issuers', { name: 'their own affair' });
    const answer = await api.get(`/v1/accounts/${id}`);
    expect(answer.status).toBe(200);
    expect(Object.keys(answer.body.data).sort()).toEqual([
      'created_at',
      'deletion',
      'id',
      'name',
      'operator',
      'plan',
      'status',
      'updated_at',
    ]);
    expect(answer.headers.get('ETag')).toBe('"1"');
  });

  test('answers the operator’s own', async () => {
    expect((await api.get(`/v1/accounts/${accountId}`)).body.data).toMatchObject({
      id: accountId,
      operator: true,
      plan: 'unlimited',
      status: 'active',
    });
  });
});
