import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { z } from 'zod';
import type { ApiClient } from '../../test/harness/api-client.ts';
import { type Customer, createCustomer, withScopes } from '../../test/harness/customer.ts';
import { ApiContract } from '../../test/harness/openapi.ts';
import { send } from '../../test/harness/raw-http.ts';
import { Rows } from '../../test/harness/rows.ts';
import { scaled } from '../../test/harness/scale.ts';
import { serveRoutes } from '../../test/harness/serve-routes.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { createKey, succeeded } from '../../test/harness/test-issuer.ts';
import { routes } from '../app.ts';
import { insertEvent } from '../events/event-store.ts';
import { defineRoute, type Route } from '../http/route.ts';
import { idPrefixes, newId } from '../ids/ids.ts';
import { managementPermissions } from '../scopes/scope.ts';
import { isOpenToSupport, supportPermissions } from './support-access.ts';

const clock = new TestClock('2026-11-21T12:10:00.000Z');
const server = await startTestServer({ clock });
const rows = await Rows.open(server.database);
const { api: operator } = server.operator;
afterAll(async () => {
  await rows.close();
  await server.close();
});

let customer: Customer;
const ids: Record<string, string> = {};
beforeEach(async () => {
  customer = await createCustomer(server);
});

/** The header by which the operator reads in an account. */
const inside = (account: string) => ({ 'X-Gatelodge-Account': account });

async function grant({ api }: { api: ApiClient }, seconds = 3600): Promise<string> {
  return (
    await api.create('/v1/account/support-grants', { reason: 'Ticket 4711', expires_in_seconds: seconds })
  ).id;
}

const revoke = async ({ api }: { api: ApiClient }, id: string) =>
  succeeded(await api.post(`/v1/account/support-grants/${id}/revoke`));

const readAs = (reader: ApiClient, account: string) => reader.get('/v1/account', inside(account));

/** What was answered, without what differs between any two requests. */
function essence({ status, headers, text }: { status: number; headers: Headers; text: string }) {
  const names = [...headers.keys()].filter((name) => name !== 'date' && name !== 'x-request-id');
  return {
    status,
    headers: names.map((name) => [name, headers.get(name)]),
    text: text.replaceAll(/req_\w+/g, 'req_'),
  };
}

async function statementsOf(work: () => Promise<unknown>): Promise<string[]> {
  const from = server.statements.length;
  await work();
  return server.statements.slice(from);
}

