import { afterAll, describe, expect, test } from 'vitest';
import { atOnce } from '../../test/harness/at-once.ts';
import { createCustomer } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { createKey, succeeded } from '../../test/harness/test-issuer.ts';
import { apiKeyLevels } from './fixtures/levels.ts';

const server = await startTestServer();
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api, key: caller } = await createCustomer(server);
const levels = await apiKeyLevels(api);

describe.each(levels)('a key of the $level', ({ path, issuerId, organizationId }) => {
  test('204: is one that never was by the very next request, and its trail stays', async () => {
    const key = await createKey(api, path, { name: 'told' });
    const me = () => api.as(null).get('/v1/me', { Authorization: `Bearer ${key.secret}` });
    expect((await me()).status).toBe(200);
    const { result: answer, events } = await rows.eventsOf(() => api.delete(key.path));
    expect([answer.status, answer.text]).toEqual([204, '']);
    expect((await me()).body.code).toBe('invalid_key');
    expect((await api.get(key.path)).status).toBe(404);
    expect((await api.delete(key.path)).status).toBe(404);
    expect(events).toMatchObject([
      {
        type: 'api-key.deleted',
        issuer_id: issuerId,
        organization_id: organizationId,
        subject_id: key.id,
        actor: { id: caller.id },
        data: { name: 'told', hint: `gl_live_sk_…${key.secret.slice(-4)}` },
      },
    ]);
    const trail = (await api.get(`/v1/events?subject=${key.id}`)).body.data;
    expect(trail.map(({ type }: { type: string }) => type)).toEqual([
      'api-key.deleted',
      'api-key.verified',
      'api-key.created',
    ]);
  });

  test('204: also when it was revoked or disabled before', async () => {
    for (const verb of ['revoke', 'disable']) {
      const key = await createKey(api, path);
      succeeded(await api.post(`${key.path}/${verb}`));
      expect((await api.delete(key.path)).status).toBe(204);
    }
  });

  test('204: of 10 at once one deletes it and the others find nothing', async () => {
    const key = await createKey(api, path);
    const { result: answers, events } = await rows.eventsOf(() => atOnce(10, () => api.delete(key.path)));
    expect(answers.filter(({ status }) => status === 204).length).toBe(1);
    expect(answers.filter(({ status }) => status === 404).length).toBe(9);
    expect(events.length).toBe(1);
  });

  test('412: only at the version that was read', async () => {
    const key = await createKey(api, path);
    const stale = (await api.get(key.path)).headers.get('ETag')!;
    succeeded(await api.patch(key.path, { name: 'x' }));
    expect((await api.delete(key.path, { 'If-Match': stale })).status).toBe(412);
    expect((await api.delete(key.path, { 'If-Match': '"2"' })).status).toBe(204);
  });
});
