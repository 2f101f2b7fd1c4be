import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer, TestClock, type TestServer } from '../../test/harness/server.ts';
import { succeeded, TestIssuer, type TestKey } from '../../test/harness/test-issuer.ts';

const clock = new TestClock();
let server: TestServer;

beforeAll(async () => {
  server = await startTestServer({ clock });
});
afterAll(() => server.close());

/** What the contract says of a refusal: status, the codes and type of the two own dialects, the message. */
interface Row {
  status: number;
  nested: [code: string, type: string];
  flat: string;
  message: string;
  nestedMessage?: string;
  /** Title of the problem, where it is not the message. */
  title?: string;
}

const authentication = {
  status: 401,
  nested: ['authentication_failed', 'authentication_error'] as [string, string],
  flat: 'UNAUTHORIZED',
};
const permission = (code: string, message: string): Row => ({
  status: 403,
  nested: [code, 'permission_error'],
  flat: 'FORBIDDEN',
  message,
});

const contract = {
  missing_key: { ...authentication, message: 'Missing API key' },
  invalid_key: {
    ...authentication,
    message: 'Invalid API key',
    nestedMessage: 'Invalid API key provided',
  },
  revoked_key: { ...authentication, message: 'API key has been revoked' },
  expired_key: { ...authentication, message: 'API key has expired' },
  disabled_key: { ...authentication, message: 'API key is disabled' },
  ambiguous_credentials: { ...authentication, message: 'Ambiguous credentials' },
  account_suspended: permission('account_suspended', 'Account is suspended'),
  issuer_suspended: permission('issuer_suspended', 'Issuer is suspended'),
  wrong_environment: permission('wrong_environment', 'Environment not allowed for this key'),
  tenant_required: {
    ...permission('tenant_required', 'Tenant header x-tn is required'),
    title: 'Tenant is required',
  },
  tenant_mismatch: permission('tenant_mismatch', 'Tenant not allowed for this key'),
  tenant_suspended: permission('tenant_suspended', 'Tenant is suspended'),
  origin_not_allowed: permission('origin_not_allowed', 'Origin not allowed'),
  secret_key_in_browser: permission('secret_key_in_browser', 'Secret key not allowed in a browser'),
  ip_not_allowed: permission('ip_not_allowed', 'IP address not allowed'),
  insufficient_scope: permission('insufficient_scope', 'Insufficient scope'),
} satisfies Record<string, Row>;
type Refusal = keyof typeof contract;

const dialects = ['nested', 'flat', 'problem'] as const;
type Dialect = (typeof dialects)[number];

function bodyOf(dialect: Dialect, refusal: Refusal, requestId: string): string {
  const row: Row = contract[refusal];
  if (dialect === 'flat') return `{"error":"${row.message}","code":"${row.flat}"}`;
  if (dialect === 'nested') {
    const [code, type] = row.nested;
    return `{"error":{"code":"${code}","message":"${row.nestedMessage ?? row.message}","type":"${type}"}}`;
  }
  return `{"type":"http://localhost:4600/docs/errors/${refusal}","title":"${row.title ?? row.message}","status":${row.status},"detail":"${row.message}","code":"${refusal}","request_id":"${requestId}"}`;
}

