import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { ApiClient } from '../../test/harness/api-client.ts';
import { type Customer, createCustomer, withScopes } from '../../test/harness/customer.ts';
import { managementRoutes, pathOf, unknownIds } from '../../test/harness/management-routes.ts';
import { send } from '../../test/harness/raw-http.ts';
import { Rows } from '../../test/harness/rows.ts';
import { scaled } from '../../test/harness/scale.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { essenceOf, grantSupport, inside, readIn, revokeSupport } from '../../test/harness/support.ts';
import { createKey, succeeded } from '../../test/harness/test-issuer.ts';
import { idPrefixes, newId } from '../ids/ids.ts';
import { managementPermissions } from '../scopes/scope.ts';

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
    const answer = await readIn(operator, customer.id);
    expect([answer.status, answer.body.code]).toEqual([404, 'not_found']);
    for (const other of [unknown, server.operator.accountId, ...spellings]) {
      expect([other, essenceOf(await readIn(operator, other))]).toEqual([other, essenceOf(answer)]);
    }
    expect(answer.headers.has('X-Gatelodge-Support-Grant')).toBe(false);
  });

  // The attack: telling a customer's account from one that does not exist by what the server does.
  test('the same statements run for both, and none in the account', async () => {
    const ofCustomer = await statementsOf(() => readIn(operator, customer.id));
    expect(ofCustomer.some((text) => text.includes('lookup_support_grant'))).toBe(true);
    expect(ofCustomer.some((text) => text.startsWith('begin'))).toBe(false);
    for (const other of [newId(idPrefixes.account), 'x', '']) {
      expect(await statementsOf(() => readIn(operator, other))).toEqual(ofCustomer);
    }
  });

  // The attack: a grant that has ended goes on being used.
  test('an expired grant opens nothing, from the second on which it ends', async () => {
    await grantSupport(customer.api, 300);
    clock.advance(299);
    expect((await readIn(operator, customer.id)).status).toBe(200);
    clock.advance(1);
    const answer = await readIn(operator, customer.id);
    expect(essenceOf(answer)).toEqual(essenceOf(await readIn(operator, newId(idPrefixes.account))));
  });

  test('a revoked grant opens nothing, from the next request on, at every node', async () => {
    const node = await startTestServer({ clock, nodeOf: server });
    try {
      for (let round = 0; round < scaled(5, 50); round++) {
        const id = await grantSupport(customer.api);
        for (const { url } of [server, node]) {
          const answer = await readIn(new ApiClient(url, server.operator.key), customer.id);
          expect([answer.status, answer.headers.get('X-Gatelodge-Support-Grant')]).toEqual([200, id]);
        }
        await revokeSupport(customer.api, id);
        for (const { url } of [server, node]) {
          const answer = await readIn(new ApiClient(url, server.operator.key), customer.id);
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
    await grantSupport(other.api);
    expect((await readIn(operator, other.id)).body.data.id).toBe(other.id);
    expect((await readIn(operator, customer.id)).status).toBe(404);
  });

  // The attack: the operator suspends the account, whose keys can then revoke nothing, and reads on.
  test('a suspended account is closed, whatever it has granted, until it is active again', async () => {
    await grantSupport(customer.api);
    succeeded(await operator.post(`/v1/accounts/${customer.id}/suspend`));
    expect((await readIn(operator, customer.id)).status).toBe(404);
    succeeded(await operator.post(`/v1/accounts/${customer.id}/activate`));
    expect((await readIn(operator, customer.id)).status).toBe(200);
    succeeded(await operator.delete(`/v1/accounts/${customer.id}?name=Acme`));
    expect((await readIn(operator, customer.id)).status).toBe(404);
    // What comes next looks whether anything changes.
    const left = () => rows.query('select id from accounts where id = $1', [customer.id]);
    await expect.poll(left, { timeout: 15_000 }).toEqual([]);
  });
});

describe('who may ask', () => {
  // The attack: anybody else's key names an account that has let the operator in, or its own.
  test('no key but a live one of the operator’s account, on any route and by any method', async () => {
    await grantSupport(customer.api);
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
        for (const route of managementRoutes) {
          const answer = await api.request(route.method, pathOf(route, unknownIds()), {
            headers: inside(account),
          });
          expect([name, route.operationId, answer.status]).toEqual([name, route.operationId, 403]);
          expect(answer.body.code).toBe('permission_denied');
        }
      }
    }
    expect(await rows.snapshot()).toEqual(before);
  });

  test('nobody without a key, and no page: a preflight never allows the header', async () => {
    await grantSupport(customer.api);
    const anonymous = await readIn(operator.as(null), customer.id);
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
    await grantSupport(customer.api);
    const accounts = await withScopes(operator, ['gatelodge.accounts:read', 'gatelodge.accounts:write']);
    expect((await readIn(accounts, customer.id)).body.code).toBe('permission_denied');
    const events = await withScopes(operator, ['gatelodge.events:read']);
    expect((await readIn(events, customer.id)).body.code).toBe('permission_denied');
    expect((await events.get('/v1/events', inside(customer.id))).status).toBe(200);
  });
});
