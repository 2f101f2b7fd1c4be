import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { type RawAnswer, type RawRequest, send } from '../../test/harness/raw-http.ts';
import { startTestServer, TestClock, type TestServer } from '../../test/harness/server.ts';
import { createKey, succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';

const jwt = 'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ1XzEifQ.c2lnbmF0dXJl';
const forged = '0'.repeat(44);

const clock = new TestClock();
let server: TestServer;
let issuer: TestIssuer;

beforeAll(async () => {
  server = await startTestServer({ clock });
  issuer = await TestIssuer.create(server);
});
afterAll(() => server.close());

function me(headers: RawRequest['headers'] = {}, query = '', method = 'GET'): Promise<RawAnswer> {
  return send(`${server.url}/v1/me${query}`, { method, headers });
}

function basic({ id, secret }: { id: string; secret: string }): { Authorization: string } {
  return { Authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}` };
}

function expectProblem(answer: RawAnswer, status: number, code: string): void {
  expect([answer.status, answer.body?.code]).toEqual([status, code]);
  expect(answer.headers['content-type']).toBe('application/problem+json');
  expect(answer.body).toMatchObject({ status, request_id: answer.headers['x-request-id'] });
  expect(answer.body.type).toBe(`http://localhost:4600/docs/errors/${code}`);
  expect('www-authenticate' in answer.headers).toBe(status === 401);
}

describe('who a key is', () => {
  test('of an organization', async () => {
    const tenant = await issuer.createOrganization({ name: 'Acme' });
    const key = await issuer.createKey({ restrictions: { scopes: ['invoices:read'] } }, tenant.id);
    const answer = await me(basic(key));
    expect(answer.status).toBe(200);
    expect(answer.headers['content-type']).toBe('application/json; charset=utf-8');
    expect(answer.headers['x-environment']).toBe('LIVE');
    expect(answer.body).toEqual({
      data: {
        type: 'api_key',
        id: key.id,
        account_id: server.operator.accountId,
        issuer_id: issuer.id,
        organizations: [{ org_id: tenant.id, name: 'Acme', scopes: ['invoices:read'] }],
        environment: 'live',
        scopes: ['invoices:read'],
      },
    });
  });

  test('of an issuer', async () => {
    const key = await issuer.createKey();
    expect((await me(basic(key))).body.data).toMatchObject({
      id: key.id,
      issuer_id: issuer.id,
      organizations: [],
      scopes: [],
    });
  });

  test('of the account', async () => {
    const { data } = (await me(basic(server.operator.key))).body;
    expect(data).toMatchObject({ id: server.operator.key.id, issuer_id: null, organizations: [] });
    expect(data.scopes).toContain('gatelodge.issuers:write');
    const customer = await createCustomer(server);
    const own = (await me(basic(customer.key))).body.data;
    expect(own.account_id).toBe(customer.id);
    expect(own.scopes).not.toContain('gatelodge.accounts:write');
  });

  test('of the sandbox says so', async () => {
    const key = await issuer.createKey({ environment: 'sandbox' });
    const answer = await me(basic(key));
    expect(answer.headers['x-environment']).toBe('SANDBOX');
    expect(answer.body.data.environment).toBe('sandbox');
  });

  test('that is publishable is told as well', async () => {
    const key = await issuer.createKey({ kind: 'publishable' });
    expect((await me({ 'X-API-Key': key.secret })).body.data.id).toBe(key.id);
  });

  test('is told to HEAD without the body', async () => {
    const key = await issuer.createKey();
    const [get, head] = [await me(basic(key)), await me(basic(key), '', 'HEAD')];
    expect([head.status, head.text]).toEqual([200, '']);
    expect(head.headers['content-length']).toBe(get.headers['content-length']);
    expect((await me({}, '', 'HEAD')).status).toBe(401);
  });
});

describe('the credential', () => {
  test('comes by Basic, by Bearer, or in the key header of any preset, whatever the key’s own is', async () => {
    for (const preset of ['standard', 'otp', 'tenant-header', 'sandbox']) {
      const own = await TestIssuer.create(server, { preset });
      const key = await own.createKey();
      const places: Record<string, string>[] = [
        basic(key),
        { Authorization: `Bearer ${key.secret}` },
        { 'X-API-Key': key.secret },
        { 'X-OTP-API-Key': key.secret },
        { 'x-tenant-api-key': key.secret },
      ];
      for (const headers of places) {
        const answer = await me(headers);
        expect([preset, answer.status, answer.body.data?.id]).toEqual([preset, 200, key.id]);
      }
    }
  });

  test('by Basic is a pair: the right secret under another id belongs to no key', async () => {
    const [one, other] = [await issuer.createKey(), await issuer.createKey()];
    for (const id of [other.id, server.operator.key.id, `${one.id}0`, one.id.toUpperCase(), 'key']) {
      expectProblem(await me(basic({ id, secret: one.secret })), 401, 'invalid_key');
      expectProblem(
        await me({ ...basic({ id, secret: one.secret }), 'X-API-Key': one.secret }),
        401,
        'invalid_key',
      );
    }
    expectProblem(await me(basic({ id: '', secret: one.secret })), 401, 'invalid_key');
  });

  test('that is missing, malformed, forged, a JWT', async () => {
    expectProblem(await me(), 401, 'missing_key');
    expectProblem(await me({ 'X-API-Key': '' }), 401, 'missing_key');
    expectProblem(await me({ Authorization: 'Bearer' }), 401, 'invalid_key');
    expectProblem(await me({ Authorization: 'Digest x' }), 401, 'invalid_key');
    expectProblem(await me({ 'X-API-Key': `gl_live_sk_${forged}` }), 401, 'invalid_key');
    expectProblem(await me({ Authorization: `Bearer ${jwt}` }), 401, 'invalid_token');
  });

  test('beside a JWT is what counts', async () => {
    const key = await issuer.createKey();
    const answer = await me({ Authorization: `Bearer ${jwt}`, 'X-API-Key': key.secret });
    expect([answer.status, answer.body.data.id]).toEqual([200, key.id]);
  });

  test('in two versions, or in the query, is ambiguous', async () => {
    const [one, other] = [await issuer.createKey(), await issuer.createKey()];
    const ambiguous: [RawRequest['headers'], string?][] = [
      [{ 'X-API-Key': one.secret, 'X-OTP-API-Key': other.secret }],
      [{ 'X-API-Key': [one.secret, other.secret] }],
      [{ ...basic(one), 'x-tenant-api-key': other.secret }],
      [{ ...basic(one) }, `?api_key=${one.secret}`],
      [{}, `?access_token=${jwt}`],
      [{}, `?q=${one.secret}`],
    ];
    for (const [headers, query] of ambiguous) {
      expectProblem(await me(headers, query), 401, 'ambiguous_credentials');
    }
    expect((await me(basic(one), '?page=2')).status).toBe(200);
  });

  test('that nobody knows is of the environment its beginning names', async () => {
    for (const [prefix, label] of [
      ['gl_live_sk_', 'LIVE'],
      ['gl_sandbox_sk_', 'SANDBOX'],
      ['otp_sandbox_sk_', 'SANDBOX'],
      ['pk_dev_', 'SANDBOX'],
      ['mlm_live_', 'LIVE'],
      ['unheard_of_', undefined],
    ] as const) {
      const answer = await me({ 'X-API-Key': prefix + forged });
      expect([prefix, answer.status, answer.headers['x-environment']]).toEqual([prefix, 401, label]);
    }
    // The same for a known secret under a wrong id: what it tells is what its beginning tells.
    const key = await issuer.createKey({ environment: 'sandbox' });
    const answer = await me(basic({ id: 'key_x', secret: key.secret }));
    expect(answer.headers['x-environment']).toBe('SANDBOX');
  });
});

describe('401', () => {
  test('revoked, disabled, expired, deleted: in problem+json, whatever the key’s own dialect', async () => {
    const flat = await TestIssuer.create(server, { preset: 'otp' });
    const expiring = await flat.createKey({ expires_at: new Date(clock.nowMs() + 1000).toISOString() });
    const [revoked, disabled, deleted] = [
      await flat.createKey(),
      await flat.createKey(),
      await flat.createKey(),
    ];
    for (const key of [expiring, revoked, disabled, deleted]) expect((await me(basic(key))).status).toBe(200);
    clock.advance(1);
    succeeded(await flat.api.post(`${revoked.path}/revoke`));
    succeeded(await flat.api.post(`${disabled.path}/disable`));
    succeeded(await flat.api.delete(deleted.path));
    expectProblem(await me({ 'X-OTP-API-Key': expiring.secret }), 401, 'expired_key');
    expectProblem(await me({ 'X-OTP-API-Key': revoked.secret }), 401, 'revoked_key');
    expectProblem(await me(basic(disabled)), 401, 'disabled_key');
    expectProblem(await me(basic(deleted)), 401, 'invalid_key');
  });
});

describe('403', () => {
  test('a suspended tenant, issuer or account', async () => {
    const customer = await createCustomer(server);
    const own = await TestIssuer.create(server, {}, {}, customer.api);
    const tenant = await own.createOrganization();
    const key = await own.createKey({}, tenant.id);
    expect((await me(basic(key))).status).toBe(200);
    succeeded(await customer.api.post(`${own.path}/organizations/${tenant.id}/suspend`));
    expectProblem(await me(basic(key)), 403, 'tenant_suspended');
    succeeded(await customer.api.post(`${own.path}/suspend`));
    expectProblem(await me(basic(key)), 403, 'issuer_suspended');
    succeeded(await server.operator.api.post(`/v1/accounts/${customer.id}/suspend`));
    expectProblem(await me(basic(key)), 403, 'account_suspended');
    expectProblem(await me(basic(customer.key)), 403, 'account_suspended');
  });

  test('an origin, an address, a browser that the key is not for', async () => {
    const key = await issuer.createKey({ restrictions: { origins: ['https://a.example'] } });
    expectProblem(await me({ ...basic(key), Origin: 'https://b.example' }), 403, 'origin_not_allowed');
    const bound = await createKey(server.operator.api, '/v1/api-keys', {
      restrictions: { ips: ['203.0.113.7'] },
    });
    expectProblem(await me(basic(bound)), 403, 'ip_not_allowed');
    const strict = await TestIssuer.create(server, { secret_keys_in_browsers: 'deny' });
    const secret = await strict.createKey();
    expectProblem(
      await me({ ...basic(secret), 'Sec-Fetch-Site': 'cross-site' }),
      403,
      'secret_key_in_browser',
    );
  });
});

describe('the tenant header', () => {
  test('is optional, also where the profile requires it', async () => {
    const strict = await TestIssuer.create(server, { preset: 'tenant-header' });
    const tenant = await strict.createOrganization({ name: 'Acme', external_id: 'tenant_abc123' });
    const other = await strict.createOrganization();
    const [ofTenant, ofIssuer] = [await strict.createKey({}, tenant.id), await strict.createKey()];
    expect((await me(basic(ofTenant))).body.data.organizations[0].org_id).toBe(tenant.id);
    expect((await me(basic(ofIssuer))).body.data.organizations).toEqual([]);
    for (const key of [ofTenant, ofIssuer]) {
      for (const name of [tenant.id, 'tenant_abc123']) {
        const { body } = await me({ 'x-api-key': key.secret, 'x-tn': name });
        expect(body.data.organizations).toEqual([{ org_id: tenant.id, name: 'Acme', scopes: [] }]);
      }
    }
    expectProblem(await me({ ...basic(ofTenant), 'x-tn': other.id }), 403, 'tenant_mismatch');
    expectProblem(await me({ ...basic(ofIssuer), 'x-tn': 'nobody' }), 403, 'tenant_mismatch');
    expect((await me({ ...basic(ofTenant), 'x-tn': '' })).status).toBe(200);
  });

  test('of another profile says nothing', async () => {
    const key = await issuer.createKey();
    expect((await me({ ...basic(key), 'x-tn': 'nobody' })).status).toBe(200);
  });
});

test('405: says that it answers GET and HEAD', async () => {
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
    const answer = await me(basic(server.operator.key), '', method);
    expect([method, answer.status, answer.headers.allow]).toEqual([method, 405, 'GET, HEAD']);
  }
});