describe.each(dialects)('in the dialect %s', (dialect) => {
  let issuer: TestIssuer;
  let tenant: { id: string };

  beforeAll(async () => {
    issuer = await TestIssuer.create(server, {
      preset: 'tenant-header',
      key_headers: ['X-API-Key', 'X-Other-Key'],
      error_format: dialect,
    });
    tenant = await issuer.createOrganization();
  });

  async function expectRefusal(refusal: Refusal, headers: Record<string, string>, query = '') {
    const answer = await issuer.authorize({ 'X-Request-Id': 'trace-1', ...headers }, query);
    expect(answer.text).toBe(bodyOf(dialect, refusal, 'trace-1'));
    expect(answer.status).toBe(contract[refusal].status);
    expect(answer.headers['content-type']).toBe(
      dialect === 'problem' ? 'application/problem+json' : 'application/json',
    );
    expect(answer.headers['content-length']).toBe(String(Buffer.byteLength(answer.text)));
    expect(answer.headers['cache-control']).toBe('no-store');
    expect(answer.headers['x-request-id']).toBe('trace-1');
    expect(answer.headers['x-environment']).toMatch(/^(LIVE|SANDBOX)$/);
    expect('www-authenticate' in answer.headers).toBe(answer.status === 401);
    expect(answer.headerNames.filter((name) => /^x-gatelodge/i.test(name))).toEqual([]);
    // Each once: a client that reads the first of two would see another answer than one that reads the last.
    expect(answer.headerNames.map((name) => name.toLowerCase()).toSorted()).toEqual(
      [...new Set(answer.headerNames.map((name) => name.toLowerCase()))].toSorted(),
    );
    return answer;
  }

  const presenting = (key: TestKey) => ({ 'X-API-Key': key.secret, 'x-tn': tenant.id });

  test('missing_key', async () => {
    await expectRefusal('missing_key', { 'x-tn': tenant.id });
    await expectRefusal('missing_key', {});
    await expectRefusal('missing_key', { 'X-API-Key': '' });
  });

  test('invalid_key', async () => {
    const { secret } = await issuer.createKey();
    for (const wrong of ['x', 'sk_live_', `${secret}0`, secret.slice(0, -1), `${secret.slice(0, -1)}-`]) {
      await expectRefusal('invalid_key', { 'X-API-Key': wrong, 'x-tn': tenant.id });
    }
  });

  test('revoked_key', async () => {
    const key = await issuer.createKey();
    succeeded(await issuer.api.post(`${key.path}/revoke`));
    await expectRefusal('revoked_key', presenting(key));
  });

  test('a deleted key is one that never was', async () => {
    const key = await issuer.createKey();
    expect((await issuer.authorize(presenting(key))).status).toBe(200);
    succeeded(await issuer.api.delete(key.path));
    await expectRefusal('invalid_key', presenting(key));
  });

  test('expired_key, from its very instant on', async () => {
    const expiresAt = new Date(clock.nowMs() + 60_000).toISOString();
    const key = await issuer.createKey({ expires_at: expiresAt });
    clock.advance(59.999);
    expect((await issuer.authorize(presenting(key))).status).toBe(200);
    clock.advance(0.001);
    await expectRefusal('expired_key', presenting(key));
  });

  test('disabled_key, until it is enabled', async () => {
    const key = await issuer.createKey();
    expect((await issuer.authorize(presenting(key))).status).toBe(200);
    succeeded(await issuer.api.post(`${key.path}/disable`));
    await expectRefusal('disabled_key', presenting(key));
    succeeded(await issuer.api.post(`${key.path}/enable`));
    expect((await issuer.authorize(presenting(key))).status).toBe(200);
  });

  test('ambiguous_credentials', async () => {
    const key = await issuer.createKey();
    const other = await issuer.createKey();
    await expectRefusal('ambiguous_credentials', { ...presenting(key), 'X-Other-Key': other.secret });
    await expectRefusal('ambiguous_credentials', presenting(key), `?x-api-key=${key.secret}`);
  });

  test('issuer_suspended, until it is active again', async () => {
    const key = await issuer.createKey();
    succeeded(await issuer.api.post(`${issuer.path}/suspend`));
    await expectRefusal('issuer_suspended', presenting(key));
    // Who shows no key of it learns nothing of its state.
    await expectRefusal('invalid_key', { 'X-API-Key': 'sk_live_x' });
    succeeded(await issuer.api.post(`${issuer.path}/activate`));
    expect((await issuer.authorize(presenting(key))).status).toBe(200);
  });

  test('account_suspended, until it is active again', async () => {
    const { id, api_key: first } = await server.operator.api.create('/v1/accounts', {
      name: 'Customer',
      owner_email: 'owner@customer.example',
    });
    const api = server.operator.api.as({ id: first.id, secret: first.secret_plain });
    const elsewhere = await TestIssuer.create(server, { error_format: dialect }, {}, api);
    const { secret } = await elsewhere.createKey();
    const ask = () => elsewhere.authorize({ 'X-API-Key': secret, 'X-Request-Id': 'trace-1' });
    expect((await ask()).status).toBe(200);
    succeeded(await server.operator.api.post(`/v1/accounts/${id}/suspend`));
    const refused = await ask();
    expect(refused.status).toBe(403);
    expect(refused.text).toBe(bodyOf(dialect, 'account_suspended', 'trace-1'));
    succeeded(await server.operator.api.post(`/v1/accounts/${id}/activate`));
    expect((await ask()).status).toBe(200);
  });

  test('wrong_environment', async () => {
    const key = await issuer.createKey();
    const answer = await expectRefusal('wrong_environment', presenting(key), '?environment=sandbox');
    // Of the key, not of what the gateway wanted.
    expect(answer.headers['x-environment']).toBe('LIVE');
  });

  test('tenant_required, tenant_mismatch, tenant_suspended', async () => {
    const key = await issuer.createKey();
    await expectRefusal('tenant_required', { 'X-API-Key': key.secret });
    await expectRefusal('tenant_mismatch', { 'X-API-Key': key.secret, 'x-tn': 'nobody' });
    const suspended = await issuer.createOrganization();
    succeeded(await issuer.api.post(`${issuer.path}/organizations/${suspended.id}/suspend`));
    await expectRefusal('tenant_suspended', { 'X-API-Key': key.secret, 'x-tn': suspended.id });
  });

  test('origin_not_allowed, secret_key_in_browser', async () => {
    const key = await issuer.createKey({ restrictions: { origins: ['https://myapp.com'] } });
    await expectRefusal('origin_not_allowed', { ...presenting(key), Origin: 'https://evil.example' });
    await expectRefusal('secret_key_in_browser', { ...presenting(key), Origin: 'https://myapp.com' });
  });

  test('ip_not_allowed', async () => {
    const key = await issuer.createKey({ restrictions: { ips: ['203.0.113.0/24'] } });
    await expectRefusal('ip_not_allowed', presenting(key));
  });

  test('insufficient_scope', async () => {
    const key = await issuer.createKey({ restrictions: { scopes: ['invoices:read'] } });
    await expectRefusal('insufficient_scope', presenting(key), '?scope=invoices:write');
  });

  test('a demand that nobody can understand is refused, with its fix', async () => {
    const key = await issuer.createKey();
    for (const query of ['?scope=', '?scope=invoices', '?environment=staging', '?environment=']) {
      const answer = await issuer.authorize(presenting(key), query);
      expect([query, answer.status]).toEqual([query, 422]);
      const code = { nested: answer.body.error?.code, flat: answer.body.code, problem: answer.body.code };
      expect(code[dialect]).toBe(dialect === 'flat' ? 'INVALID_REQUEST' : 'invalid_request');
    }
  });
});

