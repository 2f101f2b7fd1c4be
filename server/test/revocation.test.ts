import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { ApiAnswer, ApiClient } from './harness/api-client.ts';
import { type Customer, createCustomer } from './harness/customer.ts';
import { startTestServer, TestClock, type TestServer } from './harness/server.ts';
import { everyPermission } from './harness/tenant.ts';
import { createKey, succeeded, type TestKey } from './harness/test-issuer.ts';

/*
 * Attack: a key goes on being used at the moment it is taken away, at every door there is, with all that a node holds
 * in memory warmed up before. The very next request has to be refused.
 */

const secondsToLive = 3_600;

let server: TestServer;
let clock: TestClock;
beforeAll(async () => {
  clock = new TestClock();
  server = await startTestServer({ clock });
});
afterAll(() => server.close());

type Level = 'account' | 'issuer' | 'organization';

/** An account with a key at each level, and one more that looks on. */
interface Scene {
  customer: Customer;
  watcher: ApiClient;
  issuerPath: string;
  organizationPath: string;
  externalId: string;
  keys: Record<Level, TestKey>;
}

let scene: Scene;
beforeEach(async () => {
  const customer = await createCustomer(server);
  const { id: issuer } = await customer.api.create('/v1/issuers', { name: 'Acme API' });
  const issuerPath = `/v1/issuers/${issuer}`;
  const externalId = 'tenant_abc123';
  const organization = await customer.api.create(`${issuerPath}/organizations`, {
    name: 'Tenant',
    external_id: externalId,
  });
  const organizationPath = `${issuerPath}/organizations/${organization.id}`;
  const key = (path: string) =>
    createKey(customer.api, `${path}/api-keys`, {
      restrictions: { scopes: [...everyPermission] },
      expires_at: new Date(clock.nowMs() + secondsToLive * 1000).toISOString(),
    });
  scene = {
    customer,
    watcher: customer.api,
    issuerPath,
    organizationPath,
    externalId,
    keys: {
      account: await key('/v1'),
      issuer: await key(issuerPath),
      organization: await key(organizationPath),
    },
  };
});

interface Ending {
  name: string;
  end: () => Promise<unknown>;
  /** Undoes it, where that can be. */
  undo?: () => Promise<unknown>;
  /** The keys that it ends. */
  ends: readonly Level[];
  status: 401 | 403;
  code: string;
  verifyCode: string;
}

const all: readonly Level[] = ['account', 'issuer', 'organization'];
const act = (path: () => string, verb: string) => async () =>
  succeeded(await scene.customer.api.post(`${path()}/${verb}`));
const operate = (verb: string) => async () =>
  succeeded(await server.operator.api.post(`/v1/accounts/${scene.customer.id}/${verb}`));

const ofKeys: Ending[] = all.flatMap((level) => {
  const path = () => scene.keys[level].path;
  return [
    {
      name: `the key of the ${level} is revoked`,
      end: act(path, 'revoke'),
      ends: [level],
      status: 401,
      code: 'revoked_key',
      verifyCode: 'REVOKED',
    },
    {
      name: `the key of the ${level} is disabled`,
      end: act(path, 'disable'),
      undo: act(path, 'enable'),
      ends: [level],
      status: 401,
      code: 'disabled_key',
      verifyCode: 'DISABLED',
    },
    {
      name: `the key of the ${level} is deleted`,
      end: async () => succeeded(await scene.customer.api.delete(path())),
      ends: [level],
      status: 401,
      code: 'invalid_key',
      verifyCode: 'NOT_FOUND',
    },
    {
      name: `the key of the ${level} is made to expire`,
      end: async () => {
        const expiresAt = new Date(clock.nowMs() + 1000).toISOString();
        succeeded(await scene.customer.api.patch(path(), { expires_at: expiresAt }));
        clock.advance(1);
      },
      undo: async () => succeeded(await scene.customer.api.patch(path(), { expires_at: null })),
      ends: [level],
      status: 401,
      code: 'expired_key',
      verifyCode: 'EXPIRED',
    },
  ] satisfies Ending[];
});

