import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer, withScopes } from '../../test/harness/customer.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { createKey } from '../../test/harness/test-issuer.ts';

const server = await startTestServer();
afterAll(() => server.close());
const { api } = await createCustomer(server);
const live = await api.create('/v1/issuers', { name: 'live' });

describe('200', () => {
  test('answers the issuer, to a key of its own too', async () => {
    const answer = await api.get(`/v1/issuers/${live.id}`);
    expect([answer.status, answer.body]).toEqual([200, { data: live }]);
    const own = await withScopes(api, ['gatelodge.issuers:read'], `/v1/issuers/${live.id}/api-keys`);
    expect((await own.get(`/v1/issuers/${live.id}`)).body).toEqual({ data: live });
  });

  test('names the twin of a live issuer, and of a twin the issuer', async () => {
    const twin = await api.create(`/v1/issuers/${live.id}/sandbox-issuer`, undefined);
    expect((await api.get(`/v1/issuers/${live.id}`)).body.data.sandbox_issuer_id).toBe(twin.id);
    expect((await api.get(`/v1/issuers/${twin.id}`)).body.data.sandbox_of).toBe(live.id);
  });
});

describe('404', () => {
  test('a live issuer is not there for a sandbox key', async () => {
    const sandbox = api.as(await createKey(api, '/v1/api-keys', { environment: 'sandbox' }));
    const headers = { 'X-Request-Id': 'same' };
    const answer = await sandbox.get(`/v1/issuers/${live.id}`, headers);
    const unknown = await sandbox.get(`/v1/issuers/${live.id.replace(/.{4}$/, '0000')}`, headers);
    expect([answer.status, answer.text]).toEqual([404, unknown.text]);
  });
});
