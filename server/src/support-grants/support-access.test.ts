import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { ApiClient } from '../../test/harness/api-client.ts';
import { type Customer, createCustomer } from '../../test/harness/customer.ts';
import {
  exampleBodyOf,
  type ManagementRoute,
  managementRoutes,
  pathOf,
} from '../../test/harness/management-routes.ts';
import { ApiContract } from '../../test/harness/openapi.ts';
import { Rows } from '../../test/harness/rows.ts';
import { scaled } from '../../test/harness/scale.ts';
import { serveRoutes } from '../../test/harness/serve-routes.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { signIn } from '../../test/harness/sign-in.ts';
import { essenceOf, grantSupport, inside, readIn, revokeSupport } from '../../test/harness/support.ts';
import { createKey } from '../../test/harness/test-issuer.ts';
import { insertEvent } from '../events/event-store.ts';
import { defineRoute } from '../http/route.ts';
import { idPrefixes, newId } from '../ids/ids.ts';
import { isOpenToSupport, supportPermissions } from './support-access.ts';

// What a grant opens, and how the account learns of it. What is refused: support-refusals.test.ts.

const clock = new TestClock('2026-11-21T12:10:00.000Z');
const server = await startTestServer({ clock });
const rows = await Rows.open(server.database);
const { api: operator } = server.operator;
afterAll(async () => {
  await rows.close();
  await server.close();
});

let customer: Customer;
beforeEach(async () => {
  customer = await createCustomer(server);
});