describe('without an active grant', () => {
  // The attack: an operator's credential names a customer's account and reads what lies inside it.
  test('an account that grants nothing answers as one that does not exist', async () => {
    const unknown = newId(idPrefixes.account);
    const spellings = [
      '',
      ' ',
      'x',
      unknown.toUpperCase(),
      `${customer.id}, ${customer.id}`,
      "' or true --",
      'é',
    ];
    const answer = await readAs(operator, customer.id);
    expect([answer.status, answer.body.code]).toEqual([404, 'not_found']);
    for (const other of [unknown, server.operator.accountId, ...spellings]) {
      expect([other, essence(await readAs(operator, other))]).toEqual([other, essence(answer)]);
    }
    expect(answer.headers.has('X-Gatelodge-Support-Grant')).toBe(false);
  });

  // The attack: telling a customer's account from one that does not exist by what the server does.
  test('the same statements run for both, and none in the account', async () => {
    const ofCustomer = await statementsOf(() => readAs(operator, customer.id));
    expect(ofCustomer.some((text) => text.includes('lookup_support_grant'))).toBe(true);
    expect(ofCustomer.some((text) => text.startsWith('begin'))).toBe(false);
    for (const other of [newId(idPrefixes.account), 'x', '']) {
      expect(await statementsOf(() => readAs(operator, other))).toEqual(ofCustomer);
    }
  });

  // The attack: a grant that has ended goes on being used.
  test('an expired grant opens nothing, from the second on which it ends', async () => {
    await grant(customer, 300);
    clock.advance(299);
    expect((await readAs(operator, customer.id)).status).toBe(200);
    clock.advance(1);
    const answer = await readAs(operator, customer.id);
    expect(essence(answer)).toEqual(essence(await readAs(operator, newId(idPrefixes.account))));
  });

  test('a revoked grant opens nothing, from the next request on, at every node', async () => {
    const node = await startTestServer({ clock, nodeOf: server });
    try {
      for (let round = 0; round < scaled(5, 50); round++) {
        const id = await grant(customer);
        for (const { url } of [server, node]) {
          const answer = await send(`${url}/v1/account`, { headers: asOperator(customer.id) });
          expect([answer.status, answer.headers['x-gatelodge-support-grant']]).toEqual([200, id]);
        }
        await revoke(customer, id);
        for (const { url } of [server, node]) {
          const answer = await send(`${url}/v1/account`, { headers: asOperator(customer.id) });
          expect([answer.status, answer.body.code]).toEqual([404, 'not_found']);
        }
      }
    } finally {
      await node.close();
    }
  });

  // The attack: a customer that is in league with the operator's support, or careless, opens the door to others.
  test('the grant of another account opens nothing but that one', async () => {
    const other = await createCustomer(server);
    await grant(other);
    expect((await readAs(operator, other.id)).body.data.id).toBe(other.id);
    expect((await readAs(operator, customer.id)).status).toBe(404);
  });

  // The attack: the operator suspends the account, whose keys can then revoke nothing, and reads on.
  test('a suspended account is closed, whatever it has granted, until it is active again', async () => {
    await grant(customer);
    succeeded(await operator.post(`/v1/accounts/${customer.id}/suspend`));
    expect((await readAs(operator, customer.id)).status).toBe(404);
    succeeded(await operator.post(`/v1/accounts/${customer.id}/activate`));
    expect((await readAs(operator, customer.id)).status).toBe(200);
    succeeded(await operator.delete(`/v1/accounts/${customer.id}?name=Acme`));
    expect((await readAs(operator, customer.id)).status).toBe(404);
  });
});

describe('the look-up before the account is known', () => {
  const { lookups } = server.running.services.database;
  const lookUp = async (asker: string, account: string) =>
    (await sql`select * from lookup_support_grant(${asker}, ${account}, ${clock.now()})`.execute(lookups))
      .rows;

  // The attack: code of a later version asks it for somebody who is not the operator.
  test('answers the operator’s account alone, and with ids only', async () => {
    const id = await grant(customer);
    const stranger = await createCustomer(server);
    for (const asker of [stranger.id, customer.id, newId(idPrefixes.account), ''])
      expect(await lookUp(asker, customer.id)).toEqual([]);
    expect(await lookUp(server.operator.accountId, customer.id)).toEqual([{ id, account_id: customer.id }]);
    expect(await sql`select * from support_grants`.execute(lookups)).toMatchObject({ rows: [] });
  });

  // The attack: a fault in some other look-up function is used to read why accounts have let support in.
  test('belongs to a role that can read neither reasons nor makers', async () => {
    for (const column of ['reason', 'created_by', '*']) {
      await expect(
        rows.query(`set local role gatelodge_lookup; select ${column} from support_grants`),
      ).rejects.toThrow(/permission denied/);
    }
    const [row] = await rows.query<{ granted: boolean }>(
      `select exists (select from pg_proc, aclexplode(proacl)
         where proname = 'lookup_support_grant' and grantee = 0) as granted`,
    );
    expect(row).toEqual({ granted: false });
  });
});

