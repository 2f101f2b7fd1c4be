import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../../test/harness/server.ts';
import { succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';

let server: TestServer;
let issuer: TestIssuer;

beforeAll(async () => {
  server = await startTestServer();
  issuer = await TestIssuer.create(server, { preset: 'otp' });
});
afterAll(() => server.close());

describe('an allowed request', () => {
  test('is answered with who it is, in headers and nowhere else', async () => {
    const tenant = await issuer.createOrganization();
    const { id, secret } = await issuer.createKey(
      { environment: 'sandbox', restrictions: { scopes: ['invoices:read', 'invoices:write'] } },
      tenant.id,
    );
    const answer = await issuer.authorize({ 'X-OTP-API-Key': secret, 'X-Request-Id': 'trace-7' });
    expect(answer.status).toBe(200);
    expect(answer.text).toBe('');
    const { date: _date, 'x-ratelimit-reset': reset, ratelimit, ...headers } = answer.headers;
    // What the operator's plan allows in the sandbox: 1,000 an hour, of which this was one.
    expect(Number(reset)).toBeGreaterThan(Date.now() / 1000);
    expect(ratelimit).toMatch(/^"hour";r=999;t=\d+$/);
    expect(headers).toEqual({
      'x-gatelodge-key-id': id,
      'x-gatelodge-account-id': server.operator.accountId,
      'x-gatelodge-issuer-id': issuer.id,
      'x-gatelodge-organization-id': tenant.id,
      'x-gatelodge-kind': 'secret',
      'x-gatelodge-environment': 'sandbox',
      'x-gatelodge-scopes': 'invoices:read invoices:write',
      'x-environment': 'SANDBOX',
      'x-ratelimit-limit': '1000',
      'x-ratelimit-remaining': '999',
      'ratelimit-policy': '"hour";q=1000;w=3600, "day";q=10000;w=86400',
      'x-request-id': 'trace-7',
      'x-content-type-options': 'nosniff',
      'cache-control': 'no-store',
      'content-length': '0',
      vary: 'Origin',
      connection: 'close',
    });
  });

  test('of a key without tenant or scopes says so with empty headers, so that a gateway overwrites what came in', async () => {
    const { secret } = await issuer.createKey({ kind: 'publishable' });
    const { headers } = await issuer.authorize({ 'X-OTP-API-Key': secret });
    expect(headers).toMatchObject({
      'x-gatelodge-kind': 'publishable',
      'x-gatelodge-organization-id': '',
      'x-gatelodge-scopes': '',
    });
  });

  test('never repeats an identity that came in with it', async () => {
    // Attack: a caller sends the identity headers itself, for an application that trusts them.
    const { id, secret } = await issuer.createKey();
    const answer = await issuer.authorize({
      'X-OTP-API-Key': secret,
      'X-Gatelodge-Key-Id': 'key_forged',
      'X-Gatelodge-Organization-Id': 'org_forged',
      X_Gatelodge_Scopes: 'everything:do',
      'X-Environment': 'FORGED',
    });
    expect(answer.headers['x-gatelodge-key-id']).toBe(id);
    expect(JSON.stringify(answer.headers)).not.toMatch(/forged|everything/i);
  });

  test('is one by any method, with or without a body', async () => {
    const { id, secret } = await issuer.createKey();
    for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND', 'QUERY']) {
      const answer = await issuer.authorize({ 'X-OTP-API-Key': secret }, '', method);
      expect([method, answer.status, answer.headers['x-gatelodge-key-id']]).toEqual([method, 200, id]);
      const refused = await issuer.authorize({}, '', method);
      expect([method, refused.status]).toEqual([method, 401]);
    }
    const { status } = await server.operator.api.as(null).request('POST', `/v1/authorize/${issuer.id}`, {
      rawBody: 'x'.repeat(300_000),
      headers: { 'X-OTP-API-Key': secret, 'Content-Type': 'text/plain' },
    });
    expect(status).toBe(200);
  });
});