describe('the environment of a refusal', () => {
  test('is the one that an unknown key’s beginning names, else the issuer’s', async () => {
    const live = await TestIssuer.create(server, { preset: 'tenant-header' });
    const sandbox = await TestIssuer.create(server, { preset: 'tenant-header' }, { environment: 'sandbox' });
    const ask = async (issuer: TestIssuer, headers: Record<string, string | string[]>) => {
      const answer = await issuer.authorize(headers);
      expect(answer.status).toBe(401);
      return answer.headers['x-environment'];
    };
    const forged = '0'.repeat(44);
    for (const issuer of [live, sandbox]) {
      expect(await ask(issuer, { 'x-api-key': `sk_dev_${forged}` })).toBe('SANDBOX');
      expect(await ask(issuer, { 'x-api-key': `pk_live_${forged}` })).toBe('LIVE');
    }
    for (const [issuer, label] of [
      [live, 'LIVE'],
      [sandbox, 'SANDBOX'],
    ] as const) {
      // A beginning of another style says nothing here.
      expect(await ask(issuer, { 'x-api-key': `otp_live_sk_${forged}` })).toBe(label);
      expect(await ask(issuer, { 'x-api-key': 'nonsense' })).toBe(label);
      expect(await ask(issuer, {})).toBe(label);
      expect(await ask(issuer, { 'x-api-key': [`sk_dev_${forged}`, `sk_live_${forged}`] })).toBe(label);
    }
  });

  test('of a known key is the key’s', async () => {
    const issuer = await TestIssuer.create(server, { preset: 'sandbox' });
    const key = await issuer.createKey({ environment: 'sandbox' });
    succeeded(await issuer.api.post(`${key.path}/revoke`));
    const answer = await issuer.authorize({ 'x-tenant-api-key': key.secret });
    expect([answer.status, answer.headers['x-environment']]).toEqual([401, 'SANDBOX']);
    // Also once the profile gives keys other beginnings, so that the key's own says nothing any more.
    await issuer.setProfile({ preset: 'sandbox', prefix_template: 'acme_{environment}_' });
    const later = await issuer.authorize({ 'x-tenant-api-key': key.secret });
    expect([later.status, later.headers['x-environment']]).toEqual([401, 'SANDBOX']);
  });
});

