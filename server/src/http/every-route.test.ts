import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ApiClient } from '../../test/harness/api-client.ts';
import { createCustomer, withScopes } from '../../test/harness/customer.ts';
import {
  exampleBodyOf,
  type ManagementRoute,
  managementRoutes,
  pathOf,
  unknownIds,
} from '../../test/harness/management-routes.ts';
import { send } from '../../test/harness/raw-http.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { signIn } from '../../test/harness/sign-in.ts';
import { createKey } from '../../test/harness/test-issuer.ts';
import { type ManagementPermission, managementPermissions, permissionsOfAccount } from '../scopes/scope.ts';

// What every operation of the management API answers alike, generated from the list of routes so that a new one
// cannot be forgotten. What is particular to a route stands beside it.

const server = await startTestServer();
const rows = await Rows.open(server.database);
const customer = await createCustomer(server);
afterAll(async () => {
  await rows.close();
  await server.close();
});

const byName = managementRoutes.map((route) => [route.operationId, route] as const);
const having = (matches: (route: ManagementRoute) => boolean) => byName.filter(([, route]) => matches(route));
/** A question that is asked by POST changes nothing. */
const changesAnObject = ({ method, creates, operationId }: ManagementRoute) =>
  method !== 'GET' && creates !== true && operationId !== 'organizations.explain';
const hasParameters = (route: ManagementRoute) => route.path.includes('{');

/** Accounts are the operator's to call for; everything else is called for by the customer that owns it. */
const callerOf = (route: ManagementRoute) =>
  route.level === 'operator' ? server.operator.api : customer.api;

const ids: Record<string, string> = { account_id: customer.id };
/** Keys of each level, because `key_id` of a path belongs to the level that the path names. */
const keyIds: Record<'account' | 'issuer' | 'organization', string> = {
  account: '',
  issuer: '',
  organization: '',
};
const withoutOne = new Map<ManagementPermission, ApiClient>();

beforeAll(async () => {
  const { api } = customer;
  const issuer = await api.create('/v1/issuers', { name: 'Acme API' });
  const path = `/v1/issuers/${issuer.id}`;
  const organization = await api.create(`${path}/organizations`, { name: 'Tenant' });
  ids.issuer_id = issuer.id;
  ids.org_id = organization.id;
  ids.user_id = (await api.create(`${path}/users`, { username: 'somebody@example.com' })).id;
  ids.member_id = (await api.create(`${path}/users`, { username: 'member@example.com' })).id;
  const below = `${path}/organizations/${organization.id}`;
  await api.create(`${below}/members`, { member_id: ids.member_id, scopes: ['reports:read'] });
  ids.group_id = (await api.create(`${below}/groups`, { name: 'a group', scopes: ['reports:read'] })).id;
  const redirect = { redirect_uris: ['https://app.example.com/callback'] };
  ids.client_id = (await api.create(`${path}/clients`, { name: 'App', settings: { openid: redirect } })).id;
  ids.session_id = (await signIn(server, issuer.id, ids.user_id!)).session_id;
  ids.grant_id = (
    await api.create('/v1/account/support-grants', {
      reason: 'a ticket',
      expires_in_seconds: 3600,
    })
  ).id;
  ids.signing_key_id = (await api.get(`${path}/signing-keys`)).body.data[0].id;
  ids.plan_name = (await api.create('/v1/plans', { name: 'a-plan' })).name;
  keyIds.account = (await createKey(api, '/v1/api-keys')).id;
  keyIds.issuer = (await createKey(api, `${path}/api-keys`)).id;
  keyIds.organization = (await createKey(api, `${path}/organizations/${organization.id}/api-keys`)).id;
  for (const missing of managementPermissions) {
    const isOperators = missing.startsWith('gatelodge.accounts:');
    const all = permissionsOfAccount({ isOperator: isOperators });
    const others = [...all].filter((permission) => permission !== missing);
    withoutOne.set(missing, await withScopes(isOperators ? server.operator.api : api, others));
  }
});

/** The path with ids that exist, some of them replaced. */
function pathWith(route: ManagementRoute, replaced: Record<string, string> = {}): string {
  const level = route.path.includes('{org_id}')
    ? 'organization'
    : route.path.includes('{issuer_id}')
      ? 'issuer'
      : 'account';
  return pathOf(route, { ...ids, key_id: keyIds[level], ...replaced });
}