describe('the gateway may demand', () => {
  test('scopes, once or often, in one parameter or in several', async () => {
    const { secret } = await issuer.createKey({ restrictions: { scopes: ['a:read', 'b:read'] } });
    const ask = async (query: string) => (await issuer.authorize({ 'X-OTP-API-Key': secret }, query)).status;
    for (const query of ['?scope=a:read', '?scope=a%3Aread+b:read', '?scope=a:read&scope=b:read']) {
      expect([query, await ask(query)]).toEqual([query, 200]);
    }
    for (const query of [
      '?scope=c:read',
      '?scope=a:read+c:read',
      '?scope=a:read&scope=c:read',
      '?scope=A:read',
    ]) {
      expect([query, await ask(query)]).toEqual([query, 403]);
    }
    for (const query of ['?scope=', '?scope=+', '?scope=a', '?scope=a:read,b:read', '?scope=a:read&scope=']) {
      expect([query, await ask(query)]).toEqual([query, 422]);
    }
  });

  test('scopes of a publishable key that are marked publishable no longer', async () => {
    const own = await TestIssuer.create(server, { preset: 'otp' }, { publishable_scopes: ['a:read'] });
    const { secret } = await own.createKey({ kind: 'publishable', restrictions: { scopes: ['a:read'] } });
    const ask = async () => (await own.authorize({ 'X-OTP-API-Key': secret }, '?scope=a:read')).status;
    expect(await ask()).toBe(200);
    succeeded(await own.api.patch(own.path, { publishable_scopes: [] }));
    expect(await ask()).toBe(403);
  });

  test('an environment, by its name or by the profile’s label', async () => {
    const own = await TestIssuer.create(server, {
      preset: 'otp',
      environments: { live: { label: 'Production' }, sandbox: { label: 'Trial' } },
    });
    const [live, sandbox] = [await own.createKey(), await own.createKey({ environment: 'sandbox' })];
    const ask = async (secret: string, environment: string) =>
      (await own.authorize({ 'X-OTP-API-Key': secret }, `?environment=${environment}`)).status;
    for (const name of ['live', 'Production', 'production', 'PRODUCTION']) {
      expect([name, await ask(live.secret, name), await ask(sandbox.secret, name)]).toEqual([name, 200, 403]);
    }
    for (const name of ['sandbox', 'trial']) {
      expect([name, await ask(live.secret, name), await ask(sandbox.secret, name)]).toEqual([name, 403, 200]);
    }
    for (const name of ['', 'staging', 'live,sandbox']) {
      expect([name, await ask(live.secret, name)]).toEqual([name, 422]);
    }
  });

  test('one environment: two contradict each other', async () => {
    // Attack: a caller whose own query a careless gateway passes along demands the environment that it has.
    const { secret } = await issuer.createKey({ environment: 'sandbox' });
    for (const query of ['?environment=live&environment=sandbox', '?environment=sandbox&environment=live']) {
      const { status } = await issuer.authorize({ 'X-OTP-API-Key': secret }, query);
      expect([query, status]).toEqual([query, 422]);
    }
    const twice = '?environment=sandbox&environment=SANDBOX';
    expect((await issuer.authorize({ 'X-OTP-API-Key': secret }, twice)).status).toBe(200);
  });

  test('an answer that nginx understands, which changes nothing but 429', async () => {
    const { secret } = await issuer.createKey();
    const ask = (headers: Record<string, string>, query: string) => issuer.authorize(headers, query);
    expect((await ask({ 'X-OTP-API-Key': secret }, '?status=nginx')).status).toBe(200);
    const refused = await ask({}, '?status=nginx');
    expect(refused.status).toBe(401);
    expect(refused.headers).not.toHaveProperty('x-gatelodge-status');
    expect((await ask({ 'X-OTP-API-Key': secret }, '?status=nginx&scope=a:read')).status).toBe(403);
  });
});