describe('what a grant opens', () => {
  // Written out, not derived: a permission or a route that opens itself to support has to be noticed.
  const permissions = [
    'gatelodge.account:read',
    'gatelodge.api-keys:read',
    'gatelodge.clients:read',
    'gatelodge.events:read',
    'gatelodge.groups:read',
    'gatelodge.issuers:read',
    'gatelodge.key-profiles:read',
    'gatelodge.login-settings:read',
    'gatelodge.members:read',
    'gatelodge.organizations:read',
    'gatelodge.plans:read',
    'gatelodge.sessions:read',
    'gatelodge.signing-keys:read',
    'gatelodge.usage:read',
    'gatelodge.users:read',
  ];
  const operations = [
    'account.get',
    'plans.list',
    'plans.get',
    'events.list',
    'issuers.list',
    'issuers.get',
    'keyProfiles.get',
    'loginSettings.get',
    'oidcSettings.get',
    'signingKeys.list',
    'signingKeys.get',
    'users.list',
    'users.get',
    'clients.list',
    'clients.get',
    'user.sessions.list',
    'sessions.list',
    'sessions.get',
    'organizations.list',
    'organizations.get',
    'organization.members.list',
    'organization.members.get',
    'organization.groups.list',
    'organization.groups.get',
    'organization.groups.listMembers',
    'user.organizations.list',
    'usage.list',
    'usage.export',
    'statements.get',
    ...['apiKeys', 'issuer.apiKeys', 'organization.apiKeys'].flatMap((at) =>
      ['list', 'get', 'usage'].map((verb) => `${at}.${verb}`),
    ),
  ];

  const ids: Record<string, string> = {};
  const keyIds = { account: '', issuer: '', organization: '' };
  /** The path with ids of the account that has granted access. */
  function pathFor(route: ManagementRoute): string {
    const { path } = route;
    const level = path.includes('{org_id}')
      ? 'organization'
      : path.includes('{issuer_id}')
        ? 'issuer'
        : 'account';
    return pathOf(route, { ...ids, key_id: keyIds[level] });
  }

  let opened: Customer;
  let grantId: string;
  beforeAll(async () => {
    opened = await createCustomer(server);
    const { api } = opened;
    ids.account_id = opened.id;
    ids.issuer_id = (await api.create('/v1/issuers', { name: 'Shop' })).id;
    const issuer = `/v1/issuers/${ids.issuer_id}`;
    ids.org_id = (await api.create(`${issuer}/organizations`, { name: 'Tenant' })).id;
    ids.signing_key_id = (await api.get(`${issuer}/signing-keys`)).body.data[0].id;
    ids.user_id = (await api.create(`${issuer}/users`, { username: 'a@example.com' })).id as string;
    const below = `${issuer}/organizations/${ids.org_id}`;
    ids.member_id = (await api.create(`${issuer}/users`, { username: 'b@example.com' })).id as string;
    ids.group_id = (await api.create(`${below}/groups`, { name: 'a', scopes: ['reports:read'] })).id;
    await api.create(`${below}/members`, { member_id: ids.member_id, groups: [ids.group_id] });
    const redirect = { redirect_uris: ['https://shop.example/callback'] };
    ids.client_id = (
      await api.create(`${issuer}/clients`, { name: 'Shop', settings: { openid: redirect } })
    ).id;
    ids.session_id = (await signIn(server, ids.issuer_id!, ids.user_id)).session_id;
    ids.plan_name = (await api.create('/v1/plans', { name: 'gold' })).name;
    keyIds.account = (await createKey(api, '/v1/api-keys')).id;
    keyIds.issuer = (await createKey(api, `${issuer}/api-keys`)).id;
    keyIds.organization = (await createKey(api, `${issuer}/organizations/${ids.org_id}/api-keys`)).id;
  });
  beforeEach(async () => {
    grantId = await grantSupport(opened.api);
    ids.grant_id = grantId;
  });

  test('the permissions that read, but for accounts and the grants themselves', () => {
    expect([...supportPermissions].sort()).toEqual(permissions);
  });

  test('every read of the account answers what the account’s own key reads', async () => {
    const contract = await ApiContract.of(server);
    for (const route of managementRoutes.filter(({ operationId }) => operations.includes(operationId))) {
      // The first reading of the hour is an event, which the list of events would show in one of the two alone.
      await readIn(operator, opened.id);
      const own = await opened.api.get(pathFor(route));
      const answer = await operator.get(pathFor(route), inside(opened.id));
      expect([route.operationId, answer.status, answer.text]).toEqual([route.operationId, 200, own.text]);
      expect(answer.headers.get('X-Gatelodge-Support-Grant')).toBe(grantId);
      expect(answer.headers.get('ETag')).toBe(own.headers.get('ETag'));
      const { parameters } = contract.operation(route.operationId);
      expect(parameters.some(({ name }) => name === 'X-Gatelodge-Account')).toBe(true);
      const head = await operator.request('HEAD', pathFor(route), { headers: inside(opened.id) });
      expect([head.status, head.headers.get('X-Gatelodge-Support-Grant')]).toEqual([200, grantId]);
    }
  });

  // The attack: support changes something, mints a key for itself, prolongs its own grant, or looks at other accounts.
  test('nothing else, whichever route and method', async () => {
    const open = managementRoutes.filter(isOpenToSupport).map(({ operationId }) => operationId);
    expect(open.sort()).toEqual([...operations].sort());
    await readIn(operator, opened.id);
    const before = await rows.snapshot();
    const closed = managementRoutes.filter(({ operationId }) => !operations.includes(operationId));
    expect(closed.length).toBeGreaterThan(30);
    for (const route of closed) {
      for (const account of [opened.id, newId(idPrefixes.account)]) {
        const answer = await operator.request(route.method, pathFor(route), {
          headers: inside(account),
          ...(route.method !== 'GET' && { body: exampleBodyOf(route) }),
        });
        expect([route.operationId, answer.status]).toEqual([route.operationId, 403]);
        expect(answer.body.code).toBe('permission_denied');
      }
    }
    expect(await rows.snapshot()).toEqual(before);
  });

  // The attack: a read operation of a later version has a side effect, or a bug; support triggers it.
  test('a read that writes is refused by Postgres, and nothing of it stays', async () => {
    const ownRoutes = await serveRoutes(server.running.services, [readThatWrites]);
    try {
      const before = await rows.snapshot();
      const answer = await readIn(new ApiClient(ownRoutes.url, server.operator.key), opened.id);
      expect([answer.status, answer.body.code]).toEqual([500, 'internal_error']);
      expect(await rows.snapshot()).toEqual(before);
      const atHome = await new ApiClient(ownRoutes.url, server.operator.key).get('/v1/account');
      expect(atHome.status).toBe(200);
    } finally {
      await ownRoutes.close();
    }
  });

  test('what is not in the account is not found there either, and the operator’s own things are not', async () => {
    const own = await operator.create('/v1/issuers', { name: 'Operator’s own' });
    const missing = await operator.get(`/v1/issuers/${newId(idPrefixes.issuer)}`, inside(opened.id));
    const elsewhere = await operator.get(`/v1/issuers/${own.id}`, inside(opened.id));
    expect([missing.status, missing.body.code]).toEqual([404, 'not_found']);
    expect(essenceOf(elsewhere)).toEqual(essenceOf(missing));
  });

  test('pages of a list, whose cursors are of no use in another account', async () => {
    await opened.api.create('/v1/issuers', { name: 'Second' });
    await operator.create('/v1/issuers', { name: 'Operator’s own' });
    const first = await operator.get('/v1/issuers?limit=1', inside(opened.id));
    const next = `/v1/issuers?limit=1&cursor=${first.body.next_cursor}`;
    const second = await operator.get(next, inside(opened.id));
    expect(second.body.data[0].id).not.toBe(first.body.data[0].id);
    const atHome = await operator.get(next);
    expect([atHome.status, atHome.body.code]).toEqual([422, 'invalid_request']);
  });

  test('of several grants the newest is named, and revoking it leaves the others', async () => {
    const newest = await grantSupport(opened.api);
    expect((await readIn(operator, opened.id)).headers.get('X-Gatelodge-Support-Grant')).toBe(newest);
    await revokeSupport(opened.api, newest);
    expect((await readIn(operator, opened.id)).headers.get('X-Gatelodge-Support-Grant')).toBe(grantId);
  });
});