function call(route: ManagementRoute, as = callerOf(route), headers: Record<string, string> = {}) {
  return as.request(route.method, pathWith(route), {
    headers,
    ...(route.method !== 'GET' && { rawBody: '{}' }),
  });
}

describe('what is refused changes nothing', () => {
  let before: Record<string, string>;
  beforeAll(async () => {
    before = await rows.snapshot();
  });
  afterAll(async () => {
    expect(await rows.snapshot()).toEqual(before);
  });

  describe('401', () => {
    test.each(byName)('%s: without a key', async (_name, route) => {
      const answer = await call(route, customer.api.as(null));
      expect(answer.body).toMatchObject({ status: 401, code: 'missing_key' });
      expect(answer.status).toBe(401);
      expect(answer.headers.get('WWW-Authenticate')).toMatch(/Basic.*Bearer/);
      expect(answer.headers.get('Content-Type')).toBe('application/problem+json');
      expect(answer.headers.get('X-Request-Id')).toBe(answer.body.request_id);
    });

    test.each(byName)('%s: with a secret under the id of another key', async (_name, route) => {
      // The attack: a stolen id, and a secret that is valid but somebody else's.
      const { key } = route.level === 'operator' ? server.operator : customer;
      const answer = await call(route, customer.api.as({ id: keyIds.account, secret: key.secret }));
      expect([answer.status, answer.body.code]).toEqual([401, 'invalid_key']);
    });
  });

  describe('403', () => {
    test.each(byName)('%s: with every permission but its own', async (_name, route) => {
      expect(route.permission).not.toBeNull();
      const answer = await call(route, withoutOne.get(route.permission!)!);
      expect([answer.status, answer.body.code]).toEqual([403, 'permission_denied']);
      expect(answer.headers.get('X-Environment')).toBe('LIVE');
    });
  });

  describe('404', () => {
    const malformed = ['x', 'I_0000000000000000000000000', '%00', 'a%2Fb', '..%2f', 'x'.repeat(64), 'é'];

    test.each(having(hasParameters))('%s: for an id that does not exist', async (_name, route) => {
      for (const [name, id] of Object.entries(unknownIds())) {
        if (!route.path.includes(`{${name}}`)) continue;
        const answer = await callerOf(route).request(route.method, pathWith(route, { [name]: id }), {
          ...(route.body && { body: exampleBodyOf(route, ids) }),
        });
        expect([name, answer.status, answer.body.code]).toEqual([name, 404, 'not_found']);
        expect(answer.text).not.toContain(id);
      }
    });

    test.each(having(hasParameters))('%s: for what no id of ours can be', async (_name, route) => {
      const names = [...route.path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!);
      for (const name of names) {
        for (const id of malformed) {
          const answer = await callerOf(route).request(route.method, pathWith(route, { [name]: id }));
          expect([name, id, answer.status, answer.body.code]).toEqual([name, id, 404, 'not_found']);
        }
      }
    });
  });

  describe('405', () => {
    const paths = [...new Set(managementRoutes.map(({ path }) => path))];

    test.each(paths)('%s: says which methods it answers', async (path) => {
      const answered = managementRoutes.filter((route) => route.path === path);
      const methods = new Set<string>(answered.map(({ method }) => method));
      if (methods.has('GET')) methods.add('HEAD');
      for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND']) {
        if (methods.has(method)) continue;
        const answer = await customer.api.request(method, pathWith(answered[0]!));
        expect([method, answer.status, answer.body.code]).toEqual([method, 405, 'method_not_allowed']);
        expect(new Set(answer.headers.get('Allow')?.split(', '))).toEqual(methods);
      }
    });
  });

  describe('412', () => {
    test.each(having(changesAnObject))(
      '%s: when the object is at another version than If-Match names',
      async (_name, route) => {
        for (const stale of ['"999"', 'W/"1"', '"999", W/"1"']) {
          const answer = await call(route, callerOf(route), { 'If-Match': stale });
          expect([stale, answer.status, answer.body.code]).toEqual([stale, 412, 'precondition_failed']);
        }
      },
    );

    test.each(having(changesAnObject))(
      '%s: is a 400 where If-Match is no entity tag at all',
      async (_name, route) => {
        for (const malformed of ['1', '"1', '"1" "2"', 'latest']) {
          const answer = await call(route, callerOf(route), { 'If-Match': malformed });
          expect([malformed, answer.status, answer.body.code]).toEqual([malformed, 400, 'bad_request']);
        }
      },
    );
  });

  describe('bodies', () => {
    const taking = having((route) => route.method !== 'GET');

    test.each(taking)('400 %s: what is no JSON', async (_name, route) => {
      for (const rawBody of [
        '{',
        '{"a":1,}',
        "{'a':1}",
        'undefined',
        '{}{}',
        '\ufeff{}',
        '{"__proto__":{}}',
      ]) {
        const answer = await callerOf(route).request(route.method, pathWith(route), { rawBody });
        expect([rawBody, answer.status, answer.body.code]).toEqual([rawBody, 400, 'malformed_json']);
      }
      const notUtf8 = await callerOf(route).request(route.method, pathWith(route), {
        rawBody: Buffer.from('{"name":"\xff"}', 'latin1'),
      });
      expect([notUtf8.status, notUtf8.body.code]).toEqual([400, 'malformed_json']);
    });

    test.each(taking)('413 %s: more than 256 KiB, announced or not', async (_name, route) => {
      const body = ' '.repeat(256 * 1024 + 1);
      const headers = { Authorization: basic(keyOf(route)), 'Content-Type': 'application/json' };
      for (const isChunked of [false, true]) {
        const url = server.url + pathWith(route);
        const answer = await send(url, { method: route.method, headers, body, isChunked });
        expect([isChunked, answer.status, answer.body.code]).toEqual([isChunked, 413, 'body_too_large']);
      }
      const whole = await callerOf(route).request(route.method, pathWith(route), { rawBody: body.slice(1) });
      expect([whole.status, whole.body.code]).toEqual([400, 'malformed_json']);
    });

    test.each(taking)('415 %s: what is not called JSON', async (_name, route) => {
      const types = ['text/plain', 'application/x-www-form-urlencoded', 'application/json; charset=latin1'];
      if (route.isMergePatch !== true) types.push('application/merge-patch+json');
      for (const type of types) {
        const headers = { Authorization: basic(keyOf(route)), 'Content-Type': type };
        const answer = await send(server.url + pathWith(route), {
          method: route.method,
          headers,
          body: '{}',
        });
        expect([type, answer.status, answer.body.code]).toEqual([type, 415, 'unsupported_media_type']);
      }
      const headers = { Authorization: basic(keyOf(route)) };
      const untyped = await send(server.url + pathWith(route), { method: route.method, headers, body: '{}' });
      expect(untyped.status).toBe(415);
    });

    test.each(taking)('422 %s: a member that it does not know', async (_name, route) => {
      const answer = await callerOf(route).request(route.method, pathWith(route), {
        rawBody: '{"surprise":1}',
      });
      expect([answer.status, answer.body.code]).toEqual([422, 'invalid_request']);
      if (route.body === undefined) return;
      expect(answer.body.errors).toContainEqual(
        expect.objectContaining({ path: 'surprise', code: 'unknown_member' }),
      );
    });

    test.each(taking)('422 %s: what is no object', async (_name, route) => {
      for (const rawBody of ['null', '[]', '"x"', '1', 'true']) {
        const answer = await callerOf(route).request(route.method, pathWith(route), { rawBody });
        expect([rawBody, answer.status, answer.body.code]).toEqual([rawBody, 422, 'invalid_request']);
      }
    });
  });

  describe('queries', () => {
    test.each(byName)('422 %s: a parameter that it does not know', async (_name, route) => {
      const path = pathWith(route);
      const answer = await callerOf(route).request(
        route.method,
        `${path}${path.includes('?') ? '&' : '?'}surprise=1`,
      );
      expect([answer.status, answer.body.code]).toEqual([422, 'invalid_request']);
      expect(answer.body.errors).toContainEqual(
        expect.objectContaining({ path: 'query.surprise', code: 'unknown_member' }),
      );
    });
  });
});

function basic({ id, secret }: { id: string; secret: string }): string {
  return `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`;
}

function keyOf(route: ManagementRoute): { id: string; secret: string } {
  return route.level === 'operator' ? server.operator.key : customer.key;
}
