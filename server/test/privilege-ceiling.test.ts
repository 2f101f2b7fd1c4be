import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isManagementPermission, managementPermissions, permissionsOfAccount } from '../src/scopes/scope.ts';
import type { ApiAnswer, ApiClient } from './harness/api-client.ts';
import { createCustomer } from './harness/customer.ts';
import { scaled } from './harness/scale.ts';
import { startTestServer, type TestServer } from './harness/server.ts';
import { createKey, succeeded } from './harness/test-issuer.ts';

/*
 * Attack: whoever may make and change keys climbs: mints a key that may more than they may, has it make another one,
 * patches the one with the other, goes by another level, another environment, an absent or empty list of scopes.
 */

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.close());

const levels = ['account', 'issuer', 'organization'] as const;
type Level = (typeof levels)[number];

/** What a key holds of Gatelodge's own permissions, as its answers say. */
interface Held {
  path: string;
  api: ApiClient;
  permissions: ReadonlySet<string>;
}

const scopes = fc.option(
  fc.subarray([...managementPermissions, 'invoices:read', 'gatelodge.api-keys:write'], { minLength: 0 }),
  { nil: null, freq: 6 },
);
/** Absent members, `null`, an empty list and a list are different things to ask for. */
const restrictions = fc.oneof(
  fc.constant(undefined),
  fc.constant(null),
  fc.constant({}),
  scopes.map((list) => ({ scopes: list })),
);
const step = fc.record({
  what: fc.constantFrom('create', 'patch', 'patchItself' as const),
  by: fc.nat(),
  whom: fc.nat(),
  level: fc.constantFrom(...levels),
  environment: fc.constantFrom(undefined, 'live', 'sandbox'),
  restrictions,
});

describe.each(['customer', 'operator'] as const)('in the account of a %s', (owner) => {
  test(
    'no sequence of creations and changes makes a key that holds more than whoever made it so',
    async () => {
      const api = owner === 'operator' ? server.operator.api : (await createCustomer(server)).api;
      const ofAccount = permissionsOfAccount({ isOperator: owner === 'operator' });
      const { id: issuer } = await api.create('/v1/issuers', { name: 'Acme API' });
      const { id: organization } = await api.create(`/v1/issuers/${issuer}/organizations`, {
        name: 'Tenant',
      });
      const paths: Record<Level, string> = {
        account: '/v1/api-keys',
        issuer: `/v1/issuers/${issuer}/api-keys`,
        organization: `/v1/issuers/${issuer}/organizations/${organization}/api-keys`,
      };
      let granted = 0;
      const first = fc.tuple(...levels.map(() => fc.subarray([...ofAccount])));
      await fc.assert(
        fc.asyncProperty(first, fc.array(step, { minLength: 3, maxLength: 12 }), async (starts, steps) => {
          const keys: Held[] = [];
          for (const [index, level] of levels.entries()) {
            const start = ['gatelodge.api-keys:write', 'gatelodge.api-keys:read', ...starts[index]!];
            const key = await createKey(api, paths[level], { restrictions: { scopes: start } });
            keys.push({ path: key.path, api: api.as(key), permissions: new Set(start) });
          }
          for (const { what, by, whom, level, environment, restrictions: asked } of steps) {
            const caller = keys[by % keys.length]!;
            const target = what === 'patchItself' ? caller : keys[whom % keys.length]!;
            const answer =
              what === 'create'
                ? await caller.api.post(paths[level], { environment, restrictions: asked })
                : await caller.api.patch(target.path, { restrictions: asked });
            const now = await permissionsAt(
              api,
              what === 'create' ? answer.body.data?.path : target.path,
              ofAccount,
              answer,
            );
            if (answer.status >= 300) {
              expect([403, 404, 422], answer.text).toContain(answer.status);
              if (what !== 'create') expect(now).toEqual(target.permissions);
              continue;
            }
            granted++;
            const ceiling =
              what === 'create' ? caller.permissions : union(caller.permissions, target.permissions);
            expect([...now!].filter((permission) => !ceiling.has(permission))).toEqual([]);
            if (what !== 'create') target.permissions = now!;
            else {
              const { id, secret_plain: secret } = answer.body.data;
              keys.push({ path: `${paths[level]}/${id}`, api: api.as({ id, secret }), permissions: now! });
            }
          }
        }),
        { numRuns: scaled(25, 500) },
      );
      expect(granted).toBeGreaterThan(20);
    },
    scaled(60_000, 1_800_000),
  );

  test('a permission that a key holds by name may be granted, one that it does not may not, each one', async () => {
    const api = owner === 'operator' ? server.operator.api : (await createCustomer(server)).api;
    const ofAccount = permissionsOfAccount({ isOperator: owner === 'operator' });
    for (const permission of managementPermissions) {
      const grant = (caller: ApiClient) =>
        caller.post('/v1/api-keys', { restrictions: { scopes: [permission] } });
      const withIt = await createLimited(api, [...ofAccount]);
      expect((await grant(withIt)).status, permission).toBe(ofAccount.has(permission) ? 201 : 403);
      if (permission === 'gatelodge.api-keys:write') continue;
      const without = await createLimited(
        api,
        [...ofAccount].filter((each) => each !== permission),
      );
      expect((await grant(without)).body.code, permission).toBe('permission_denied');
    }
  });
});

