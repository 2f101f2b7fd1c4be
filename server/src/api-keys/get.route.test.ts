import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer, withScopes } from '../../test/harness/customer.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { createKey } from '../../test/harness/test-issuer.ts';
import { apiKeyLevels } from './fixtures/levels.ts';

const server = await startTestServer();
afterAll(() => server.close());
const { api } = await createCustomer(server);
const levels = await apiKeyLevels(api);

describe.each(levels)('a key of the $level', ({ level, path }) => {
  test('200: is read without its secret, by keys at its level and above', async () => {
    const key = await createKey(api, path);
    const above = levels.slice(0, levels.findIndex((other) => other.level === level) + 1);
    for (const other of above) {
      const caller = await withScopes(api, ['gatelodge.api-keys:read'], other.path);
      const answer = await caller.get(key.path);
      expect([other.level, answer.status, answer.body.data.id]).toEqual([other.level, 200, key.id]);
      expect(answer.text).not.toContain(key.secret);
      expect(answer.headers.get('ETag')).toBe('"1"');
    }
  });

  test('403 or 404: is not read by keys below its level', async () => {
    const key = await createKey(api, path);
    const below = levels.slice(levels.findIndex((other) => other.level === level) + 1);
    for (const other of below) {
      const caller = await withScopes(api, ['gatelodge.api-keys:read'], other.path);
      expect((await caller.get(key.path)).status).toBe(403);
    }
  });

  test('404: is not there under the path of another level', async () => {
    const key = await createKey(api, path);
    for (const other of levels) {
      if (other.level === level) continue;
      const answer = await api.get(`${other.path}/${key.id}`);
      expect([other.level, answer.status, answer.body.code]).toEqual([other.level, 404, 'not_found']);
    }
  });
});

test('404: a key of an organization is not there under its neighbour or another issuer', async () => {
  const [, issuer, organization] = levels as [unknown, { path: string }, { path: string }];
  const key = await createKey(api, organization.path);
  const neighbour = await api.create(issuer.path.replace('api-keys', 'organizations'), { name: 'x' });
  const other = await api.create('/v1/issuers', { name: 'x' });
  for (const path of [
    issuer.path.replace('api-keys', `organizations/${neighbour.id}/api-keys`),
    organization.path.replace(/i_\w+/, other.id),
    `/v1/issuers/${other.id}/api-keys`,
  ]) {
    expect((await api.get(`${path}/${key.id}`)).status).toBe(404);
  }
});
