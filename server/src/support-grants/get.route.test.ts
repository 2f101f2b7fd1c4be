import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer, withScopes } from '../../test/harness/customer.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { createKey } from '../../test/harness/test-issuer.ts';
import { idPrefixes, newId } from '../ids/ids.ts';

const server = await startTestServer();
afterAll(() => server.close());
const { api } = await createCustomer(server);
const { id, ...grant } = await api.create('/v1/account/support-grants', { reason: 'Ticket 4711' });
const pathOf = (grantId: string) => `/v1/account/support-grants/${grantId}`;

test('200 with its version', async () => {
  const answer = await api.get(pathOf(id));
  expect(answer.status).toBe(200);
  expect(answer.body).toEqual({ data: { id, ...grant } });
  expect(answer.headers.get('ETag')).toBe('"1"');
});

describe('403', () => {
  test('for a key without the permission', async () => {
    const answer = await (await withScopes(api, ['gatelodge.support-grants:write'])).get(pathOf(id));
    expect([answer.status, answer.body.code]).toEqual([403, 'permission_denied']);
  });

  test('for a sandbox key', async () => {
    const sandbox = api.as(await createKey(api, '/v1/api-keys', { environment: 'sandbox' }));
    const answer = await sandbox.get(pathOf(id));
    expect([answer.status, answer.body.code]).toEqual([403, 'wrong_environment']);
  });
});

describe('404', () => {
  // The attack: another account, or the operator by its own key, reads the grant by its id.
  test('for a grant of another account as for one that does not exist, with the same statements', async () => {
    const stranger = await createCustomer(server);
    for (const other of [stranger.api, server.operator.api]) {
      const seen: unknown[] = [];
      for (const grantId of [id, newId(idPrefixes.supportGrant)]) {
        const from = server.statements.length;
        const { status, text } = await other.get(pathOf(grantId), { 'X-Request-Id': 'the-same' });
        seen.push([status, text, server.statements.slice(from)]);
      }
      expect(seen[0]).toEqual(seen[1]);
      expect(seen[0]).toEqual([404, expect.stringContaining('"code":"not_found"'), expect.anything()]);
    }
  });

  test('for what no grant’s id can be', async () => {
    for (const grantId of ['x', newId(idPrefixes.apiKey), id.toUpperCase()]) {
      const answer = await api.get(pathOf(grantId));
      expect([answer.status, answer.body.code]).toEqual([404, 'not_found']);
    }
  });
});