describe('what is no permission by its name', () => {
  test.each([
    'gatelodge.api-keys:Write',
    'GATELODGE.api-keys:write',
    'Gatelodge.issuers:write',
    'KEYS:verify',
    'gatelodge.everything:write',
    'gatelodge:write',
    'gatelodge.api-keys:*',
    '*:*',
    '*',
    'gatelodge.api-keys: write',
    'gatelodge.api-keys:write\u200b',
    'gatelodge.api-keys:write ',
    'gatelodge.api-keys:write,gatelodge.accounts:write',
    'ɡatelodge.api-keys:write',
    'gatelodge․api-keys:write',
  ])('%s is refused as a scope', async (scope) => {
    const answer = await server.operator.api.post('/v1/api-keys', { restrictions: { scopes: [scope] } });
    expect([answer.status, answer.body.code]).toEqual([422, 'invalid_request']);
  });
});

describe('members and groups', () => {
  // Attack: who may not make a key with a permission gives it to a person, whose token or key then has it.
  test('are given no permission in Gatelodge, by whoever holds it and at whichever level, each one', async () => {
    const { api } = await createCustomer(server);
    const { id: issuer } = await api.create('/v1/issuers', { name: 'Acme API' });
    const { id: organization } = await api.create(`/v1/issuers/${issuer}/organizations`, { name: 'Tenant' });
    const below = `/v1/issuers/${issuer}/organizations/${organization}`;
    const user = await api.create(`/v1/issuers/${issuer}/users`, { username: 'member@example.com' });
    const member = await api.create(`/v1/issuers/${issuer}/users`, { username: 'other@example.com' });
    await api.create(`${below}/members`, { member_id: member.id, scopes: ['invoices:read'] });
    const group = await api.create(`${below}/groups`, { name: 'Group', scopes: ['invoices:read'] });
    const everything = { restrictions: { scopes: [...permissionsOfAccount({ isOperator: false })] } };
    const callers = [
      api,
      api.as(await createKey(api, `/v1/issuers/${issuer}/api-keys`, everything)),
      api.as(await createKey(api, `${below}/api-keys`, everything)),
    ];
    for (const permission of managementPermissions) {
      const scopes = ['invoices:read', permission];
      for (const caller of callers) {
        const answers = [
          await caller.post(`${below}/members`, { member_id: user.id, scopes }),
          await caller.patch(`${below}/members/${member.id}`, { scopes }),
          await caller.post(`${below}/groups`, { name: 'New', scopes }),
          await caller.patch(`${below}/groups/${group.id}`, { scopes }),
        ];
        for (const answer of answers) {
          expect(answer.status, permission).toBe(422);
          expect(answer.body.errors).toMatchObject([{ path: 'scopes[1]', code: 'reserved_scope' }]);
        }
      }
    }
  });

  test('are changed by nobody with less than the permission to', async () => {
    const { api } = await createCustomer(server);
    const { id: issuer } = await api.create('/v1/issuers', { name: 'Acme API' });
    const { id: organization } = await api.create(`/v1/issuers/${issuer}/organizations`, { name: 'Tenant' });
    const below = `/v1/issuers/${issuer}/organizations/${organization}`;
    const user = await api.create(`/v1/issuers/${issuer}/users`, { username: 'member@example.com' });
    const others = ['members:read', 'groups:write', 'users:write', 'organizations:write', 'api-keys:write'];
    const scopes = [...others.map((each) => `gatelodge.${each}`), 'invoices:read'];
    const caller = api.as(await createKey(api, `${below}/api-keys`, { restrictions: { scopes } }));
    const answer = await caller.post(`${below}/members`, { member_id: user.id, scopes: ['invoices:read'] });
    expect([answer.status, answer.body.code]).toEqual([403, 'permission_denied']);
  });
});

