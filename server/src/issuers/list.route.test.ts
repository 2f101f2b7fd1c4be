import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { createKey, succeeded } from '../../test/harness/test-issuer.ts';

// What all lists have in common is tested in http/listing.test.ts.

const server = await startTestServer();
afterAll(() => server.close());
const { api } = await createCustomer(server);

const live = await api.create('/v1/issuers', { name: 'live one' });
const suspended = await api.create('/v1/issuers', { name: 'suspended one' });
await api.create('/v1/plans', { name: 'gold' });
const sandboxed = await api.create('/v1/issuers', { name: 'sandbox one', environment: 'sandbox' });
succeeded(await api.patch(`/v1/issuers/${live.id}`, { plan: 'gold' }));
succeeded(await api.post(`/v1/issuers/${suspended.id}/suspend`));

const listed = async (query: string, as = api) =>
  succeeded(await as.get(`/v1/issuers?${query}`)).body.data.map(({ id }: { id: string }) => id);

describe('200', () => {
  test('lists the issuers of the account and of no other, each as it is read', async () => {
    const stranger = await createCustomer(server);
    await stranger.api.create('/v1/issuers', { name: 'theirs' });
    expect(await listed('')).toEqual([sandboxed.id, suspended.id, live.id]);
    const last = (await api.get('/v1/issuers')).body.data.at(-1);
    expect(last).toEqual((await api.get(`/v1/issuers/${live.id}`)).body.data);
  });

  test('filters by environment, status, plan and a part of the name, also all at once', async () => {
    expect(await listed('environment=sandbox')).toEqual([sandboxed.id]);
    expect(await listed('environment=live')).toEqual([suspended.id, live.id]);
    expect(await listed('status=suspended')).toEqual([suspended.id]);
    expect(await listed('status=active')).toEqual([sandboxed.id, live.id]);
    expect(await listed('search=one&status=active&environment=live')).toEqual([live.id]);
    expect(await listed('plan=gold')).toEqual([live.id]);
    expect(await listed('plan=nothing')).toEqual([]);
    expect(await listed('search=nothing')).toEqual([]);
  });

  test('shows a sandbox key the sandbox issuers only, whatever it asks for', async () => {
    const sandbox = api.as(await createKey(api, '/v1/api-keys', { environment: 'sandbox' }));
    expect(await listed('', sandbox)).toEqual([sandboxed.id]);
    expect(await listed('environment=live', sandbox)).toEqual([]);
  });
});

describe('422', () => {
  test.each(['environment=test', 'status=gone', 'plan=', 'name=x'])('for the filter %s', async (query) => {
    const answer = await api.get(`/v1/issuers?${query}`);
    expect([answer.status, answer.body.code]).toEqual([422, 'invalid_request']);
  });
});
