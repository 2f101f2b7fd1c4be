import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { routes } from '../src/app.ts';
import { idPrefixes, newId } from '../src/ids/ids.ts';
import { alwaysThere } from './harness/management-routes.ts';
import { Rows } from './harness/rows.ts';
import { startTestServer, type TestServer } from './harness/server.ts';
import { SqlLog } from './harness/sql-log.ts';
import { createTenant, type Tenant } from './harness/tenant.ts';
import type { TestKey } from './harness/test-issuer.ts';

/*
 * Attack: reach another account by what is no id in a path: the cursor of its list, the Idempotency-Key of its
 * creation, the header by which the operator's support reads in it.
 */

let server: TestServer;
let sql: SqlLog;
let ours: Tenant;
let theirs: Tenant;
beforeAll(async () => {
  server = await startTestServer();
  [ours, theirs] = [await createTenant(server, 'ours'), await createTenant(server, 'theirs')];
  // It looks up whom it tells by the same look-ups as requests do.
  await server.running.services.backchannelLogout.close();
  sql = new SqlLog(server);
});
afterAll(() => server.close());

const sameRequest = { 'X-Request-Id': 'tenancy' };

describe('lists and replays', () => {
  // Attack: a cursor is a position in somebody's list; ours must not open theirs.
  test('a cursor of another account is as good as a forged one', async () => {
    for (const path of ['/v1/issuers', '/v1/api-keys', '/v1/events', '/v1/account/support-grants']) {
      await theirs.api.post('/v1/account/support-grants', { reason: 'a second one' });
      const { body } = await theirs.api.get(`${path}?limit=1`);
      expect(body.next_cursor, path).toMatch(/./);
      const used = await ours.api.get(`${path}?limit=1&cursor=${body.next_cursor}`, sameRequest);
      const forged = await ours.api.get(`${path}?limit=1&cursor=${body.next_cursor.slice(1)}`, sameRequest);
      expect([used.status, used.body.errors[0].code]).toEqual([422, 'invalid_cursor']);
      expect(used.text).toBe(forged.text);
    }
  });

  // Attack: filters by somebody else's ids.
  test('a filter by foreign ids finds what one by ids that nobody has finds: nothing', async () => {
    for (const id of [theirs.issuer.id, newId(idPrefixes.issuer)]) {
      for (const list of ['/v1/events', '/v1/usage']) {
        const { status, body } = await ours.api.get(`${list}?issuer_id=${id}`);
        expect([status, body]).toEqual([200, { data: [], has_more: false, next_cursor: null }]);
      }
    }
  });

  // Attack: guess or steal the Idempotency-Key of a creation, to be shown the secret that it answered.
  test('the Idempotency-Key of another caller replays nothing', async () => {
    const header = { 'Idempotency-Key': 'of-theirs' };
    const made = await theirs.api.post('/v1/api-keys', { name: 'theirs' }, header);
    for (const key of [ours.key, theirs.issuer.key, theirs.sandboxKey]) {
      const answer = await ours.api.as(key).post('/v1/api-keys', { name: 'theirs' }, header);
      expect(answer.headers.get('idempotent-replayed')).toBeNull();
      expect(answer.text).not.toContain(made.body.data.secret_plain);
    }
    // Also not the one who holds the same account by another key.
    const second = await theirs.api.create('/v1/api-keys', {});
    const other = await theirs.api
      .as({ id: second.id, secret: second.secret_plain })
      .post('/v1/api-keys', { name: 'theirs' }, header);
    expect(other.status).toBe(201);
    expect(other.body.data.id).not.toBe(made.body.data.id);
  });
});

describe('support access', () => {
  // Attack: the operator reads in an account that has not let it in, or finds out which accounts there are.
  test('an account without an active grant is answered as one that nobody has, by the same statements', async () => {
    const stranger = await createTenant(server, 'stranger');
    await stranger.api.post(`/v1/account/support-grants/${stranger.supportGrantId}/revoke`);
    for (const path of readPaths(stranger)) {
      const known = await asSupport(stranger.accountId, path);
      const unknown = await asSupport(newId(idPrefixes.account), path);
      expect(known).toEqual(unknown);
      expect(known.answer.status, path).toBe(404);
    }
  });

  // Attack: a customer sends the operator's header.
  test('a customer gets nowhere with it, whether the account has an active grant or does not exist', async () => {
    for (const path of readPaths(theirs)) {
      const [known, unknown] = [
        await asSupport(theirs.accountId, path, ours.key),
        await asSupport(newId(idPrefixes.account), path, ours.key),
      ];
      expect(known).toEqual(unknown);
      expect(known.answer.status).toBe(403);
    }
  });

  test('a grant opens the account that gave it and no other', async () => {
    expect((await asSupport(theirs.accountId, `/v1/issuers/${theirs.issuer.id}`)).answer.status).toBe(200);
    const elsewhere = await asSupport(theirs.accountId, `/v1/issuers/${ours.issuer.id}`);
    const nowhere = await asSupport(theirs.accountId, `/v1/issuers/${newId(idPrefixes.issuer)}`);
    expect(elsewhere).toEqual(nowhere);
    expect(elsewhere.answer.status).toBe(404);
  });

  test('a grant opens nothing that changes anything', async () => {
    const rows = await Rows.open(server.database);
    const before = await rows.snapshot();
    for (const route of routes.filter(({ handler, method }) => handler !== null && method !== 'GET')) {
      const path = route.path
        .replace('{issuer_id}', theirs.issuer.id)
        .replace('{org_id}', theirs.issuer.organizations[0].id)
        .replace('{user_id}', theirs.issuer.userId)
        .replace('{member_id}', theirs.issuer.organizations[0].memberId)
        .replace('{group_id}', theirs.issuer.organizations[0].groupId)
        .replace('{client_id}', theirs.issuer.client.id)
        .replace('{session_id}', theirs.issuer.sessionId)
        .replace('{key_id}', theirs.issuer.key.id)
        .replace('{grant_id}', theirs.supportGrantId)
        .replace('{signing_key_id}', theirs.issuer.signingKeyId)
        .replace('{account_id}', theirs.accountId)
        .replace('{month}', alwaysThere.month!);
      const answer = await server.operator.api.request(route.method, path, {
        headers: { 'X-Gatelodge-Account': theirs.accountId },
      });
      expect(answer.status, route.operationId).toBe(403);
    }
    expect(await rows.snapshot()).toEqual(before);
    await rows.close();
  });

  const readPaths = (tenant: Tenant) => [
    '/v1/account',
    '/v1/issuers',
    `/v1/issuers/${tenant.issuer.id}`,
    `/v1/issuers/${tenant.issuer.id}/organizations`,
    `/v1/issuers/${tenant.issuer.id}/users`,
    `/v1/issuers/${tenant.issuer.id}/clients`,
    `/v1/issuers/${tenant.issuer.id}/signing-keys`,
    '/v1/api-keys',
    '/v1/events',
  ];
  const asSupport = async (accountId: string, path: string, key: TestKey | null = null) => {
    sql.clear();
    const answer = await server.operator.api
      .as(key ?? server.operator.key)
      .get(path, { ...sameRequest, 'X-Gatelodge-Account': accountId });
    const { date: _date, ...headers } = Object.fromEntries(answer.headers);
    return {
      answer: { status: answer.status, headers, text: answer.text },
      statements: sql.statements,
      lookups: sql.lookups.map(({ text }) => text),
    };
  };
});
