import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ApiAnswer, ApiClient } from '../../test/harness/api-client.ts';
import { startTestServer, TestClock, type TestServer } from '../../test/harness/server.ts';
import { succeeded, TestIssuer, type TestKey } from '../../test/harness/test-issuer.ts';
import { verifyResult } from './contracts.ts';

const clock = new TestClock();
let server: TestServer;
let api: ApiClient;
let issuer: TestIssuer;

beforeAll(async () => {
  server = await startTestServer({ clock });
  api = server.operator.api;
  issuer = await TestIssuer.create(server);
});
afterAll(() => server.close());

/** A decision, which has to be one of the contract's form. */
async function verify(key: TestKey | string, body: Record<string, unknown> = {}): Promise<ApiAnswer> {
  const secret = typeof key === 'string' ? key : key.secret;
  const answer = await api.post('/v1/keys/verify', { key: secret, ...body });
  expect(answer.status).toBe(200);
  expect(answer.headers.get('content-type')).toBe('application/json; charset=utf-8');
  expect(answer.headers.get('cache-control')).toBe('no-store');
  // The schema drops what it does not declare.
  expect(verifyResult.parse(answer.body)).toEqual(answer.body);
  expect(answer.body.valid).toBe(answer.body.code === 'VALID');
  return answer;
}

const codeOf = async (key: TestKey | string, body?: Record<string, unknown>) =>
  (await verify(key, body)).body.code;

describe('VALID', () => {
  test('tells all that the contract names, and nothing else', async () => {
    const tenant = await issuer.createOrganization({ name: 'Acme', external_id: 'acme' });
    const expiresAt = new Date(clock.nowMs() + 3_600_000).toISOString();
    const key = await issuer.createKey(
      {
        name: 'billing',
        environment: 'sandbox',
        expires_at: expiresAt,
        metadata: { team: 'billing', nested: { deep: [1, null, 'ü'] } },
        restrictions: { scopes: ['invoices:read', 'invoices:write'] },
      },
      tenant.id,
    );
    const { body, headers } = await verify(key, { scopes: ['invoices:read'], request_id: 'mine-1' });
    expect(body).toEqual({
      valid: true,
      code: 'VALID',
      request_id: 'mine-1',
      key: {
        id: key.id,
        name: 'billing',
        kind: 'secret',
        metadata: { team: 'billing', nested: { deep: [1, null, 'ü'] } },
        expires_at: expiresAt,
      },
      account_id: server.operator.accountId,
      issuer_id: issuer.id,
      organization: { id: tenant.id, external_id: 'acme', name: 'Acme' },
      environment: 'sandbox',
      scopes: ['invoices:read', 'invoices:write'],
      limits: [
        {
          name: 'hour',
          level: 'account',
          limit: 1000,
          remaining: 999,
          reset: expect.any(Number),
          exceeded: false,
        },
        {
          name: 'day',
          level: 'account',
          limit: 10000,
          remaining: 9999,
          reset: expect.any(Number),
          exceeded: false,
        },
      ],
      warnings: [],
    });
    expect(headers.get('x-environment')).toBe('SANDBOX');
  });

  test('of a key of the issuer, of a publishable one, of the account', async () => {
    const publishable = await issuer.createKey({ kind: 'publishable' });
    expect((await verify(await issuer.createKey())).body).toMatchObject({ organization: null, scopes: [] });
    expect((await verify(publishable)).body.key.kind).toBe('publishable');
    const own = (await verify(server.operator.key.secret)).body;
    expect(own).toMatchObject({ valid: true, issuer_id: null, organization: null, environment: 'live' });
    expect(own.scopes).toContain('gatelodge.accounts:write');
  });

  test('names the organization that an issuer’s key acts for', async () => {
    const tenant = await issuer.createOrganization({ external_id: 'chosen' });
    const key = await issuer.createKey();
    for (const name of [tenant.id, 'chosen']) {
      expect((await verify(key, { tenant: name })).body.organization.id).toBe(tenant.id);
    }
  });

  test('null and missing are one', async () => {
    const key = await issuer.createKey();
    const nothing = { origin: null, ip: null, tenant: null, environment: null, scopes: null };
    expect(await codeOf(key, { ...nothing, request_id: null })).toBe('VALID');
  });

  test('the request’s id is the body’s, else the header’s', async () => {
    const key = await issuer.createKey();
    const ask = (body: Record<string, unknown>, headers: Record<string, string>) =>
      api.post('/v1/keys/verify', { key: key.secret, ...body }, headers);
    const both = await ask({ request_id: 'of-body' }, { 'X-Request-Id': 'of-header' });
    expect([both.body.request_id, both.headers.get('x-request-id')]).toEqual(['of-body', 'of-header']);
    const one = await ask({}, { 'X-Request-Id': 'of-header' });
    expect([one.body.request_id, one.headers.get('x-request-id')]).toEqual(['of-header', 'of-header']);
  });
});

