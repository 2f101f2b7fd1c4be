import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ApiClient } from '../../test/harness/api-client.ts';
import { type RawAnswer, type RawRequest, send } from '../../test/harness/raw-http.ts';
import { startTestServer, type TestServer } from '../../test/harness/server.ts';
import { createKey, succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';

const page = 'https://myapp.com';
const exposed =
  'X-Environment, Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, RateLimit, RateLimit-Policy, X-Request-Id, Deprecation, Sunset';

let server: TestServer;
let api: ApiClient;

beforeAll(async () => {
  server = await startTestServer();
  api = server.operator.api;
});
afterAll(() => server.close());

const call = (path: string, request: RawRequest) => send(server.url + path, request);

function preflight(path: string, origin: string, headers: Record<string, string> = {}): Promise<RawAnswer> {
  return call(path, {
    method: 'OPTIONS',
    headers: { Origin: origin, 'Access-Control-Request-Method': 'POST', ...headers },
  });
}

function corsHeaderNames({ headerNames }: RawAnswer): string[] {
  return headerNames.map((name) => name.toLowerCase()).filter((name) => name.startsWith('access-control-'));
}

/** Whether a browser would go on after this preflight. */
async function isLetThrough(path: string, origin: string): Promise<boolean> {
  const answer = await preflight(path, origin);
  expect([answer.status, answer.text]).toEqual([204, '']);
  const allowed = answer.headers['access-control-allow-origin'];
  if (allowed === undefined) expect(corsHeaderNames(answer)).toEqual([]);
  else expect(allowed).toBe(origin);
  return allowed !== undefined;
}

describe('a preflight on a path that names no issuer', () => {
  const paths = ['/v1/me', '/v1/keys/verify', '/v1/issuers', '/v1/api-keys', '/v1/nowhere'];

  test('is answered for every well-formed origin, without a key', async () => {
    for (const path of paths) {
      for (const origin of [page, 'http://localhost:5173', 'https://myapp.com:8443', 'http://[::1]:3000']) {
        expect([path, origin, await isLetThrough(path, origin)]).toEqual([path, origin, true]);
      }
    }
  });

  test('whole', async () => {
    const answer = await preflight('/v1/me', page, {
      'Access-Control-Request-Headers': 'authorization',
      'X-Request-Id': 'trace-1',
    });
    const { date: _date, connection: _connection, ...headers } = answer.headers;
    expect(headers).toEqual({
      'x-request-id': 'trace-1',
      vary: 'Origin, Access-Control-Request-Method, Access-Control-Request-Headers',
      'access-control-allow-origin': page,
      'access-control-allow-methods': 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS',
      'access-control-allow-headers': 'authorization',
      'access-control-max-age': '600',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      // Of an answer without a body, for proxies that want to know.
      ...('content-length' in headers && { 'content-length': '0' }),
    });
  });

  test('is not answered for what is no origin', async () => {
    for (const origin of [
      '',
      '*',
      'myapp.com',
      'https://myapp.com/',
      'https://a.example, https://b.example',
    ]) {
      expect([origin, await isLetThrough('/v1/me', origin)]).toEqual([origin, false]);
    }
  });

  test('lists of the asked headers those that we take, and nothing that was not asked', async () => {
    const asked = [
      'authorization',
      'Content-Type',
      'IDEMPOTENCY-KEY',
      'if-match',
      'x-api-key',
      'x-otp-api-key',
      'x-tenant-api-key',
      'x-tn',
      'x-evil',
      'cookie',
      'x-forwarded-for',
      '*',
    ];
    const answer = await preflight('/v1/me', page, { 'Access-Control-Request-Headers': asked.join(', ') });
    expect(answer.headers['access-control-allow-headers']).toBe(
      'authorization, content-type, idempotency-key, if-match, x-api-key, x-otp-api-key, x-tenant-api-key, x-tn',
    );
    for (const none of ['x-evil', '', ', ,']) {
      const other = await preflight('/v1/me', page, { 'Access-Control-Request-Headers': none });
      expect(other.headers).not.toHaveProperty('access-control-allow-headers');
    }
  });

  test('never allows credentials', async () => {
    for (const path of [...paths, `/v1/authorize/${server.demo.issuerId}`]) {
      expect(corsHeaderNames(await preflight(path, page))).not.toContain('access-control-allow-credentials');
    }
  });
});

describe('a preflight on a path that names an issuer', () => {
  const pathsOf = (issuer: TestIssuer) => [
    `/v1/authorize/${issuer.id}`,
    `/v1/authorize/${issuer.id}?scope=a:read`,
    `${issuer.path}/api-keys`,
    issuer.path,
  ];

  async function expectAllowed(issuer: TestIssuer, allowed: string[], refused: string[]): Promise<void> {
    for (const path of pathsOf(issuer)) {
      for (const origin of allowed)
        expect([path, origin, await isLetThrough(path, origin)]).toEqual([path, origin, true]);
      for (const origin of refused)
        expect([path, origin, await isLetThrough(path, origin)]).toEqual([path, origin, false]);
    }
  }

  test('allows what some active key of it may allow', async () => {
    const issuer = await TestIssuer.create(server);
    await expectAllowed(issuer, [], [page]);
    const listed = await issuer.createKey({
      restrictions: { origins: [page, 'http://localhost:*', 'http://127.0.0.1:3000'] },
    });
    const tenant = await issuer.createOrganization();
    await issuer.createKey({ restrictions: { origins: ['https://tenant.example'] } }, tenant.id);
    const strangers = ['https://evil.example', 'https://www.myapp.com', 'http://127.0.0.1:3001', 'null'];
    await expectAllowed(
      issuer,
      [page, 'http://localhost:1', 'http://localhost', 'http://127.0.0.1:3000', 'https://tenant.example'],
      strangers,
    );
    succeeded(await api.post(`${listed.path}/disable`));
    await expectAllowed(issuer, ['https://tenant.example'], [page, 'http://localhost:1', ...strangers]);
    succeeded(await api.post(`${listed.path}/enable`));
    await expectAllowed(issuer, [page], strangers);
    succeeded(await api.post(`${listed.path}/revoke`));
    await expectAllowed(issuer, [], [page, ...strangers]);
  });

  test('allows every well-formed origin while some key of it has no list', async () => {
    const issuer = await TestIssuer.create(server);
    await issuer.createKey({ restrictions: { origins: [page] } });
    const open = await issuer.createKey();
    await expectAllowed(
      issuer,
      [page, 'https://anywhere.example', 'http://localhost:9'],
      ['https://myapp.com/'],
    );
    succeeded(await api.patch(open.path, { restrictions: { browsers: 'deny' } }));
    await expectAllowed(issuer, [page], ['https://anywhere.example']);
    succeeded(await api.patch(open.path, { restrictions: { browsers: 'allow' } }));
    await expectAllowed(issuer, ['https://anywhere.example'], []);
    succeeded(await api.delete(open.path));
    await expectAllowed(issuer, [page], ['https://anywhere.example']);
  });

  test('does not look at the keys of others', async () => {
    const issuer = await TestIssuer.create(server);
    const neighbour = await TestIssuer.create(server);
    await neighbour.createKey();
    await createKey(api, '/v1/api-keys');
    await expectAllowed(issuer, [], [page]);
  });

  test('lists its own header names too, and those of no other issuer', async () => {
    const issuer = await TestIssuer.create(server, {
      key_headers: ['X-Acme-Key'],
      tenant_header: { name: 'X-Acme-Customer', required: true },
    });
    await issuer.createKey();
    const other = await TestIssuer.create(server, { key_headers: ['X-Other-Key'] });
    await other.createKey();
    const asked = { 'Access-Control-Request-Headers': 'x-acme-key, x-acme-customer, x-other-key, x-api-key' };
    const allowed = async (path: string) =>
      (await preflight(path, page, asked)).headers['access-control-allow-headers'];
    expect(await allowed(`/v1/authorize/${issuer.id}`)).toBe('x-acme-key, x-acme-customer, x-api-key');
    expect(await allowed(`/v1/authorize/${other.id}`)).toBe('x-other-key, x-api-key');
    expect(await allowed('/v1/me')).toBe('x-api-key');
  });

  test('that does not exist allows nothing', async () => {
    const gone = await TestIssuer.create(server);
    await gone.createKey();
    expect(await isLetThrough(`/v1/authorize/${gone.id}`, page)).toBe(true);
    succeeded(await api.delete(gone.path));
    expect(await isLetThrough(`/v1/authorize/${gone.id}`, page)).toBe(false);
  });
});

test('OPTIONS that is no preflight is an ordinary request', async () => {
  const issuer = await TestIssuer.create(server);
  const path = `/v1/authorize/${issuer.id}`;
  for (const headers of [{}, { Origin: page }, { 'Access-Control-Request-Method': 'GET' }]) {
    expect((await call(path, { method: 'OPTIONS', headers })).status).toBe(401);
    expect((await call('/v1/issuers', { method: 'OPTIONS', headers })).status).toBe(405);
  }
  // What only looks like one by its headers is checked.
  const headers = { Origin: page, 'Access-Control-Request-Method': 'GET' };
  expect((await call(path, { method: 'GET', headers })).status).toBe(401);
});

describe('an answer', () => {
  /** Requests with every kind of answer, each to be sent from a page; `secret` of a key without a list. */
  async function answersTo(origin: string): Promise<[name: string, answer: RawAnswer][]> {
    const restrictions = { scopes: ['keys:verify', 'a:read'] };
    const issuer = await TestIssuer.create(server, { preset: 'otp', secret_keys_in_browsers: 'allow' });
    const [key, revoked, other] = [
      await issuer.createKey({ restrictions }),
      await issuer.createKey(),
      await issuer.createKey(),
    ];
    succeeded(await api.post(`${revoked.path}/revoke`));
    const account = await createKey(api, '/v1/api-keys');
    const authorize = `/v1/authorize/${issuer.id}`;
    const asKey = { 'X-OTP-API-Key': key.secret };
    const asAccount = { Authorization: `Bearer ${account.secret}` };
    const verify = (headers: Record<string, string>, body: string): [string, RawRequest] => [
      '/v1/keys/verify',
      { method: 'POST', headers: { 'Content-Type': 'application/json', ...headers }, body },
    ];
    const requests: [number, string, RawRequest][] = [
      [200, authorize, { headers: asKey }],
      [401, authorize, {}],
      [401, authorize, { headers: { 'X-OTP-API-Key': 'x' } }],
      [401, authorize, { headers: { 'X-OTP-API-Key': revoked.secret } }],
      [401, authorize, { headers: { 'X-OTP-API-Key': [key.secret, other.secret] } }],
      [403, `${authorize}?scope=b:read`, { headers: asKey }],
      [403, `${authorize}?environment=sandbox`, { headers: asKey }],
      [422, `${authorize}?scope=b`, { headers: asKey }],
      [200, '/v1/me', { headers: asKey }],
      [401, '/v1/me', {}],
      [401, '/v1/me', { headers: { 'X-API-Key': revoked.secret } }],
      [401, '/v1/me?api_key=1', {}],
      [200, ...verify(asAccount, '{"key":"x"}')],
      [401, ...verify({}, '{"key":"x"}')],
      [403, ...verify({ Authorization: `Bearer ${other.secret}` }, '{"key":"x"}')],
      [422, ...verify(asAccount, '{}')],
      [400, ...verify(asAccount, '{')],
      [415, ...verify({ ...asAccount, 'Content-Type': 'text/plain' }, '{}')],
      [413, ...verify(asAccount, 'x'.repeat(300_000))],
      [200, '/v1/issuers', { headers: asAccount }],
      [401, '/v1/issuers', {}],
      [403, '/v1/issuers', { headers: { Authorization: `Bearer ${other.secret}` } }],
      [404, `${issuer.path}0`, { headers: asAccount }],
      [422, '/v1/issuers?limit=0', { headers: asAccount }],
    ];
    const answers: [string, RawAnswer][] = [];
    for (const [status, path, request] of requests) {
      const answer = await call(path, { ...request, headers: { ...request.headers, Origin: origin } });
      const name = `${request.method ?? 'GET'} ${path} → ${status}`;
      expect([name, answer.status]).toEqual([name, status]);
      answers.push([name, answer]);
    }
    return answers;
  }

  test('may be read by the page that asked, also a refusal, with the headers it needs', async () => {
    for (const origin of [page, 'http://localhost:3000', 'null']) {
      for (const [name, answer] of await answersTo(origin)) {
        expect([name, answer.headers['access-control-allow-origin']]).toEqual([name, origin]);
        expect([name, answer.headers['access-control-expose-headers']]).toEqual([name, exposed]);
        expect([name, answer.headers.vary]).toEqual([name, 'Origin']);
        expect([name, corsHeaderNames(answer).length]).toEqual([name, 2]);
        expect(answer.headers['x-request-id']).toBeDefined();
      }
    }
  });

  test('of a profile with an environment header of its own exposes that as well', async () => {
    const issuer = await TestIssuer.create(server, { preset: 'otp', environment_header: 'X-Acme-Mode' });
    const { secret } = await issuer.createKey({ restrictions: { scopes: ['keys:verify'] } });
    for (const [path, request] of [
      [`/v1/authorize/${issuer.id}`, { headers: { 'X-OTP-API-Key': secret } }],
      [`/v1/authorize/${issuer.id}`, {}],
      ['/v1/me', { headers: { 'X-OTP-API-Key': secret } }],
      [
        '/v1/keys/verify',
        {
          method: 'POST',
          headers: { Authorization: `Bearer ${secret}`, 'Content-Type': 'application/json' },
          body: '{"key":"x"}',
        },
      ],
    ] as [string, RawRequest][]) {
      const answer = await call(path, { ...request, headers: { ...request.headers, Origin: page } });
      expect([path, answer.headers['x-acme-mode']]).toEqual([path, 'LIVE']);
      expect(answer.headers['access-control-expose-headers']).toBe(`X-Acme-Mode, ${exposed}`);
    }
  });

  test('to a server says nothing of pages, but that it depends on the origin', async () => {
    const issuer = await TestIssuer.create(server);
    const { secret } = await issuer.createKey();
    for (const path of [`/v1/authorize/${issuer.id}`, '/v1/me']) {
      for (const headers of [{}, { 'X-API-Key': secret }, { 'X-API-Key': 'x' }]) {
        const answer = await call(path, { headers });
        expect(corsHeaderNames(answer)).toEqual([]);
        expect(answer.headers.vary).toBe('Origin');
      }
    }
  });

  test('about an issuer that does not exist may not be read', async () => {
    const answer = await call(`/v1/authorize/${server.demo.issuerId}0`, { headers: { Origin: page } });
    expect(answer.status).toBe(404);
    expect(corsHeaderNames(answer)).toEqual([]);
  });
});