describe('a sandbox key', () => {
  // Attack: a key that was given away for trying things out makes itself a live one.
  test('of the account mints no live key and touches no live object, whatever it holds', async () => {
    const { api } = await createCustomer(server);
    const live = await api.create('/v1/issuers', { name: 'live' });
    const liveKey = await createKey(api, `/v1/issuers/${live.id}/api-keys`);
    const sandbox = api.as(await createKey(api, '/v1/api-keys', { environment: 'sandbox' }));
    expect((await sandbox.post('/v1/api-keys', { environment: 'live' })).body.code).toBe('wrong_environment');
    expect((await sandbox.post('/v1/issuers', { name: 'x', environment: 'live' })).body.code).toBe(
      'wrong_environment',
    );
    const minted = await sandbox.create('/v1/api-keys', {});
    expect(minted.environment).toBe('sandbox');
    for (const [method, path] of [
      ['GET', `/v1/issuers/${live.id}`],
      ['PATCH', `/v1/issuers/${live.id}`],
      ['POST', `/v1/issuers/${live.id}/suspend`],
      ['POST', `/v1/issuers/${live.id}/api-keys`],
      ['POST', `/v1/issuers/${live.id}/organizations`],
      ['PUT', `/v1/issuers/${live.id}/key-profile`],
      ['GET', `/v1/issuers/${live.id}/signing-keys`],
      ['POST', `/v1/issuers/${live.id}/signing-keys/rotate`],
      ['POST', `${liveKey.path}/revoke`],
      ['DELETE', `/v1/issuers/${live.id}`],
    ] as const) {
      const body =
        method === 'GET' || path.includes('/suspend') || method === 'DELETE' || path.endsWith('revoke')
          ? {}
          : { body: { name: 'x' } };
      const sent = path.endsWith('key-profile') ? { body: {} } : body;
      const sentKey = /api-keys$|rotate$/.test(path) ? { body: {} } : sent;
      expect((await sandbox.request(method, path, sentKey)).status, `${method} ${path}`).toBe(404);
    }
    const renamed = await sandbox.patch('/v1/account', { name: 'taken over' });
    expect(renamed.body.code).toBe('wrong_environment');
  });

  // Attack: the same against the installation.
  test('of the operator may nothing that the operator may with other accounts', async () => {
    const customer = await createCustomer(server);
    const sandbox = server.operator.api.as(
      await createKey(server.operator.api, '/v1/api-keys', { environment: 'sandbox' }),
    );
    for (const path of ['/v1/accounts', `/v1/accounts/${customer.id}`])
      expect((await sandbox.get(path)).body.code).toBe('permission_denied');
    const suspended = await sandbox.post(`/v1/accounts/${customer.id}/suspend`);
    expect(suspended.body.code).toBe('permission_denied');
    expect((await customer.api.get('/v1/account')).body.data.status).toBe('active');
    const granted = await sandbox.post('/v1/api-keys', {
      restrictions: { scopes: ['gatelodge.accounts:write'] },
    });
    expect(granted.body.code).toBe('permission_denied');
  });
});

describe('a publishable key', () => {
  test('comes by no management permission, neither when it is made, when it is changed nor by its issuer', async () => {
    const { api } = await createCustomer(server);
    const { id } = await api.create('/v1/issuers', {
      name: 'Acme API',
      publishable_scopes: ['catalog:read'],
    });
    const path = `/v1/issuers/${id}/api-keys`;
    const key = await createKey(api, path, {
      kind: 'publishable',
      restrictions: { scopes: ['catalog:read'] },
    });
    for (const permission of managementPermissions) {
      const wanted = { restrictions: { scopes: [permission] } };
      expect((await api.post(path, { kind: 'publishable', ...wanted })).status, permission).not.toBe(201);
      expect((await api.patch(key.path, wanted)).status, permission).not.toBe(200);
      const marked = await api.patch(`/v1/issuers/${id}`, { publishable_scopes: [permission] });
      expect(marked.status, permission).toBe(422);
    }
    expect((await api.as(key).get(`/v1/issuers/${id}`)).status).toBe(403);
  });
});

/** What a key holds now, as someone who may read everything sees it; undefined where there is no key. */
async function permissionsAt(
  api: ApiClient,
  path: string | undefined,
  ofAccount: ReadonlySet<string>,
  answer: ApiAnswer,
): Promise<ReadonlySet<string> | undefined> {
  const data = path === undefined ? answer.body.data : succeeded(await api.get(path)).body.data;
  if (data === undefined) return undefined;
  const held: readonly string[] | null = data.restrictions.scopes;
  return held === null ? ofAccount : new Set(held.filter(isManagementPermission));
}

async function createLimited(api: ApiClient, permissions: readonly string[]): Promise<ApiClient> {
  return api.as(await createKey(api, '/v1/api-keys', { restrictions: { scopes: permissions } }));
}

function union(one: ReadonlySet<string>, other: ReadonlySet<string>): ReadonlySet<string> {
  return new Set([...one, ...other]);
}