describe('NOT_FOUND', () => {
  const nothing = {
    valid: false,
    code: 'NOT_FOUND',
    key: null,
    account_id: null,
    issuer_id: null,
    organization: null,
    environment: null,
    scopes: [],
    limits: [],
    warnings: [],
  };

  test('of whatever is no key, and its environment by its beginning', async () => {
    const forged = '0'.repeat(44);
    for (const [secret, label] of [
      ['x', 'LIVE'],
      [`gl_live_sk_${forged}`, 'LIVE'],
      [`gl_sandbox_pk_${forged}`, 'SANDBOX'],
      [`sk_dev_${forged}`, 'SANDBOX'],
      [`mlm_sandbox_${forged}`, 'SANDBOX'],
      ['ключ', 'LIVE'],
    ] as const) {
      const { body, headers } = await verify(secret, { request_id: 'r' });
      expect(body).toEqual({ ...nothing, request_id: 'r' });
      expect([secret, headers.get('x-environment')]).toEqual([secret, label]);
    }
  });

  test('of a deleted key, and of every key of a deleted issuer', async () => {
    const doomed = await TestIssuer.create(server);
    const [first, second] = [await doomed.createKey(), await doomed.createKey()];
    expect(await codeOf(first)).toBe('VALID');
    expect(await codeOf(second)).toBe('VALID');
    succeeded(await api.delete(first.path));
    expect(await codeOf(first)).toBe('NOT_FOUND');
    succeeded(await api.delete(doomed.path));
    expect(await codeOf(second)).toBe('NOT_FOUND');
  });
});

describe('a key that is not in force', () => {
  test('REVOKED, DISABLED until enabled, EXPIRED: and the answer tells whose it is', async () => {
    const key = await issuer.createKey({ restrictions: { scopes: ['invoices:read'] } });
    expect(await codeOf(key)).toBe('VALID');
    succeeded(await api.post(`${key.path}/disable`));
    expect(await codeOf(key)).toBe('DISABLED');
    succeeded(await api.post(`${key.path}/enable`));
    expect(await codeOf(key)).toBe('VALID');
    succeeded(await api.patch(key.path, { expires_at: new Date(clock.nowMs() + 1000).toISOString() }));
    clock.advance(1);
    expect(await codeOf(key)).toBe('EXPIRED');
    succeeded(await api.patch(key.path, { expires_at: null }));
    expect(await codeOf(key)).toBe('VALID');
    succeeded(await api.post(`${key.path}/revoke`));
    const { body } = await verify(key);
    expect(body).toMatchObject({
      code: 'REVOKED',
      key: { id: key.id },
      account_id: server.operator.accountId,
      issuer_id: issuer.id,
      environment: 'live',
      scopes: [],
    });
  });

  test('ISSUER_SUSPENDED', async () => {
    const suspended = await TestIssuer.create(server);
    const key = await suspended.createKey();
    expect(await codeOf(key)).toBe('VALID');
    succeeded(await api.post(`${suspended.path}/suspend`));
    expect(await codeOf(key)).toBe('ISSUER_SUSPENDED');
    succeeded(await api.post(`${suspended.path}/activate`));
    expect(await codeOf(key)).toBe('VALID');
  });

  test('of a suspended account can ask for nothing: its callers are suspended too', async () => {
    const { id, api_key: first } = await api.create('/v1/accounts', {
      name: 'Customer',
      owner_email: 'o@c.example',
    });
    const key = { id: first.id, secret: first.secret_plain };
    const ask = () => api.as(key).post('/v1/keys/verify', { key: key.secret });
    expect((await ask()).body.code).toBe('VALID');
    succeeded(await api.post(`/v1/accounts/${id}/suspend`));
    const refused = await ask();
    expect([refused.status, refused.body.code]).toEqual([403, 'account_suspended']);
  });
});