describe('who may ask', () => {
  // The attack: anybody else's key names an account that has let the operator in, or its own.
  test('no key but a live one of the operator’s account, on any route and by any method', async () => {
    await grant(customer);
    const stranger = await createCustomer(server);
    const issuer = await operator.create('/v1/issuers', { name: 'Shop' });
    const callers = {
      stranger: stranger.api,
      customer: customer.api,
      sandbox: operator.as(await createKey(operator, '/v1/api-keys', { environment: 'sandbox' })),
      issuer: await withScopes(operator, managementPermissions, `/v1/issuers/${issuer.id}/api-keys`),
    };
    const before = await rows.snapshot();
    for (const [name, api] of Object.entries(callers)) {
      for (const account of [customer.id, stranger.id, server.operator.accountId, '']) {
        for (const route of management) {
          const answer = await api.request(route.method, pathOf(route), { headers: inside(account) });
          expect([name, route.operationId, answer.status]).toEqual([name, route.operationId, 403]);
          expect(answer.body.code).toBe('permission_denied');
        }
      }
    }
    expect(await rows.snapshot()).toEqual(before);
  });

  test('nobody without a key, and no page: a preflight never allows the header', async () => {
    await grant(customer);
    const anonymous = await readAs(operator.as(null), customer.id);
    expect([anonymous.status, anonymous.body.code]).toEqual([401, 'missing_key']);
    const preflight = await send(`${server.url}/v1/account`, {
      method: 'OPTIONS',
      headers: {
        Origin: 'https://console.example',
        'Access-Control-Request-Method': 'GET',
        'Access-Control-Request-Headers': 'authorization, x-gatelodge-account',
      },
    });
    expect(preflight.headers['access-control-allow-headers']).toBe('authorization');
  });

  // The attack: a key of the operator that was restricted to the accounts reads what is in them.
  test('a restricted key of the operator reads no more there than it may at home', async () => {
    await grant(customer);
    const accounts = await withScopes(operator, ['gatelodge.accounts:read', 'gatelodge.accounts:write']);
    expect((await readAs(accounts, customer.id)).body.code).toBe('permission_denied');
    const events = await withScopes(operator, ['gatelodge.events:read']);
    expect((await readAs(events, customer.id)).body.code).toBe('permission_denied');
    expect((await events.get('/v1/events', inside(customer.id))).status).toBe(200);
  });
});

