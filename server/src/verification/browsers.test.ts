import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../../test/harness/server.ts';
import { succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.close());

const fromBrowser = [
  { Origin: 'https://myapp.com' },
  { Origin: 'null' },
  { 'Sec-Fetch-Site': 'cross-site' },
  { 'Sec-Fetch-Site': 'same-origin' },
  { Origin: 'https://myapp.com', 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'cors' },
];
// What programs send as well says nothing.
const fromElsewhere = [
  {},
  { 'User-Agent': 'Mozilla/5.0 (X11; Linux x86_64) Chrome/153.0.0.0' },
  { Referer: 'https://myapp.com/', 'Accept-Language': 'en', Cookie: 'a=b' },
  { 'Sec-Fetch-Mode': 'cors', 'Sec-Fetch-Dest': 'empty' },
];

describe.each(['allow', 'warn', 'deny'] as const)('secret_keys_in_browsers: %s', (policy) => {
  let issuer: TestIssuer;

  beforeAll(async () => {
    issuer = await TestIssuer.create(server, { preset: 'otp', secret_keys_in_browsers: policy });
  });

  async function ask(secret: string, headers: Record<string, string>) {
    const answer = await issuer.authorize({ 'X-OTP-API-Key': secret, ...headers });
    return { status: answer.status, warnings: answer.headers['x-gatelodge-warnings'], text: answer.text };
  }

  test('decides about a secret key that a browser sends', async () => {
    const { secret } = await issuer.createKey();
    for (const headers of fromBrowser) {
      const { status, warnings, text } = await ask(secret, headers);
      expect([headers, status]).toEqual([headers, policy === 'deny' ? 403 : 200]);
      expect(warnings).toBe(policy === 'warn' ? 'secret_key_in_browser' : undefined);
      if (policy === 'deny')
        expect(text).toBe('{"error":"Secret key not allowed in a browser","code":"FORBIDDEN"}');
    }
  });

  test('says nothing about what is not sent by a browser', async () => {
    const { secret } = await issuer.createKey();
    for (const headers of fromElsewhere)
      expect(await ask(secret, headers)).toEqual({ status: 200, warnings: undefined, text: '' });
  });

  test('says nothing about publishable keys', async () => {
    const { secret } = await issuer.createKey({ kind: 'publishable' });
    for (const headers of [...fromBrowser, ...fromElsewhere])
      expect(await ask(secret, headers)).toEqual({ status: 200, warnings: undefined, text: '' });
  });
});

test('the standard profile warns, and a change of the profile holds from the next request on', async () => {
  const issuer = await TestIssuer.create(server);
  const { secret } = await issuer.createKey();
  const ask = async () => {
    const { status, headers } = await issuer.authorize({ 'X-API-Key': secret, Origin: 'https://a.example' });
    return [status, headers['x-gatelodge-warnings']];
  };
  expect(await ask()).toEqual([200, 'secret_key_in_browser']);
  await issuer.setProfile({ secret_keys_in_browsers: 'deny' });
  expect(await ask()).toEqual([403, undefined]);
  await issuer.setProfile({ secret_keys_in_browsers: 'allow' });
  expect(await ask()).toEqual([200, undefined]);
});

describe('a publishable key', () => {
  test('is none for the management API, whatever it holds', async () => {
    // Attack: the key that stands in a page's source reads or changes what the page's owner has.
    const issuer = await TestIssuer.create(server, {}, { publishable_scopes: ['invoices:read'] });
    const key = await issuer.createKey({
      kind: 'publishable',
      restrictions: { scopes: ['invoices:read'] },
    });
    const api = server.operator.api.as(key);
    for (const [method, path] of [
      ['GET', '/v1/account'],
      ['GET', '/v1/issuers'],
      ['GET', issuer.path],
      ['GET', `${issuer.path}/api-keys`],
      ['POST', `${issuer.path}/api-keys`],
      ['GET', key.path],
      ['POST', `${key.path}/revoke`],
      ['PATCH', key.path],
      ['DELETE', issuer.path],
      ['GET', '/v1/events'],
      ['POST', '/v1/keys/verify'],
    ] as const) {
      const answer = await api.request(method, path, method === 'GET' ? {} : { body: {} });
      expect([method, path, answer.status, answer.body.code]).toEqual([
        method,
        path,
        403,
        'permission_denied',
      ]);
    }
    expect((await api.get('/v1/me')).body.data.scopes).toEqual(['invoices:read']);
    succeeded(await issuer.api.get(key.path));
  });

  test('holds only what its issuer marks publishable', async () => {
    const issuer = await TestIssuer.create(server, {}, { publishable_scopes: ['invoices:read'] });
    const create = (scopes: string[]) =>
      issuer.api.post(`${issuer.path}/api-keys`, { kind: 'publishable', restrictions: { scopes } });
    expect((await create(['invoices:read'])).status).toBe(201);
    for (const scopes of [['invoices:write'], ['keys:verify'], ['gatelodge.issuers:read']]) {
      const { status, body } = await create(scopes);
      expect([status, body.errors[0].path]).toEqual([422, 'restrictions.scopes[0]']);
    }
  });

  test('is never one of the account', async () => {
    const { status, body } = await server.operator.api.post('/v1/api-keys', { kind: 'publishable' });
    expect([status, body.errors[0].path]).toEqual([422, 'kind']);
  });
});