describe('what the request brings along', () => {
  test('WRONG_ENVIRONMENT', async () => {
    const key = await issuer.createKey({ environment: 'sandbox' });
    expect(await codeOf(key, { environment: 'live' })).toBe('WRONG_ENVIRONMENT');
    expect(await codeOf(key, { environment: 'sandbox' })).toBe('VALID');
  });

  test('TENANT_REQUIRED, TENANT_MISMATCH, TENANT_SUSPENDED', async () => {
    const strict = await TestIssuer.create(server, { preset: 'tenant-header' });
    const [acme, globex] = [
      await strict.createOrganization({ external_id: 'acme' }),
      await strict.createOrganization({ external_id: 'globex' }),
    ];
    const key = await strict.createKey({}, acme.id);
    expect(await codeOf(key)).toBe('TENANT_REQUIRED');
    expect(await codeOf(key, { tenant: 'acme' })).toBe('VALID');
    for (const other of [globex.id, 'globex', 'nobody', 'ACME', ' acme']) {
      expect([other, await codeOf(key, { tenant: other })]).toEqual([other, 'TENANT_MISMATCH']);
    }
    succeeded(await api.post(`${strict.path}/organizations/${acme.id}/suspend`));
    expect(await codeOf(key, { tenant: 'acme' })).toBe('TENANT_SUSPENDED');
  });

  test('a mismatch never names the tenant that it asked for', async () => {
    // Attack: a caller learns the names of other tenants by asking for them with a key that it holds.
    const [acme, globex] = [
      await issuer.createOrganization(),
      await issuer.createOrganization({ name: 'Globex Secret' }),
    ];
    const { text, body } = await verify(await issuer.createKey({}, acme.id), { tenant: globex.id });
    expect(body.code).toBe('TENANT_MISMATCH');
    expect(text).not.toContain('Globex');
    expect(text).not.toContain(globex.id);
  });

  test('a key of the account acts for no tenant', async () => {
    const tenant = await issuer.createOrganization();
    expect(await codeOf(server.operator.key.secret, { tenant: tenant.id })).toBe('TENANT_MISMATCH');
  });

  test('ORIGIN_NOT_ALLOWED', async () => {
    const key = await issuer.createKey({
      kind: 'publishable',
      restrictions: { origins: ['https://a.example'] },
    });
    expect(await codeOf(key, { origin: 'https://a.example' })).toBe('VALID');
    expect(await codeOf(key)).toBe('VALID');
    expect(await codeOf(key, { origin: 'https://b.example' })).toBe('ORIGIN_NOT_ALLOWED');
    expect(await codeOf(key, { origin: 'null' })).toBe('ORIGIN_NOT_ALLOWED');
  });

  test('SECRET_KEY_IN_BROWSER where the profile denies it, a warning where it warns, nothing where it allows', async () => {
    for (const [policy, code, warnings] of [
      ['deny', 'SECRET_KEY_IN_BROWSER', []],
      ['warn', 'VALID', ['secret_key_in_browser']],
      ['allow', 'VALID', []],
    ] as const) {
      const lenient = await TestIssuer.create(server, { secret_keys_in_browsers: policy });
      const { body } = await verify(await lenient.createKey(), { origin: 'https://a.example' });
      expect([policy, body.code, body.warnings]).toEqual([policy, code, warnings]);
      const publishable = await lenient.createKey({ kind: 'publishable' });
      expect((await verify(publishable, { origin: 'https://a.example' })).body.warnings).toEqual([]);
    }
  });

  test('IP_NOT_ALLOWED, also where no address is given', async () => {
    const key = await issuer.createKey({ restrictions: { ips: ['203.0.113.0/24', '2001:db8::/32'] } });
    for (const ip of ['203.0.113.7', '::ffff:203.0.113.7', '2001:DB8::1']) {
      expect([ip, await codeOf(key, { ip })]).toEqual([ip, 'VALID']);
    }
    for (const ip of ['203.0.114.7', '::1', '2001:db9::1', undefined]) {
      expect([ip, await codeOf(key, { ip })]).toEqual([ip, 'IP_NOT_ALLOWED']);
    }
  });

  test('INSUFFICIENT_SCOPE unless it holds all of them', async () => {
    const key = await issuer.createKey({ restrictions: { scopes: ['a:read', 'b:read'] } });
    expect(await codeOf(key, { scopes: [] })).toBe('VALID');
    expect(await codeOf(key, { scopes: ['a:read', 'b:read'] })).toBe('VALID');
    for (const scopes of [['a:read', 'c:read'], ['A:read'], ['a:write']]) {
      expect(await codeOf(key, { scopes })).toBe('INSUFFICIENT_SCOPE');
    }
  });
});

