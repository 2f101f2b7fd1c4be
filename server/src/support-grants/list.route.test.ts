import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer, withScopes } from '../../test/harness/customer.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { createKey, succeeded } from '../../test/harness/test-issuer.ts';

const clock = new TestClock();
const server = await startTestServer({ clock });
afterAll(() => server.close());
const path = '/v1/account/support-grants';
const { api } = await createCustomer(server);

const make = async (seconds: number): Promise<string> =>
  (await api.create(path, { reason: 'x', expires_in_seconds: seconds })).id;
const revoked = await make(300);
const expired = await make(300);
const active = await make(600);
const newest = await make(604_800);
succeeded(await api.post(`${path}/${revoked}/revoke`));
clock.advance(300);

const idsOf = (answer: { body: { data: { id: string }[] } }) => answer.body.data.map(({ id }) => id);

describe('200', () => {
  test('newest first, each with its status', async () => {
    const answer = await api.get(path);
    expect(answer.status).toBe(200);
    expect(answer.body.data.map(({ id, status }: Record<string, string>) => [id, status])).toEqual([
      [newest, 'active'],
      [active, 'active'],
      [expired, 'expired'],
      [revoked, 'revoked'],
    ]);
    expect(answer.body).toMatchObject({ has_more: false, next_cursor: null });
  });

  test.each([
    ['active', [newest, active]],
    ['expired', [expired]],
    // Revoking outranks the passing of time.
    ['revoked', [revoked]],
  ])('those that are %s', async (status, expected) => {
    expect(idsOf(await api.get(`${path}?status=${status}`))).toEqual(expected);
  });

  test('page by page', async () => {
    const found: string[] = [];
    let query = '?limit=1';
    for (let page = 0; page < 4; page++) {
      const answer = await api.get(path + query);
      found.push(...idsOf(answer));
      query = `?limit=1&cursor=${answer.body.next_cursor}`;
    }
    expect(found).toEqual([newest, active, expired, revoked]);
  });

  // The attack: somebody reads who else has let the operator in, and why.
  test('none of another account, the operator included', async () => {
    const stranger = await createCustomer(server);
    for (const other of [stranger.api, server.operator.api]) expect(idsOf(await other.get(path))).toEqual([]);
  });
});

describe('403', () => {
  test('for a key without the permission', async () => {
    const answer = await (await withScopes(api, ['gatelodge.account:read'])).get(path);
    expect([answer.status, answer.body.code]).toEqual([403, 'permission_denied']);
  });

  test('for a sandbox key', async () => {
    const sandbox = api.as(await createKey(api, '/v1/api-keys', { environment: 'sandbox' }));
    const answer = await sandbox.get(path);
    expect([answer.status, answer.body.code]).toEqual([403, 'wrong_environment']);
  });
});

describe('422', () => {
  test.each(['status=used', 'limit=0', 'cursor=x', 'sort=name'])('%s', async (query) => {
    const answer = await api.get(`${path}?${query}`);
    expect([answer.status, answer.body.code]).toEqual([422, 'invalid_request']);
  });

  test('a cursor under another filter', async () => {
    const { body } = await api.get(`${path}?limit=1`);
    const answer = await api.get(`${path}?limit=1&status=active&cursor=${body.next_cursor}`);
    expect(answer.body.errors).toContainEqual(expect.objectContaining({ code: 'invalid_cursor' }));
  });
});
