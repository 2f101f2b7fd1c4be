import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer, withScopes } from '../../test/harness/customer.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { createKey, succeeded } from '../../test/harness/test-issuer.ts';
import { findKeyProfile } from './key-profile-store.ts';
import { presets } from './presets.ts';

const server = await startTestServer();
afterAll(() => server.close());
const { api, id: accountId } = await createCustomer(server);
const { id } = await api.create('/v1/issuers', { name: 'x' });
const path = `/v1/issuers/${id}/key-profile`;

describe('200', () => {
  test('answers the whole profile, every member resolved', async () => {
    const answer = await api.get(path);
    expect([answer.status, answer.body]).toEqual([200, { data: presets.standard }]);
    const own = await withScopes(api, ['gatelodge.key-profiles:read'], `/v1/issuers/${id}/api-keys`);
    expect((await own.get(path)).body).toEqual(answer.body);
  });

  test('has a version of its own, which the issuer’s does not move', async () => {
    const etag = (await api.get(path)).headers.get('ETag');
    succeeded(await api.patch(`/v1/issuers/${id}`, { name: 'y' }));
    expect((await api.get(path)).headers.get('ETag')).toBe(etag);
    succeeded(await api.put(path, {}));
    expect((await api.get(path)).headers.get('ETag')).not.toBe(etag);
  });
});

describe('404', () => {
  test('where the issuer is deleted between the look at it and the look at its profile', async () => {
    const gone = 'i_0000000000000000000000000';
    const { database } = server.running.services;
    await expect(
      database.withAccount(accountId, (tx) => findKeyProfile(tx, accountId, gone)),
    ).rejects.toThrow(expect.objectContaining({ code: 'not_found' }));
  });

  test('under a live issuer for a sandbox key', async () => {
    const sandbox = api.as(await createKey(api, '/v1/api-keys', { environment: 'sandbox' }));
    expect((await sandbox.get(path)).status).toBe(404);
  });
});
