import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ApiClient } from '../../test/harness/api-client.ts';
import { send } from '../../test/harness/raw-http.ts';
import { startTestServer, type TestServer } from '../../test/harness/server.ts';
import { createKey, succeeded, TestIssuer, type TestKey } from '../../test/harness/test-issuer.ts';

let server: TestServer;
let api: ApiClient;
let issuer: TestIssuer;

beforeAll(async () => {
  server = await startTestServer();
  api = server.operator.api;
  issuer = await TestIssuer.create(server, { preset: 'otp' });
});
afterAll(() => server.close());

function withOrigins(origins: readonly string[] | null, members: Record<string, unknown> = {}) {
  return issuer.createKey({ restrictions: { origins, ...members } });
}

/** 200, or why not. */
async function outcome(key: TestKey, origin?: string): Promise<number | string> {
  const { status, body } = await issuer.authorize({
    'X-OTP-API-Key': key.secret,
    ...(origin !== undefined && { Origin: origin }),
  });
  if (status === 200) return 200;
  expect([status, body]).toEqual([403, { error: 'Origin not allowed', code: 'FORBIDDEN' }]);
  return 'refused';
}

describe('a key', () => {
  test('without origins (none, null, []) may be used from anywhere', async () => {
    for (const key of [await issuer.createKey(), await withOrigins(null), await withOrigins([])]) {
      for (const origin of ['https://myapp.com', 'http://localhost:3000', 'null', 'capacitor://localhost']) {
        expect([origin, await outcome(key, origin)]).toEqual([origin, 200]);
      }
      expect(await outcome(key)).toBe(200);
    }
  });

  test('with origins may be used from those alone, and by servers, which send none', async () => {
    const key = await withOrigins(['https://myapp.com', 'http://localhost:3000']);
    expect(await outcome(key, 'https://myapp.com')).toBe(200);
    expect(await outcome(key, 'http://localhost:3000')).toBe(200);
    expect(await outcome(key)).toBe(200);
    for (const origin of ['https://evil.example', 'https://www.myapp.com', 'http://localhost:3001', 'null']) {
      expect([origin, await outcome(key, origin)]).toEqual([origin, 'refused']);
    }
  });

  test('that requires an origin is not for servers', async () => {
    const listed = await withOrigins(['https://myapp.com'], { require_origin: true });
    expect(await outcome(listed, 'https://myapp.com')).toBe(200);
    expect(await outcome(listed)).toBe('refused');
    expect(await outcome(listed, '')).toBe('refused');
    const open = await withOrigins([], { require_origin: true });
    expect(await outcome(open, 'https://anywhere.example')).toBe(200);
    expect(await outcome(open)).toBe('refused');
  });

  test('closed to browsers is refused to whatever a browser sent, and to nothing else', async () => {
    const key = await withOrigins([], { browsers: 'deny' });
    expect(await outcome(key)).toBe(200);
    expect(await outcome(key, 'https://myapp.com')).toBe('refused');
    for (const site of ['same-origin', 'cross-site', 'none']) {
      const answer = await issuer.authorize({ 'X-OTP-API-Key': key.secret, 'Sec-Fetch-Site': site });
      expect([site, answer.status]).toEqual([site, 403]);
    }
    const { status } = await issuer.authorize({ 'X-OTP-API-Key': key.secret, Referer: 'https://myapp.com/' });
    expect(status).toBe(200);
  });

  test.each(['localhost', '127.0.0.1', '[::1]'])(
    'with http://%s:* may be used from every port of it, and of nothing else',
    async (host) => {
      const key = await withOrigins([`http://${host}:*`]);
      for (const origin of [`http://${host}:3000`, `http://${host}:65535`, `http://${host}`]) {
        expect([origin, await outcome(key, origin)]).toEqual([origin, 200]);
      }
      for (const origin of [
        `https://${host}:3000`,
        `http://${host}.evil.example:3000`,
        `http://evil.example:3000`,
        `http://${host}:*`,
        `http://${host}:`,
        `http://${host}:65536`,
        `http://${host}:3000.evil.example`,
        `http://${host}:3000/`,
      ]) {
        expect([origin, await outcome(key, origin)]).toEqual([origin, 'refused']);
      }
    },
  );

  // Attack: a page on another origin tries keys that it has found, and reads from the refusals which of them lived.
  test('hides every refusal from pages that it keeps out, not only the refusal of their origin', async () => {
    const [revoked, disabled, alive, closed] = [
      await withOrigins(['https://myapp.com']),
      await withOrigins(['https://myapp.com']),
      await withOrigins(['https://myapp.com']),
      await withOrigins([], { browsers: 'deny' }),
    ];
    succeeded(await api.post(`${revoked.path}/revoke`));
    succeeded(await api.post(`${disabled.path}/disable`));
    const allowedOrigins = (key: TestKey, origin: string) =>
      Promise.all(
        ['/v1/me', '/v1/issuers', `/v1/authorize/${issuer.id}?environment=sandbox`].map(async (path) => {
          const headers = path.includes('authorize')
            ? { 'X-OTP-API-Key': key.secret }
            : { Authorization: `Bearer ${key.secret}` };
          const answer = await send(server.url + path, { headers: { ...headers, Origin: origin } });
          return answer.headers['access-control-allow-origin'] ?? null;
        }),
      );
    const none = [null, null, null];
    for (const key of [revoked, disabled, alive, closed]) {
      expect(await allowedOrigins(key, 'https://evil.example')).toEqual(none);
    }
    expect(await allowedOrigins(closed, 'https://myapp.com')).toEqual(none);
    for (const key of [revoked, disabled, alive]) {
      expect(await allowedOrigins(key, 'https://myapp.com')).toEqual(none.map(() => 'https://myapp.com'));
    }
  });

  test('takes a change of its origins with the next request', async () => {
    const key = await withOrigins(['https://old.example']);
    expect(await outcome(key, 'https://old.example')).toBe(200);
    succeeded(await api.patch(key.path, { restrictions: { origins: ['https://new.example'] } }));
    expect(await outcome(key, 'https://old.example')).toBe('refused');
    expect(await outcome(key, 'https://new.example')).toBe(200);
    succeeded(await api.patch(key.path, { restrictions: { origins: null } }));
    expect(await outcome(key, 'https://anywhere.example')).toBe(200);
  });
});