describe('the trail of the account', () => {
  const used = (account: string) =>
    rows.query<{ actor: unknown; subject_id: string; data: unknown; created_at: Date }>(
      "select * from events where account_id = $1 and type = 'support-grant.used' order by id",
      [account],
    );

  // The attack: support reads at many connections at once so that none of the readings is told.
  test('tells the first use in each hour exactly once, with 50 reads at once', async () => {
    const id = await grantSupport(customer.api, 86_400);
    for (let hour = 1; hour <= scaled(3, 20); hour++) {
      const answers = await Promise.all(Array.from({ length: 50 }, () => readIn(operator, customer.id)));
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
      expect(await used(customer.id)).toHaveLength(hour);
      clock.advance(3600);
    }
    const [event] = await used(customer.id);
    expect(event).toMatchObject({
      actor: { type: 'system', id: 'operator', ip: null, user_agent: null },
      subject_type: 'support_grant',
      subject_id: id,
      environment: 'live',
      issuer_id: null,
      data: {},
    });
  });

  test('has the event before the answer is there, and shows the hour in the grant', async () => {
    const id = await grantSupport(customer.api);
    const answer = await operator.get('/v1/events?type=support-grant.used', inside(customer.id));
    expect(answer.body.data).toHaveLength(1);
    const { body, headers } = await customer.api.get(`/v1/account/support-grants/${id}`);
    expect(body.data.last_used_hour).toBe(`${clock.now().toISOString().slice(0, 13)}:00:00.000Z`);
    // Being used is no change of the grant: a revocation with the tag that its owner knows has to work.
    expect(headers.get('ETag')).toBe('"1"');
  });

  test('has one for each grant, and none in the operator’s own', async () => {
    const before = await used(server.operator.accountId);
    for (let round = 0; round < 2; round++) {
      const id = await grantSupport(customer.api);
      await readIn(operator, customer.id);
      expect((await used(customer.id)).at(-1)!.subject_id).toBe(id);
    }
    expect(await used(customer.id)).toHaveLength(2);
    expect(await used(server.operator.accountId)).toEqual(before);
  });

  test('tells nothing of a read that has shown nothing', async () => {
    await grantSupport(customer.api);
    await operator.get(`/v1/issuers/${newId(idPrefixes.issuer)}`, inside(customer.id));
    await operator.get('/v1/issuers?limit=0', inside(customer.id));
    expect(await used(customer.id)).toEqual([]);
  });

  test('and the log say which grant and whose key it was', async () => {
    const id = await grantSupport(customer.api);
    await readIn(operator, customer.id);
    const line = server.logLines.map((text) => JSON.parse(text)).findLast((entry) => entry.support_grant_id);
    expect(line).toMatchObject({
      account_id: customer.id,
      key_id: server.operator.key.id,
      support_grant_id: id,
      route: '/v1/account',
    });
  });
});

const readThatWrites = defineRoute({
  method: 'GET',
  path: '/v1/account',
  operationId: 'account.get',
  summary: 'A read that writes',
  permission: 'gatelodge.account:read',
  responses: { 200: { description: 'Nothing.', schema: z.object({}) } },
  async handler({ tx, principal }) {
    const actor = { type: 'system', id: 'test', ip: null, user_agent: null } as const;
    await insertEvent(
      tx,
      { accountId: principal.accountId, actor, requestId: null },
      { type: 'account.updated', subject: { type: 'account', id: principal.accountId }, environment: 'live' },
    );
    return { body: {} };
  },
});
