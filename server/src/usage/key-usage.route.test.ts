import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer, withScopes } from '../../test/harness/customer.ts';
import { meter } from '../../test/harness/metered-rows.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { createKey, succeeded } from '../../test/harness/test-issuer.ts';
import { apiKeyLevels } from '../api-keys/fixtures/levels.ts';

const clock = new TestClock('2026-11-21T12:30:00.000Z');
const server = await startTestServer({ clock });
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { id: accountId, api } = await createCustomer(server);
const levels = await apiKeyLevels(api);

describe.each(levels)('the usage of a key of the $level', ({ path, issuerId, organizationId }) => {
  test('200: is that of this key', async () => {
    const [key, other] = [await createKey(api, path), await createKey(api, path)];
    const place = { accountId, issuerId, organizationId, at: clock.now() };
    await meter(rows, [
      { ...place, keyId: key.id, count: 2 },
      { ...place, keyId: key.id, code: 'EXPIRED' },
      { ...place, keyId: other.id, count: 100 },
    ]);
    const read = async (query = '') => succeeded(await api.get(`${key.path}/usage${query}`)).body;
    expect(await read('?interval=hour')).toEqual({
      data: [
        {
          start: '2026-11-21T12:00:00.000Z',
          ...{ total: 3, valid: 2, refused: 1, errors: 0, error_rate: 1 / 3, cost: 2, management: 0 },
          ...{ by_code: { VALID: 2, EXPIRED: 1 }, reported: 0, latency_ms: null },
        },
      ],
      has_more: false,
      next_cursor: null,
    });
    const byCode = (await read('?group_by=code&limit=1')) as { data: object[]; has_more: boolean };
    expect(byCode).toMatchObject({ data: [{ code: 'VALID', total: 2 }], has_more: true });
    const whole = (await api.get(`/v1/usage?key_id=${key.id}`)).body;
    expect((await read()).data).toEqual(whole.data);
  });

  test('404: of another account’s key, of one of another level and of one that does not exist', async () => {
    const key = await createKey(api, path);
    const { api: stranger } = await createCustomer(server);
    const elsewhere = levels.find((level) => level.path !== path)!.path;
    for (const answer of [
      await stranger.get(`${key.path}/usage`),
      await api.get(`${elsewhere}/${key.id}/usage`),
      await api.get(`${path}/key_0000000000000000000000000/usage`),
    ])
      expect([answer.status, answer.body.code]).toEqual([404, 'not_found']);
  });

  test('404: of a live key, for a sandbox key', async () => {
    const key = await createKey(api, path);
    const caller = await withScopes(api, ['gatelodge.usage:read'], path, { environment: 'sandbox' });
    expect((await caller.get(`${key.path}/usage`)).status).toBe(404);
  });

  test('422: for a group that a key does not have', async () => {
    const key = await createKey(api, path);
    for (const query of ['group_by=key', 'group_by=issuer', 'key_id=x', 'from=x']) {
      const answer = await api.get(`${key.path}/usage?${query}`);
      expect([query, answer.status, answer.body.code]).toEqual([query, 422, 'invalid_request']);
    }
  });
});