describe('422: an entry that no browser would ever match, and how to mend it', () => {
  test.each([
    ['https://myapp.com/', 'remove the trailing slash', 'https://myapp.com'],
    ['myapp.com', 'add the scheme', 'https://myapp.com'],
    ['localhost:3000', 'add the scheme', 'http://localhost:3000'],
    ['*.myapp.com', 'hosts have no wildcards', null],
    ['https://*.myapp.com', 'hosts have no wildcards', null],
    ['https://myapp.com/app', 'remove the path', 'https://myapp.com'],
    ['https://myapp.com?x=1', 'remove the query', 'https://myapp.com'],
    ['https://myapp.com#top', 'remove the fragment', 'https://myapp.com'],
    ['https://myapp.com:443', 'remove the default port', 'https://myapp.com'],
    ['https://MyApp.com', 'lower case', 'https://myapp.com'],
    ['https://bücher.example', 'punycode', 'https://xn--bcher-kva.example'],
    ['https://user:pass@myapp.com', 'remove the user name and password', null],
    ['https://myapp.com:*', 'loopback only', null],
    ['https://localhost:*', 'loopback only', 'http://localhost:*'],
    ['*', 'leave the list empty', null],
    ['null', 'remove it', null],
    ['', 'such as https://myapp.com', null],
    ['ftp://myapp.com', 'http or https', null],
    ['https://a.example, https://b.example', 'remove the white space', null],
  ])('%j', async (entry, fix, corrected) => {
    const key = await withOrigins(['https://kept.example']);
    for (const answer of [
      await api.post(`${issuer.path}/api-keys`, {
        restrictions: { origins: ['https://good.example', entry] },
      }),
      await api.patch(key.path, { restrictions: { origins: ['https://good.example', entry] } }),
    ]) {
      expect([answer.status, answer.body.code]).toEqual([422, 'invalid_request']);
      const [error, ...others] = answer.body.errors;
      expect(others).toEqual([]);
      expect(error.path).toBe('restrictions.origins[1]');
      expect(error.message).toContain(fix);
      if (corrected !== null) {
        expect(error.message.endsWith(`: ${corrected}`)).toBe(true);
        succeeded(await api.patch(key.path, { restrictions: { origins: [corrected] } }));
        succeeded(await api.patch(key.path, { restrictions: { origins: ['https://kept.example'] } }));
      }
    }
    expect((await api.get(key.path)).body.data.restrictions.origins).toEqual(['https://kept.example']);
  });
});

