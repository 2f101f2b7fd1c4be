import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createCustomer, withScopes } from '../../test/harness/customer.ts';
import { send } from '../../test/harness/raw-http.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { createKey } from '../../test/harness/test-issuer.ts';
import { routes } from '../app.ts';
import { idPrefixes, newId } from '../ids/ids.ts';
import { type ManagementPermission, managementPermissions } from '../scopes/scope.ts';
import type { Route } from './route.ts';

// What every operation of the management API answers alike, generated from the list of routes so that a new one
// cannot be forgotten. What is particular to a route stands beside it.

type ManagementRoute = Exclude<Route, { handler: null }>;

const server = await startTestServer();
const rows = await Rows.open(server.database);
const { api } = server.operator;
afterAll(async () => {
  await rows.close();
  await server.close();
});

const management = routes.filter((route): route is ManagementRoute => route.handler !== null);
const byName = management.map((route) => [route.operationId, route] as const);
const having = (matches: (route: ManagementRoute) => boolean) => byName.filter(([, route]) => matches(route));
const hasParameters = (route: ManagementRoute) => route.path.includes('{');

const ids: Record<string, string> = {};
/** Keys of each level, because `key_id` of a path belongs to the level that the path names. */
const keyIds: Record<'account' | 'issuer' | 'organization', string> = {
  account: '',
  issuer: '',
  organization: '',
};
const withoutOne = new Map<ManagementPermission, typeof api>();

beforeAll(async () => {
  const issuer = await api.create('/v1/issuers', { name: 'Acme API' });
  const path = `/v1/issuers/${issuer.id}`;
  const organization = await api.create(`${path}/organizations`, { name: 'Tenant' });
  ids.account_id = (await createCustomer(server, { name: 'Acme' })).id;
  ids.issuer_id = issuer.id;
  ids.org_id = organization.id;
  keyIds.account = (await createKey(api, '/v1/api-keys')).id;
  keyIds.issuer = (await createKey(api, `${path}/api-keys`)).id;
  keyIds.organization = (await createKey(api, `${path}/organizations/${organization.id}/api-keys`)).id;
  for (const missing of managementPermissions) {
    const others = managementPermissions.filter((permission) => permission !== missing);
    withoutOne.set(missing, await withScopes(api, others));
  }
});

/** The path with ids that exist, some of them replaced; the query has what the route cannot do without. */
function pathOf({ path, operationId }: ManagementRoute, replaced: Record<string, string> = {}): string {
  const level = path.includes('{org_id}')
    ? 'organization'
    : path.includes('{issuer_id}')
      ? 'issuer'
      : 'account';
  const known: Record<string, string> = { ...ids, key_id: keyIds[level], ...replaced };
  const query = operationId === 'accounts.delete' ? '?name=Acme' : '';
  return path.replaceAll(/\{(\w+)\}/g, (_all, name: string) => known[name]!) + query;
}