describe('an expression of scopes', () => {
  test('is met or not, as AND and OR have it', async () => {
    const key = await issuer.createKey({ restrictions: { scopes: ['a:read', 'c:write'] } });
    for (const [scopes, code] of [
      ['a:read', 'VALID'],
      ['b:read', 'INSUFFICIENT_SCOPE'],
      ['a:read AND b:read', 'INSUFFICIENT_SCOPE'],
      ['a:read or b:read', 'VALID'],
      ['a:read AND (b:read OR c:write)', 'VALID'],
      ['b:read AND (a:read OR c:write)', 'INSUFFICIENT_SCOPE'],
      // AND binds tighter: read from the left alone, it would be refused.
      ['a:read OR c:write AND b:read', 'VALID'],
      ['b:read AND a:read OR c:write', 'VALID'],
      ['A:read', 'INSUFFICIENT_SCOPE'],
    ] as const) {
      expect([scopes, await codeOf(key, { scopes })]).toEqual([scopes, code]);
    }
  });

  test('looks at what a publishable key may use, not at what it has', async () => {
    const marked = await TestIssuer.create(
      server,
      {},
      { publishable_scopes: ['catalog:read', 'cart:write'] },
    );
    const key = await marked.createKey({
      kind: 'publishable',
      restrictions: { scopes: ['catalog:read', 'cart:write'] },
    });
    expect(await codeOf(key, { scopes: 'catalog:read AND cart:write' })).toBe('VALID');
    succeeded(await api.patch(marked.path, { publishable_scopes: ['catalog:read'] }));
    expect(await codeOf(key, { scopes: 'catalog:read AND cart:write' })).toBe('INSUFFICIENT_SCOPE');
    expect(await codeOf(key, { scopes: 'catalog:read OR cart:write' })).toBe('VALID');
  });

  test('that nobody understands is 422, and says where it goes wrong', async () => {
    const key = await issuer.createKey();
    const answer = await api.post('/v1/keys/verify', { key: key.secret, scopes: 'a:read AN b:read' });
    expect([answer.status, answer.body.errors[0].path]).toEqual([422, 'scopes']);
    expect(answer.body.errors[0].message).toContain('character 8');
  });
});

test('the first check of the contract’s order that fails decides', async () => {
  const strict = await TestIssuer.create(server, { preset: 'tenant-header' });
  const tenant = await strict.createOrganization();
  const key = await strict.createKey(
    {
      environment: 'sandbox',
      expires_at: new Date(clock.nowMs() + 1000).toISOString(),
      restrictions: { origins: ['https://a.example'], ips: ['203.0.113.7'], scopes: ['a:read'] },
    },
    tenant.id,
  );
  const tenantPath = `${strict.path}/organizations/${tenant.id}`;
  for (const path of [key.path.concat('/disable'), `${strict.path}/suspend`, `${tenantPath}/suspend`])
    succeeded(await api.post(path));
  clock.advance(2);

  let request: Record<string, unknown> = {
    environment: 'live',
    origin: 'https://b.example',
    ip: '203.0.113.8',
    scopes: ['b:read'],
  };
  const change = (members: Record<string, unknown>) => {
    request = { ...request, ...members };
  };
  // Each step mends what refused the one before it.
  const steps: [code: string, mend: () => unknown][] = [
    ['DISABLED', () => api.post(`${key.path}/enable`)],
    ['EXPIRED', () => api.patch(key.path, { expires_at: null })],
    ['ISSUER_SUSPENDED', () => api.post(`${strict.path}/activate`)],
    ['WRONG_ENVIRONMENT', () => change({ environment: 'sandbox' })],
    ['TENANT_REQUIRED', () => change({ tenant: 'nobody' })],
    ['TENANT_MISMATCH', () => change({ tenant: tenant.id })],
    ['TENANT_SUSPENDED', () => api.post(`${tenantPath}/activate`)],
    ['ORIGIN_NOT_ALLOWED', () => change({ origin: 'https://a.example' })],
    ['SECRET_KEY_IN_BROWSER', () => change({ origin: undefined })],
    ['IP_NOT_ALLOWED', () => change({ ip: '203.0.113.7' })],
    ['INSUFFICIENT_SCOPE', () => change({ scopes: ['a:read'] })],
    ['VALID', () => api.post(`${key.path}/revoke`)],
    ['REVOKED', () => undefined],
  ];
  for (const [code, mend] of steps) {
    expect(await codeOf(key, request)).toBe(code);
    await mend();
  }
});
