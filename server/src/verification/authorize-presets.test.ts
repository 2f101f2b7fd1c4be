import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../../test/harness/server.ts';
import { succeeded, TestIssuer, type TestKey } from '../../test/harness/test-issuer.ts';

// Four styles of API that exist already: their clients send what they always sent, and nothing else.

const forgedRest = '0'.repeat(44);

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.close());

describe('standard', () => {
  let issuer: TestIssuer;
  const keys: Record<string, TestKey> = {};

  beforeAll(async () => {
    issuer = await TestIssuer.create(server);
    for (const [prefix, body] of Object.entries({
      gl_live_sk_: {},
      gl_live_pk_: { kind: 'publishable' },
      gl_sandbox_sk_: { environment: 'sandbox' },
      gl_sandbox_pk_: { environment: 'sandbox', kind: 'publishable' },
    })) {
      keys[prefix] = await issuer.createKey(body);
    }
  });

  test.each(['gl_live_sk_', 'gl_live_pk_', 'gl_sandbox_sk_', 'gl_sandbox_pk_'])(
    'a %s… key passes as Authorization: Bearer and as X-API-Key',
    async (prefix) => {
      const { id, secret } = keys[prefix]!;
      expect(secret).toMatch(new RegExp(`^${prefix}[0-9A-Za-z]{44}$`));
      const headerSets: Record<string, string>[] = [
        { Authorization: `Bearer ${secret}` },
        { authorization: `bearer ${secret}` },
        { 'X-API-Key': secret },
        { 'x-api-key': secret },
      ];
      for (const headers of headerSets) {
        const answer = await issuer.authorize(headers);
        expect(answer.status).toBe(200);
        expect(answer.headers['x-gatelodge-key-id']).toBe(id);
        expect(answer.headers['x-gatelodge-kind']).toBe(prefix.includes('pk') ? 'publishable' : 'secret');
        expect(answer.headers['x-environment']).toBe(prefix.includes('sandbox') ? 'SANDBOX' : 'LIVE');
      }
    },
  );

  test('refusals are problem+json', async () => {
    const answer = await issuer.authorize({ 'X-API-Key': `gl_live_sk_${forgedRest}` });
    expect(answer.status).toBe(401);
    expect(answer.headers['content-type']).toBe('application/problem+json');
    expect(answer.body).toMatchObject({ status: 401, code: 'invalid_key' });
  });
});

describe('otp', () => {
  let issuer: TestIssuer;

  beforeAll(async () => {
    issuer = await TestIssuer.create(server, { preset: 'otp' });
  });

  test.each([
    ['otp_live_sk_', 'LIVE', {}],
    ['otp_sandbox_sk_', 'SANDBOX', { environment: 'sandbox' }],
    ['otp_live_pk_', 'LIVE', { kind: 'publishable' }],
  ])('X-OTP-API-Key: %s… passes as %s', async (prefix, label, body) => {
    const { id, secret } = await issuer.createKey(body);
    expect(secret).toMatch(new RegExp(`^${prefix}[0-9A-Za-z]{44}$`));
    const answer = await issuer.authorize({ 'X-OTP-API-Key': secret });
    expect(answer.status).toBe(200);
    expect(answer.text).toBe('');
    expect(answer.headers).toMatchObject({ 'x-gatelodge-key-id': id, 'x-environment': label });
  });

  test('a secret key in a browser passes without a warning: that is a documented method', async () => {
    const { secret } = await issuer.createKey();
    const answer = await issuer.authorize({ 'X-OTP-API-Key': secret, Origin: 'https://myapp.com' });
    expect(answer.status).toBe(200);
    expect(answer.headers).not.toHaveProperty('x-gatelodge-warnings');
  });

  test('the key in another style’s header is no key', async () => {
    const { secret } = await issuer.createKey();
    for (const headers of [{ 'X-API-Key': secret }, { Authorization: `Bearer ${secret}` }]) {
      const answer = await issuer.authorize(headers);
      expect(answer.status).toBe(401);
      expect(answer.text).toBe('{"error":"Missing API key","code":"UNAUTHORIZED"}');
    }
  });
});