function call(route: ManagementRoute, as = api, headers: Record<string, string> = {}) {
  return as.request(route.method, pathOf(route), {
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
      const answer = await call(route, api.as(null));
      expect(answer.body).toMatchObject({ status: 401, code: 'missing_key' });
      expect(answer.status).toBe(401);
      expect(answer.headers.get('WWW-Authenticate')).toMatch(/Basic.*Bearer/);
      expect(answer.headers.get('Content-Type')).toBe('application/problem+json');
      expect(answer.headers.get('X-Request-Id')).toBe(answer.body.request_id);
    });

    test.each(byName)('%s: with a secret under the id of another key', async (_name, route) => {
      // The attack: a stolen id, and a secret that is valid but somebody else's.
      const answer = await call(route, api.as({ id: keyIds.account, secret: server.operator.key.secret }));
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
      for (const [name, prefix] of [
        ['account_id', idPrefixes.account],
        ['issuer_id', idPrefixes.issuer],
        ['org_id', idPrefixes.organization],
        ['key_id', idPrefixes.apiKey],
      ] as const) {
        if (!route.path.includes(`{${name}}`)) continue;
        const id = newId(prefix);
        const answer = await api.request(route.method, pathOf(route, { [name]: id }), {
          ...(route.method !== 'GET' && { rawBody: minimalBodyOf(route) }),
        });
        expect([name, answer.status, answer.body.code]).toEqual([name, 404, 'not_found']);
        expect(answer.text).not.toContain(id);
      }
    });

    test.each(having(hasParameters))('%s: for what no id of ours can be', async (_name, route) => {
      const names = [...route.path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!);
      for (const name of names) {
        for (const id of malformed) {
          const answer = await api.request(route.method, pathOf(route, { [name]: id }));
          expect([name, id, answer.status, answer.body.code]).toEqual([name, id, 404, 'not_found']);
        }
      }
    });
  });

  describe('405', () => {
    const paths = [...new Set(management.map(({ path }) => path))];

    test.each(paths)('%s: says which methods it answers', async (path) => {
      const answered = management.filter((route) => route.path === path);
      const methods = new Set<string>(answered.map(({ method }) => method));
      if (methods.has('GET')) methods.add('HEAD');
      for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND']) {
        if (methods.has(method)) continue;
        const answer = await api.request(method, pathOf(answered[0]!));
        expect([method, answer.status, answer.body.code]).toEqual([method, 405, 'method_not_allowed']);
        expect(new Set(answer.headers.get('Allow')?.split(', '))).toEqual(methods);
      }
    });
  });

  describe('412', () => {
    test.each(having((route) => route.method !== 'GET' && route.creates !== true))(
      '%s: when the object is at another version than If-Match names',
      async (_name, route) => {
        for (const stale of ['"999"', 'W/"1"', '1', '"999", W/"1"']) {
          const answer = await call(route, api, { 'If-Match': stale });
          expect([stale, answer.status, answer.body.code]).toEqual([stale, 412, 'precondition_failed']);
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
        const answer = await api.request(route.method, pathOf(route), { rawBody });
        expect([rawBody, answer.status, answer.body.code]).toEqual([rawBody, 400, 'malformed_json']);
      }
      const notUtf8 = await api.request(route.method, pathOf(route), {
        rawBody: Buffer.from('{"name":"\xff"}', 'latin1'),
      });
      expect([notUtf8.status, notUtf8.body.code]).toEqual([400, 'malformed_json']);
    });

    test.each(taking)('413 %s: more than 256 KiB, announced or not', async (_name, route) => {
      const body = ' '.repeat(256 * 1024 + 1);
      const headers = { Authorization: basic(server.operator.key), 'Content-Type': 'application/json' };
      for (const isChunked of [false, true]) {
        const url = server.url + pathOf(route);
        const answer = await send(url, { method: route.method, headers, body, isChunked });
        expect([isChunked, answer.status, answer.body.code]).toEqual([isChunked, 413, 'body_too_large']);
      }
      const whole = await api.request(route.method, pathOf(route), { rawBody: body.slice(1) });
      expect([whole.status, whole.body.code]).toEqual([400, 'malformed_json']);
    });

    test.each(taking)('415 %s: what is not called JSON', async (_name, route) => {
      const types = ['text/plain', 'application/x-www-form-urlencoded', 'application/json; charset=latin1'];
      if (route.isMergePatch !== true) types.push('application/merge-patch+json');
      for (const type of types) {
        const headers = { Authorization: basic(server.operator.key), 'Content-Type': type };
        const answer = await send(server.url + pathOf(route), { method: route.method, headers, body: '{}' });
        expect([type, answer.status, answer.body.code]).toEqual([type, 415, 'unsupported_media_type']);
      }
      const headers = { Authorization: basic(server.operator.key) };
      const untyped = await send(server.url + pathOf(route), { method: route.method, headers, body: '{}' });
      expect(untyped.status).toBe(415);
    });

    test.each(taking)('422 %s: a member that it does not know', async (_name, route) => {
      const answer = await api.request(route.method, pathOf(route), { rawBody: '{"surprise":1}' });
      expect([answer.status, answer.body.code]).toEqual([422, 'invalid_request']);
      if (route.body === undefined) return;
      expect(answer.body.errors).toContainEqual(
        expect.objectContaining({ path: 'surprise', code: 'unknown_member' }),
      );
    });

    test.each(taking)('422 %s: what is no object', async (_name, route) => {
      for (const rawBody of ['null', '[]', '"x"', '1', 'true']) {
        const answer = await api.request(route.method, pathOf(route), { rawBody });
        expect([rawBody, answer.status, answer.body.code]).toEqual([rawBody, 422, 'invalid_request']);
      }
    });
  });

  describe('queries', () => {
    test.each(byName)('422 %s: a parameter that it does not know', async (_name, route) => {
      const path = pathOf(route);
      const answer = await api.request(route.method, `${path}${path.includes('?') ? '&' : '?'}surprise=1`);
      expect([answer.status, answer.body.code]).toEqual([422, 'invalid_request']);
      expect(answer.body.errors).toContainEqual(
        expect.objectContaining({ path: 'query.surprise', code: 'unknown_member' }),
      );
    });
  });
});