// Attack: a page on an origin that looks like an allowed one, or breaks the comparison, uses a key it found.
const hostile = [
  'null',
  'Null',
  'NULL',
  '',
  '*',
  'https://',
  'https:',
  'myapp.com',
  '//myapp.com',
  'http://myapp.com',
  'HTTPS://myapp.com',
  'Https://myapp.com',
  'https://MYAPP.com',
  'https://myapp.com.',
  'https://myapp.com:443',
  'https://myapp.com:8443',
  'https://myapp.com:',
  'https://myapp.com:0',
  'https://myapp.com:443.evil.example',
  'https://myapp.com/',
  'https://myapp.com/path',
  'https://myapp.com?',
  'https://myapp.com#',
  'https://myapp.com ,https://evil.example',
  'https://myapp.com, https://evil.example',
  'https://evil.example, https://myapp.com',
  'https://evil.example https://myapp.com',
  'https://myapp.com@evil.example',
  'https://evil.example@myapp.com',
  'https://user:pass@myapp.com',
  'https://myapp.com.evil.example',
  'https://evil-myapp.com',
  'https://evilmyapp.com',
  'https://myapp.comevil.example',
  'https://sub.myapp.com',
  'https://www.myapp.com',
  'https://myapp',
  'https://myapp.co',
  'https://myappxcom',
  'https://myapp%2ecom',
  'https://myapp.com%00',
  'https://myapp.com%0d%0aX-Injected: 1',
  'https://xn--myapp-.com',
  'https://m\u00fdapp.com',
  'https://myapp\u3002com',
  'https:\\\\myapp.com',
  'https:///myapp.com',
  'https://[myapp.com]',
  'wss://myapp.com',
  'file://myapp.com',
  'chrome-extension://myapp.com',
  'javascript:alert(1)//https://myapp.com',
  'http://localhost',
  'https://127.0.0.1',
  '"https://myapp.com"',
  '<https://myapp.com>',
  "https://myapp.com'",
  'https://myapp.com\thttps://evil.example',
];

describe('none of many hostile origins is let in or reflected where a list decides', () => {
  let ofIssuer: TestKey;
  let ofAccount: TestKey;

  beforeAll(async () => {
    const restrictions = { origins: ['https://myapp.com'] };
    ofIssuer = await withOrigins(restrictions.origins);
    ofAccount = await createKey(api, '/v1/api-keys', { restrictions });
  });

  const calls: [name: string, call: (origin: string) => [path: string, method: string, key: TestKey]][] = [
    ['/v1/authorize', () => [`/v1/authorize/${issuer.id}`, 'GET', ofIssuer]],
    ['/v1/me', () => ['/v1/me', 'GET', ofIssuer]],
    ['/v1/keys/verify', () => ['/v1/keys/verify', 'POST', ofAccount]],
    ['GET /v1/issuers', () => ['/v1/issuers', 'GET', ofAccount]],
    ['POST /v1/issuers', () => ['/v1/issuers', 'POST', ofAccount]],
  ];

  test.each(calls)('by %s', async (_name, call) => {
    for (const origin of hostile) {
      const [path, method, key] = call(origin);
      const answer = await send(server.url + path, {
        method,
        // As a client that is no browser can: bytes beyond ASCII as they are.
        headers: {
          Origin: Buffer.from(origin).toString('latin1'),
          'X-OTP-API-Key': key.secret,
          Authorization: `Bearer ${key.secret}`,
          ...(method === 'POST' && { 'Content-Type': 'application/json' }),
        },
        ...(method === 'POST' && { body: '{"key":"x"}' }),
      });
      expect([origin, answer.status]).toEqual([origin, 403]);
      expect(answer.text).toMatch(/Origin not allowed/);
      expect(answer.headerNames.filter((name) => /^access-control-/i.test(name))).toEqual([]);
      expect(answer.headers.vary).toBe('Origin');
      expect(answer.headerNames).not.toContain('X-Injected');
    }
    const [path, method, key] = call('');
    const allowed = await send(server.url + path, {
      method,
      headers: {
        Origin: 'https://myapp.com',
        'X-OTP-API-Key': key.secret,
        Authorization: `Bearer ${key.secret}`,
        ...(method === 'POST' && { 'Content-Type': 'application/json' }),
      },
      ...(method === 'POST' && { body: '{"key":"x"}' }),
    });
    expect(allowed.status).not.toBe(403);
    expect(allowed.headers['access-control-allow-origin']).toBe('https://myapp.com');
  });

  test('by a preflight for an issuer whose keys all have lists', async () => {
    const own = await TestIssuer.create(server);
    await own.createKey({ restrictions: { origins: ['https://myapp.com'] } });
    for (const origin of hostile) {
      for (const path of [`/v1/authorize/${own.id}`, `/v1/issuers/${own.id}/api-keys`]) {
        const answer = await send(server.url + path, {
          method: 'OPTIONS',
          headers: {
            Origin: Buffer.from(origin).toString('latin1'),
            'Access-Control-Request-Method': 'GET',
          },
        });
        expect([origin, answer.status]).toEqual([origin, 204]);
        expect(answer.headerNames.filter((name) => /^access-control-/i.test(name))).toEqual([]);
      }
    }
  });
});