describe('what a grant opens', () => {
  // Written out, not derived: a permission or a route that opens itself to support has to be noticed.
  const permissions = [
    'gatelodge.account:read',
    'gatelodge.api-keys:read',
    'gatelodge.events:read',
    'gatelodge.issuers:read',
    'gatelodge.key-profiles:read',
    'gatelodge.organizations:read',
  ];
  const operations = [
    'account.get',
    'events.list',
    'issuers.list',
    'issuers.get',
    'keyProfiles.get',
    'organizations.list',
    'organizations.get',
    ...['apiKeys', 'issuer.apiKeys', 'organization.apiKeys'].flatMap((at) => [`${at}.list`, `${at}.get`]),
  ];

  let opened: Customer;
  let grantId: string;
  beforeAll(async () => {
    opened = await createCustomer(server);
    const { api } = opened;
    ids.account_id = opened.id;
    ids.issuer_id = (await api.create('/v1/issuers', { name: 'Shop' })).id;
    const issuer = `/v1/issuers/${ids.issuer_id}`;
    ids.org_id = (await api.create(`${issuer}/organizations`, { name: 'Tenant' })).id;
    ids.account_key = (await createKey(api, '/v1/api-keys')).id;
    ids.issuer_key = (await createKey(api, `${issuer}/api-keys`)).id;
    ids.organization_key = (await createKey(api, `${issuer}/organizations/${ids.org_id}/api-keys`)).id;
  });
  beforeEach(async () => {
    grantId = await grant(opened);
    ids.grant_id = grantId;
  });

  test('the permissions that read, but for accounts and the grants themselves', () => {
    expect([...supportPermissions].sort()).toEqual(permissions);
  });

  test('every read of the account answers what the account’s own key reads', async () => {
    const contract = await ApiContract.of(server);
    for (const route of management.filter(({ operationId }) => operations.includes(operationId))) {
      // The first reading of the hour is an event, which the list of events would show in one of the two alone.
      await readAs(operator, opened.id);
      const own = await opened.api.get(pathOf(route));
      const answer = await operator.get(pathOf(route), inside(opened.id));
      expect([route.operationId, answer.status, answer.text]).toEqual([route.operationId, 200, own.text]);
      expect(answer.headers.get('X-Gatelodge-Support-Grant')).toBe(grantId);
      expect(answer.headers.get('ETag')).toBe(own.headers.get('ETag'));
      const { parameters } = contract.operation(route.operationId);
      expect(parameters.some(({ name }) => name === 'X-Gatelodge-Account')).toBe(true);
      const head = await operator.request('HEAD', pathOf(route), { headers: inside(opened.id) });
      expect([head.status, head.headers.get('X-Gatelodge-Support-Grant')]).toEqual([200, grantId]);
    }
  });

  // The attack: support changes something, mints a key for itself, prolongs its own grant, or looks at other accounts.
  test('nothing else, whichever route and method', async () => {
    const open = management.filter(isOpenToSupport).map(({ operationId }) => operationId);
    expect(open.sort()).toEqual([...operations].sort());
    await readAs(operator, opened.id);
    const before = await rows.snapshot();
    const closed = management.filter(({ operationId }) => !operations.includes(operationId));
    expect(closed.length).toBeGreaterThan(30);
    for (const route of closed) {
      for (const account of [opened.id, newId(idPrefixes.account)]) {
        const answer = await operator.request(route.method, pathOf(route), { headers: inside(account) });
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
      const answer = await send(`${ownRoutes.url}/v1/account`, { headers: asOperator(opened.id) });
      expect([answer.status, answer.body.code]).toEqual([500, 'internal_error']);
      expect(await rows.snapshot()).toEqual(before);
      const atHome = await send(`${ownRoutes.url}/v1/account`, { headers: asOperator() });
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
    expect(essence(elsewhere)).toEqual(essence(missing));
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
    const newest = await grant(opened);
    expect((await readAs(operator, opened.id)).headers.get('X-Gatelodge-Support-Grant')).toBe(newest);
    await revoke(opened, newest);
    expect((await readAs(operator, opened.id)).headers.get('X-Gatelodge-Support-Grant')).toBe(grantId);
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
    const id = await grant(customer, 86_400);
    for (let hour = 1; hour <= scaled(3, 20); hour++) {
      const answers = await Promise.all(Array.from({ length: 50 }, () => readAs(operator, customer.id)));
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
    const id = await grant(customer);
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
      const id = await grant(customer);
      await readAs(operator, customer.id);
      expect((await used(customer.id)).at(-1)!.subject_id).toBe(id);
    }
    expect(await used(customer.id)).toHaveLength(2);
    expect(await used(server.operator.accountId)).toEqual(before);
  });

  test('tells nothing of a read that has shown nothing', async () => {
    await grant(customer);
    await operator.get(`/v1/issuers/${newId(idPrefixes.issuer)}`, inside(customer.id));
    await operator.get('/v1/issuers?limit=0', inside(customer.id));
    expect(await used(customer.id)).toEqual([]);
  });

  test('and the log say which grant and whose key it was', async () => {
    const id = await grant(customer);
    await readAs(operator, customer.id);
    const line = server.logLines.map((text) => JSON.parse(text)).findLast((entry) => entry.support_grant_id);
    expect(line).toMatchObject({
      account_id: customer.id,
      key_id: server.operator.key.id,
      support_grant_id: id,
      route: '/v1/account',
    });
  });
});

type ManagementRoute = Exclude<Route, { handler: null }>;
const management = routes.filter((route): route is ManagementRoute => route.handler !== null);

/** The path with ids of the account that has granted access; where there are none yet, with ids that do not exist. */
function pathOf({ path }: Route): string {
  const level = path.includes('{org_id}')
    ? 'organization'
    : path.includes('{issuer_id}')
      ? 'issuer'
      : 'account';
  const known: Record<string, string | undefined> = { ...ids, key_id: ids[`${level}_key`] };
  return path.replaceAll(/\{(\w+)\}/g, (_all, name: string) => known[name] ?? newIdOf(name));
}

function newIdOf(parameter: string): string {
  const prefixes: Record<string, (typeof idPrefixes)[keyof typeof idPrefixes]> = {
    account_id: idPrefixes.account,
    issuer_id: idPrefixes.issuer,
    org_id: idPrefixes.organization,
    key_id: idPrefixes.apiKey,
    grant_id: idPrefixes.supportGrant,
  };
  return newId(prefixes[parameter]!);
}

function asOperator(account?: string): Record<string, string> {
  const { id, secret } = server.operator.key;
  return {
    Authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`,
    ...(account !== undefined && inside(account)),
  };
}

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