describe('who may call at all', () => {
  // Written out, not derived: a route that opens itself to keys of a lower level has to be noticed.
  const everyKey = ['events.list'];
  const belowOrganization = [
    'organizations.get',
    ...['create', 'list', 'get', 'update', 'disable', 'enable', 'revoke', 'delete'].map(
      (verb) => `organization.apiKeys.${verb}`,
    ),
  ];
  const belowIssuer = [
    ...['get', 'update', 'suspend', 'activate', 'delete', 'createSandbox'].map((verb) => `issuers.${verb}`),
    'keyProfiles.get',
    'keyProfiles.put',
    ...['create', 'list', 'update', 'suspend', 'activate', 'delete'].map((verb) => `organizations.${verb}`),
    ...['create', 'list', 'get', 'update', 'disable', 'enable', 'revoke', 'delete'].map(
      (verb) => `issuer.apiKeys.${verb}`,
    ),
  ];

  test.each([
    ['organization', [...everyKey, ...belowOrganization]],
    ['issuer', [...everyKey, ...belowOrganization, ...belowIssuer]],
  ] as const)('a key of an %s reaches what lies at or below it', async (level, expected) => {
    const owner = `/v1/issuers/${ids.issuer_id}${level === 'organization' ? `/organizations/${ids.org_id}` : ''}`;
    const caller = await withScopes(api, managementPermissions, `${owner}/api-keys`);
    const reached: string[] = [];
    for (const route of management) {
      // A query that no route takes: whoever gets past the gate is told about that, and nothing is done.
      const answer = await caller.request(route.method, `${pathOf(route).split('?')[0]}?surprise=1`);
      if (answer.status === 422) reached.push(route.operationId);
      else expect([route.operationId, answer.body.code]).toEqual([route.operationId, 'permission_denied']);
    }
    expect(reached.sort()).toEqual([...expected].sort());
  });

  test('only the operator’s live account keys reach the accounts', async () => {
    const customer = await createCustomer(server);
    const sandboxKey = await createKey(api, '/v1/api-keys', { environment: 'sandbox' });
    const ofIssuer = await withScopes(api, managementPermissions, `/v1/issuers/${ids.issuer_id}/api-keys`);
    const operators = management.filter(({ level }) => level === 'operator');
    expect(operators.map(({ operationId }) => operationId).sort()).toEqual(
      ['activate', 'create', 'delete', 'get', 'list', 'suspend', 'update'].map((verb) => `accounts.${verb}`),
    );
    const unchanged = await rows.snapshot();
    for (const caller of [customer.api, api.as(sandboxKey), ofIssuer]) {
      for (const route of operators) {
        const answer = await call(route, caller);
        expect([route.operationId, answer.status]).toEqual([route.operationId, 403]);
        expect(answer.body.code).toBe('permission_denied');
      }
    }
    expect(await rows.snapshot()).toEqual(unchanged);
  });
});

function basic({ id, secret }: { id: string; secret: string }): string {
  return `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`;
}

/** What a creation cannot do without; everything else may be left out. */
function minimalBodyOf({ operationId }: ManagementRoute): string {
  return operationId === 'organizations.create' ? '{"name":"x"}' : '{}';
}