describe('a key of somebody else', () => {
  test('of another issuer, of the account, of another account, is an invalid key', async () => {
    // Attack: a customer of one API shows its key, which is real, to another API of the same installation.
    const issuer = await TestIssuer.create(server, { preset: 'otp' });
    const neighbour = await TestIssuer.create(server, { preset: 'otp' });
    const tenant = await neighbour.createOrganization();
    const first = (
      await server.operator.api.create('/v1/accounts', { name: 'Customer', owner_email: 'o@c.example' })
    ).api_key;
    const api = server.operator.api.as({ id: first.id, secret: first.secret_plain });
    const foreign = await TestIssuer.create(server, { preset: 'otp' }, {}, api);
    for (const secret of [
      (await neighbour.createKey()).secret,
      (await neighbour.createKey({}, tenant.id)).secret,
      (await foreign.createKey()).secret,
      first.secret_plain,
      server.operator.key.secret,
    ]) {
      for (let attempt = 0; attempt < 2; attempt++) {
        const answer = await issuer.authorize({ 'X-OTP-API-Key': secret });
        expect(answer.status).toBe(401);
        expect(answer.text).toBe('{"error":"Invalid API key","code":"UNAUTHORIZED"}');
      }
    }
  });

  test('that is dead tells no more than one that lives', async () => {
    const issuer = await TestIssuer.create(server, { preset: 'otp' });
    const neighbour = await TestIssuer.create(server, { preset: 'otp' });
    const key = await neighbour.createKey();
    succeeded(await neighbour.api.post(`${key.path}/revoke`));
    const answer = await issuer.authorize({ 'X-OTP-API-Key': key.secret });
    expect(answer.text).toBe('{"error":"Invalid API key","code":"UNAUTHORIZED"}');
  });
});

test('an issuer that does not exist, whatever the id looks like, is 404', async () => {
  const api = server.operator.api;
  const { secret } = server.demo.key;
  const gone = await TestIssuer.create(server);
  succeeded(await api.delete(gone.path));
  for (const id of [
    gone.id,
    `${server.demo.issuerId.slice(0, -1)}${server.demo.issuerId.endsWith('0') ? '1' : '0'}`,
    server.demo.issuerId.toUpperCase(),
    `${server.demo.issuerId}/`,
    `${server.demo.issuerId}%00`,
    'i_',
    '',
    '..',
    server.operator.accountId,
  ]) {
    const answer = await api.request('GET', `/v1/authorize/${id}`, { headers: { 'X-API-Key': secret } });
    expect([id, answer.status]).toEqual([id, 404]);
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
    expect(answer.text).not.toContain(id === '' || id === '..' ? '\u0000' : id);
  }
  // What comes next looks at every statement there is.
  const rows = await Rows.open(server.database);
  const left = () => rows.query('select id from issuers where id = $1', [gone.id]);
  await expect.poll(left, { timeout: 15_000 }).toEqual([]);
  await rows.close();
});

test('a refusal writes nothing', async () => {
  const issuer = await TestIssuer.create(server, { preset: 'otp' });
  const key = await issuer.createKey();
  succeeded(await issuer.api.post(`${key.path}/revoke`));
  const newest = async () => (await issuer.api.get('/v1/events?limit=1')).body.data[0].id;
  const before = await newest();
  const statements = server.statements.length;
  for (let attempt = 0; attempt < 5; attempt++) await issuer.authorize({ 'X-OTP-API-Key': key.secret });
  await issuer.authorize({});
  expect(server.statements.slice(statements).filter((sql) => /insert|update|delete/i.test(sql))).toEqual([]);
  expect(await newest()).toBe(before);
});