const endings: Ending[] = [
  ...ofKeys,
  {
    name: 'time has passed',
    end: async () => clock.advance(secondsToLive),
    ends: all,
    status: 401,
    code: 'expired_key',
    verifyCode: 'EXPIRED',
  },
  {
    name: 'the organization is suspended',
    end: act(() => scene.organizationPath, 'suspend'),
    undo: act(() => scene.organizationPath, 'activate'),
    ends: ['organization'],
    status: 403,
    code: 'tenant_suspended',
    verifyCode: 'TENANT_SUSPENDED',
  },
  {
    name: 'the organization is deleted',
    end: async () => succeeded(await scene.customer.api.delete(scene.organizationPath)),
    ends: ['organization'],
    status: 401,
    code: 'invalid_key',
    verifyCode: 'NOT_FOUND',
  },
  {
    name: 'the issuer is suspended',
    end: act(() => scene.issuerPath, 'suspend'),
    undo: act(() => scene.issuerPath, 'activate'),
    ends: ['issuer', 'organization'],
    status: 403,
    code: 'issuer_suspended',
    verifyCode: 'ISSUER_SUSPENDED',
  },
  {
    name: 'the issuer is deleted',
    end: async () => succeeded(await scene.customer.api.delete(scene.issuerPath)),
    ends: ['issuer', 'organization'],
    status: 401,
    code: 'invalid_key',
    verifyCode: 'NOT_FOUND',
  },
  {
    name: 'the account is suspended',
    end: operate('suspend'),
    undo: operate('activate'),
    ends: all,
    status: 403,
    code: 'account_suspended',
    verifyCode: 'ACCOUNT_SUSPENDED',
  },
];

describe('refused by the very next request, at every door', () => {
  test.each(endings)('when $name', async ({ end, undo, ends, status, code, verifyCode }) => {
    await expectAlive(all);
    await end();
    for (const level of ends) {
      for (const [door, answer] of await knock(level)) {
        expect([answer.status, codeOf(answer)], `${level} at ${door}`).toEqual([status, code]);
      }
      const seen = await verify(scene.watcher, { key: scene.keys[level].secret });
      // Where the account itself ends, its watcher does too.
      if (code === 'account_suspended') expect(codeOf(seen)).toBe(code);
      else expect([seen.status, seen.body.valid, seen.body.code]).toEqual([200, false, verifyCode]);
    }
    await expectAlive(all.filter((level) => !ends.includes(level)));
    if (undo === undefined) return;
    await undo();
    await expectAlive(all);
  });

  test('when the account is deleted', async () => {
    await expectAlive(all);
    const { id } = scene.customer;
    const query = new URLSearchParams({ name: 'Acme', force: 'true' });
    succeeded(await server.operator.api.delete(`/v1/accounts/${id}?${query}`));
    for (const level of all) {
      for (const [door, answer] of await knock(level)) {
        // Until the job has come by the account is going, then nobody knows its keys.
        expect(['account_suspended', 'invalid_key', 'not_found'], `${level} at ${door}`).toContain(
          codeOf(answer),
        );
      }
    }
  });

  test('when the live issuer is deleted, also the keys of its sandbox twin', async () => {
    const twin = await scene.customer.api.create(`${scene.issuerPath}/sandbox-issuer`);
    const key = await createKey(scene.customer.api, `/v1/issuers/${twin.id}/api-keys`);
    const me = () => scene.customer.api.as(key).get('/v1/me');
    expect((await me()).status).toBe(200);
    succeeded(await scene.customer.api.delete(scene.issuerPath));
    expect(codeOf(await me())).toBe('invalid_key');
  });
});

describe('an issuer’s key that acts for a tenant', () => {
  test('is refused for it by the very next request once the tenant is suspended, and once it is gone', async () => {
    const decide = async () => (await verify(scene.watcher, asked)).body.code;
    const asked = { key: scene.keys.issuer.secret, tenant: scene.externalId };
    expect(await decide()).toBe('VALID');
    await act(() => scene.organizationPath, 'suspend')();
    expect(await decide()).toBe('TENANT_SUSPENDED');
    await act(() => scene.organizationPath, 'activate')();
    expect(await decide()).toBe('VALID');
    succeeded(await scene.customer.api.patch(scene.organizationPath, { external_id: 'another' }));
    expect(await decide()).toBe('TENANT_MISMATCH');
    succeeded(await scene.customer.api.patch(scene.organizationPath, { external_id: scene.externalId }));
    expect(await decide()).toBe('VALID');
    succeeded(await scene.customer.api.delete(scene.organizationPath));
    expect(await decide()).toBe('TENANT_MISMATCH');
  });
});