describe('tenant-header', () => {
  let issuer: TestIssuer;
  // biome-ignore lint/suspicious/noExplicitAny: whatever the API answers.
  let acme: any;
  // biome-ignore lint/suspicious/noExplicitAny: whatever the API answers.
  let globex: any;

  beforeAll(async () => {
    issuer = await TestIssuer.create(server, { preset: 'tenant-header' });
    acme = await issuer.createOrganization({ name: 'Acme', external_id: 'tenant_abc123' });
    globex = await issuer.createOrganization({ name: 'Globex', external_id: 'tenant_def456' });
  });

  function refusalBody(code: string, message: string): string {
    return `{"error":{"code":"${code}","message":"${message}","type":"permission_error"}}`;
  }

  test.each([
    ['sk_dev_', 'SANDBOX', { environment: 'sandbox' }],
    ['pk_dev_', 'SANDBOX', { environment: 'sandbox', kind: 'publishable' }],
    ['sk_live_', 'LIVE', {}],
    ['pk_live_', 'LIVE', { kind: 'publishable' }],
  ])('x-api-key: %s… with x-tn passes as %s', async (prefix, label, body) => {
    const { id, secret } = await issuer.createKey(body, acme.id);
    expect(secret).toMatch(new RegExp(`^${prefix}[0-9A-Za-z]{44}$`));
    for (const tenant of [acme.id, 'tenant_abc123']) {
      const answer = await issuer.authorize({ 'x-api-key': secret, 'x-tn': tenant });
      expect(answer.status).toBe(200);
      expect(answer.headers).toMatchObject({
        'x-gatelodge-key-id': id,
        'x-gatelodge-organization-id': acme.id,
        'x-environment': label,
      });
    }
  });

  test('a key of the issuer acts for the organization that x-tn names', async () => {
    const { secret } = await issuer.createKey();
    for (const organization of [acme, globex]) {
      for (const tenant of [organization.id, organization.external_id]) {
        const answer = await issuer.authorize({ 'X-Api-Key': secret, 'X-TN': tenant });
        expect(answer.status).toBe(200);
        expect(answer.headers['x-gatelodge-organization-id']).toBe(organization.id);
      }
    }
  });

  test('without x-tn, or with an empty one, it is required', async () => {
    const { secret } = await issuer.createKey({}, acme.id);
    const headerSets: Record<string, string>[] = [
      { 'x-api-key': secret },
      { 'x-api-key': secret, 'x-tn': '' },
    ];
    for (const headers of headerSets) {
      const answer = await issuer.authorize(headers);
      expect(answer.status).toBe(403);
      expect(answer.text).toBe(refusalBody('tenant_required', 'Tenant header x-tn is required'));
    }
  });

  test('another tenant’s key, and a tenant nobody knows, are refused with the same bytes', async () => {
    // Attack: a key of one tenant tries the names of others to learn which exist.
    const { secret } = await issuer.createKey({}, acme.id);
    const elsewhere = await TestIssuer.create(server, { preset: 'tenant-header' });
    const foreign = await elsewhere.createOrganization({ external_id: 'tenant_elsewhere' });
    for (const tenant of [
      globex.id,
      'tenant_def456',
      'tenant_nobody',
      'TENANT_ABC123',
      foreign.id,
      'tenant_elsewhere',
      acme.id.slice(0, -1),
      '*',
    ]) {
      const answer = await issuer.authorize({ 'x-api-key': secret, 'x-tn': tenant });
      expect([tenant, answer.status]).toEqual([tenant, 403]);
      expect(answer.text).toBe(refusalBody('tenant_mismatch', 'Tenant not allowed for this key'));
      expect(JSON.stringify(answer.headers)).not.toContain(globex.id);
    }
  });

  test('two tenants in one request are none', async () => {
    // Attack: the gateway believes one x-tn, the application behind it the other.
    const { secret } = await issuer.createKey({}, acme.id);
    const answer = await issuer.authorize({ 'x-api-key': secret, 'x-tn': [acme.id, globex.id] });
    expect(answer.status).toBe(403);
    expect(answer.text).toBe(refusalBody('tenant_mismatch', 'Tenant not allowed for this key'));
  });

  test('a suspended tenant is refused by the next request and passes again once it is active', async () => {
    const tenant = await issuer.createOrganization({ external_id: 'tenant_late' });
    const own = await issuer.createKey({}, tenant.id);
    const ofIssuer = await issuer.createKey();
    const ask = (key: TestKey) => issuer.authorize({ 'x-api-key': key.secret, 'x-tn': 'tenant_late' });
    expect([(await ask(own)).status, (await ask(ofIssuer)).status]).toEqual([200, 200]);

    succeeded(await issuer.api.post(`${issuer.path}/organizations/${tenant.id}/suspend`));
    for (const key of [own, ofIssuer]) {
      const answer = await ask(key);
      expect(answer.status).toBe(403);
      expect(answer.text).toBe(refusalBody('tenant_suspended', 'Tenant is suspended'));
    }

    succeeded(await issuer.api.post(`${issuer.path}/organizations/${tenant.id}/activate`));
    expect([(await ask(own)).status, (await ask(ofIssuer)).status]).toEqual([200, 200]);
  });

  test('a tenant’s new external_id holds from the next request on, and the old one no longer', async () => {
    const tenant = await issuer.createOrganization({ external_id: 'tenant_before' });
    const { secret } = await issuer.createKey();
    const ask = async (name: string) =>
      (await issuer.authorize({ 'x-api-key': secret, 'x-tn': name })).status;
    expect(await ask('tenant_before')).toBe(200);
    expect(await ask('tenant_after')).toBe(403);
    succeeded(
      await issuer.api.patch(`${issuer.path}/organizations/${tenant.id}`, { external_id: 'tenant_after' }),
    );
    expect(await ask('tenant_before')).toBe(403);
    expect(await ask('tenant_after')).toBe(200);
  });
});