describe('what a key may do', () => {
  test('is less from the very next request on', async () => {
    const { api } = scene.customer;
    const { path, secret } = scene.keys.account;
    const caller = api.as(scene.keys.account);
    const restrict = async (restrictions: object) => succeeded(await api.patch(path, { restrictions }));
    const verdict = async (more: object = {}) =>
      (await verify(scene.watcher, { key: secret, ...more })).body.code;

    expect((await caller.get('/v1/issuers')).status).toBe(200);
    await restrict({ scopes: ['keys:verify'] });
    expect(codeOf(await caller.get('/v1/issuers'))).toBe('permission_denied');
    expect((await verify(caller, { key: secret })).status).toBe(200);
    await restrict({ scopes: [] });
    expect(codeOf(await verify(caller, { key: secret }))).toBe('permission_denied');

    expect(await verdict({ origin: 'https://evil.example' })).toBe('VALID');
    await restrict({ origins: ['https://app.example.com'] });
    expect(await verdict({ origin: 'https://evil.example' })).toBe('ORIGIN_NOT_ALLOWED');
    expect(await verdict({ ip: '203.0.113.9' })).toBe('VALID');
    await restrict({ ips: ['198.51.100.0/24'] });
    expect(await verdict({ ip: '203.0.113.9' })).toBe('IP_NOT_ALLOWED');
    expect(codeOf(await caller.get('/v1/me'))).toBe('ip_not_allowed');
  });

  test('ends with a publishable scope from the very next request on', async () => {
    const { api } = scene.customer;
    succeeded(await api.patch(scene.issuerPath, { publishable_scopes: ['catalog:read'] }));
    const key = await createKey(api, `${scene.issuerPath}/api-keys`, {
      kind: 'publishable',
      restrictions: { scopes: ['catalog:read'] },
    });
    const verdict = async () =>
      (await verify(scene.watcher, { key: key.secret, scopes: ['catalog:read'] })).body.code;
    expect(await verdict()).toBe('VALID');
    succeeded(await api.patch(scene.issuerPath, { publishable_scopes: [] }));
    expect(await verdict()).toBe('INSUFFICIENT_SCOPE');
  });
});

describe('under traffic', () => {
  // Attack: keep asking while the key is revoked, so that some read is under way and may bring it back into memory.
  test('no request that begins after the revocation has been answered is accepted', async () => {
    for (let round = 0; round < 20; round++) {
      const key = await createKey(scene.customer.api, `${scene.issuerPath}/api-keys`);
      const state = { isRevoked: false, isDone: false };
      const late: string[] = [];
      let before = 0;
      const traffic = Array.from({ length: 8 }, async () => {
        while (!state.isDone) {
          const beganAfter = state.isRevoked;
          const { body } = await verify(scene.watcher, { key: key.secret });
          if (beganAfter) late.push(body.code);
          else before++;
        }
      });
      succeeded(await scene.customer.api.post(`${key.path}/revoke`));
      state.isRevoked = true;
      for (let asked = 0; asked < 10; asked++) {
        const { body } = await verify(scene.watcher, { key: key.secret });
        late.push(body.code);
      }
      state.isDone = true;
      await Promise.all(traffic);
      expect(new Set(late)).toEqual(new Set(['REVOKED']));
      expect(before).toBeGreaterThan(0);
    }
  });
});

async function expectAlive(levels: readonly Level[]): Promise<void> {
  for (const level of levels) {
    for (const [door, answer] of await knock(level))
      expect(answer.status, `${level} at ${door}: ${answer.text}`).toBe(200);
    const { body } = await verify(scene.watcher, { key: scene.keys[level].secret });
    expect(body.code, level).toBe('VALID');
  }
}

/** Asks at every door with the key of a level. */
async function knock(level: Level): Promise<[door: string, answer: ApiAnswer][]> {
  const key = scene.keys[level];
  const caller = scene.customer.api.as(key);
  const own = { account: '/v1/account', issuer: scene.issuerPath, organization: scene.organizationPath }[
    level
  ];
  const doors: [string, ApiAnswer][] = [
    ['me', await caller.get('/v1/me')],
    ['me, by key header', await caller.as(null).get('/v1/me', { 'X-API-Key': key.secret })],
    ['management', await caller.get(own)],
    ['events', await caller.get('/v1/events?limit=1')],
    ['verify, as the caller', await verify(caller, { key: key.secret })],
  ];
  if (level !== 'account') {
    const path = scene.issuerPath.replace('/v1/issuers/', '/v1/authorize/');
    doors.push(['authorize', await caller.as(null).get(path, { 'X-API-Key': key.secret })]);
  }
  // The gateway of an issuer that is gone is gone itself.
  return doors.filter(([door, answer]) => door !== 'authorize' || codeOf(answer) !== 'not_found');
}

function verify(caller: ApiClient, body: Record<string, unknown>): Promise<ApiAnswer> {
  return caller.post('/v1/keys/verify', body);
}

function codeOf(answer: ApiAnswer): string | undefined {
  return answer.body?.code;
}