describe('sandbox', () => {
  let issuer: TestIssuer;

  beforeAll(async () => {
    issuer = await TestIssuer.create(server, { preset: 'sandbox' });
  });

  test.each([
    ['mlm_sandbox_', 'SANDBOX', { environment: 'sandbox' }],
    ['mlm_live_', 'LIVE', {}],
    ['mlm_live_', 'LIVE', { kind: 'publishable' }],
  ])('x-tenant-api-key: %s… answers X-Environment: %s', async (prefix, label, body) => {
    const { secret } = await issuer.createKey(body);
    expect(secret).toMatch(new RegExp(`^${prefix}[0-9A-Za-z]{44}$`));
    const answer = await issuer.authorize({ 'x-tenant-api-key': secret });
    expect(answer.status).toBe(200);
    expect(answer.headers['x-environment']).toBe(label);
  });

  test('the brand is the account’s own', async () => {
    const branded = await TestIssuer.create(server, {
      preset: 'sandbox',
      prefix_template: 'acme_{environment}_',
    });
    const { secret } = await branded.createKey({ environment: 'sandbox' });
    expect(secret).toMatch(/^acme_sandbox_/);
    const answer = await branded.authorize({ 'x-tenant-api-key': secret });
    expect([answer.status, answer.headers['x-environment']]).toEqual([200, 'SANDBOX']);
  });

  test('keys made before the profile changed go on, by the new header', async () => {
    const edited = await TestIssuer.create(server, { preset: 'sandbox' });
    const { secret } = await edited.createKey({ environment: 'sandbox' });
    await edited.setProfile({ preset: 'otp', prefix_template: 'own_{environment}_{kind}_' });
    expect((await edited.authorize({ 'x-tenant-api-key': secret })).status).toBe(401);
    const answer = await edited.authorize({ 'X-OTP-API-Key': secret });
    expect([answer.status, answer.headers['x-environment']]).toEqual([200, 'SANDBOX']);
  });
});

test('a profile with names of its own is spoken as it is written', async () => {
  const issuer = await TestIssuer.create(server, {
    preset: 'tenant-header',
    key_headers: ['X-Acme-Key', 'X-Acme-Token'],
    tenant_header: { name: 'X-Acme-Customer', required: true },
    environment_header: 'X-Acme-Mode',
    environments: { live: { prefix: 'prod', label: 'production' }, sandbox: { label: 'trial' } },
  });
  const tenant = await issuer.createOrganization({ external_id: 'c-1' });
  const { secret } = await issuer.createKey();
  expect(secret).toMatch(/^sk_prod_/);
  for (const header of ['x-acme-key', 'X-ACME-TOKEN']) {
    const answer = await issuer.authorize({ [header]: secret, 'x-acme-customer': 'c-1' });
    expect(answer.status).toBe(200);
    expect(answer.headers).toMatchObject({
      'x-acme-mode': 'production',
      'x-gatelodge-organization-id': tenant.id,
    });
    expect(answer.headers).not.toHaveProperty('x-environment');
  }
  const refused = await issuer.authorize({ 'X-Acme-Key': `sk_dev_${forgedRest}` });
  expect(refused.headers['x-acme-mode']).toBe('trial');
  expect((await issuer.authorize({ 'X-Acme-Key': secret })).body.error.message).toBe(
    'Tenant header X-Acme-Customer is required',
  );
});
