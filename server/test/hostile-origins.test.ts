import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { routes } from '../src/app.ts';
import type { Route } from '../src/http/route.ts';
import { presets } from '../src/key-profiles/presets.ts';
import { createCustomer } from './harness/customer.ts';
import { ApiContract } from './harness/openapi.ts';
import { type RawAnswer, send } from './harness/raw-http.ts';
import { Rows } from './harness/rows.ts';
import { scaled } from './harness/scale.ts';
import { startTestServer, type TestServer } from './harness/server.ts';
import { createKey, TestIssuer, type TestKey } from './harness/test-issuer.ts';

/*
 * Attack: a page on an origin that resembles an allowed one (by suffix, prefix, port, scheme, case, IDN, credentials,
 * as `null`) uses a key that it found, on every route there is; or it is told that it may send cookies along.
 */

const allowed = 'https://app.example.com';
const hostileOrigins = [
  ...['null', 'NULL', '*', 'undefined', 'https://', 'https', 'app.example.com', '//app.example.com'],
  ...['http://', 'HTTPS://', 'wss://', 'file://', 'https:', 'https:/', 'https:///', 'https:\\\\'].map(
    (scheme) => `${scheme}app.example.com`,
  ),
  ...[
    ...[
      '.',
      '/',
      '//',
      ':',
      ':0',
      ':443',
      ':80',
      ':8443',
      ':65536',
      '?',
      '#',
      '\\',
      '%00',
      '%0d%0aX-Injected: 1',
    ],
    ...[
      '.evil.example',
      '-evil.example',
      'evil.example',
      ':443.evil.example',
      '@evil.example',
      ' ',
      '\t',
      ',',
    ],
    ...[', https://evil.example', ' https://evil.example', ';', '"', "'", '>', '\u00e9', '\u3002'],
  ].map((end) => allowed + end),
  ...['https://evil.example, ', 'https://evil.example ', 'https://evil.example#', '"', '<', 'x', '('].map(
    (start) => start + allowed,
  ),
  ...['APP.example.com', 'app.EXAMPLE.com', 'evilapp.example.com', 'app-example.com', 'appxexample.com'].map(
    (host) => `https://${host}`,
  ),
  ...[
    'example.com',
    'www.app.example.com',
    'app.example.co',
    'app.example',
    'аpp.example.com',
    'xn--pp-7kc.example.com',
  ].map((host) => `https://${host}`),
  ...['user:pass@app.example.com', 'app.example.com@evil.example', '[::1]', '2130706433', '0x7f.1'].map(
    (host) => `https://${host}`,
  ),
  ...['http://localhost', 'http://localhost:3000', 'http://127.0.0.1:8080', 'https://evil.example'],
  ...[
    'chrome-extension://app.example.com',
    'javascript:alert(1)//https://app.example.com',
    'data:text/html,x',
  ],
  // White space around a header's value is no part of it.
].filter((origin) => origin.trim() !== allowed);

let server: TestServer;
let contract: ApiContract;
let restricted: { customer: TestKey; operator: TestKey; issuer: TestKey };
let open: TestKey;
let issuer: TestIssuer;
beforeAll(async () => {
  server = await startTestServer();
  contract = await ApiContract.of(server);
  const customer = await createCustomer(server);
  issuer = await TestIssuer.create(server, {}, {}, customer.api);
  const body = { restrictions: { origins: [allowed] } };
  restricted = {
    customer: await createKey(customer.api, '/v1/api-keys', body),
    operator: await createKey(server.operator.api, '/v1/api-keys', body),
    issuer: await issuer.createKey(body),
  };
  open = await createKey(customer.api, '/v1/api-keys');
});
afterAll(() => server.close());

const keyed = routes.filter((route) => route.handler !== null || route.security.endsWith('key'));
const unkeyed = routes.filter((route) => !keyed.includes(route));
/** Documents that are the same for everybody, whoever asks: they alone are for every origin. */
const documents = ['openapi.get', 'jwks.get', 'discovery.get', 'discovery.getByHost'];
/** What a user calls by a token of its own is for the page that it is on, whichever that is; no key has a part in it. */
const ofUsers = routes
  .map(({ operationId }) => operationId)
  .filter((name) => /\bauth\.(me|refresh|logout)$/.test(name));
/**
 * What pages of clients call by what stands in the request, never by a cookie. Any page may ask; which may read an answer
 * is the client's redirect URIs' to say (server/src/oidc).
 */
const ofClients = routes
  .map(({ operationId }) => operationId)
  .filter((name) =>
    /^oidc\.(token|pushAuthorization|authorizeDevice|userinfo|postUserinfo|revoke|register)$/.test(name),
  );

describe('where a list decides', () => {
  test('no hostile origin is let in or reflected, by any route', async () => {
    expect(hostileOrigins.length).toBeGreaterThanOrEqual(50);
    expect(keyed.length).toBeGreaterThan(50);
    for (const [origin, route] of pairs(keyed)) {
      const answer = await ask(route, restrictedKey(route), origin);
      expect([answer.status, codeOf(answer)], `${route.operationId} from ${origin}`).toEqual([
        403,
        'origin_not_allowed',
      ]);
      expectNoCors(answer);
      expect(answer.headers.vary).toBe('Origin');
      expect(answer.headerNames).not.toContain('X-Injected');
      expect(answer.text).not.toContain('evil.example');
    }
  });

  test('an allowed origin is let in and told so, by every route', async () => {
    for (const route of keyed) {
      const answer = await ask(harmless(route), restrictedKey(route), allowed);
      expect(codeOf(answer), route.operationId).not.toBe('origin_not_allowed');
      expect(answer.headers['access-control-allow-origin'], route.operationId).toBe(allowed);
      expect(answer.headers['access-control-allow-credentials']).toBeUndefined();
    }
  });

  test('no preflight for an issuer whose keys all have lists reflects one', async () => {
    const ofIssuer = routes.filter(
      ({ path, operationId }) =>
        path.includes('{issuer_id}') && ![...documents, ...ofUsers, ...ofClients].includes(operationId),
    );
    expect(ofIssuer.length).toBeGreaterThan(25);
    for (const [origin, route] of pairs(ofIssuer)) {
      const answer = await preflight(route, origin);
      expect(answer.status).toBe(204);
      expectNoCors(answer);
    }
  });
});

describe('where no list decides', () => {
  test('what a user calls by a token of its own is readable by every page, and by none with credentials', async () => {
    expect(ofUsers.length).toBe(6);
    for (const route of routes.filter(({ operationId }) => ofUsers.includes(operationId))) {
      for (const answer of [
        await ask(route, null, 'https://evil.example'),
        await preflight(route, 'https://evil.example'),
      ]) {
        expect(answer.headers['access-control-allow-origin'], route.operationId).toBe('https://evil.example');
        expect(answer.headers['access-control-allow-credentials']).toBeUndefined();
      }
    }
  });

  test('credentials are allowed to nobody, nor every origin at once, by any route', async () => {
    for (const [origin, route] of pairs(routes)) {
      for (const answer of [await ask(harmless(route), open, origin), await preflight(route, origin)]) {
        expect(answer.headers['access-control-allow-credentials'], route.operationId).toBeUndefined();
        const told = answer.headers['access-control-allow-origin'];
        if (told === '*') expect([...documents, ...ofClients]).toContain(route.operationId);
        expect(answer.headerNames).not.toContain('X-Injected');
      }
    }
  });

  test('what tells of the node is readable by no page', async () => {
    // The documents and the leak report are for everybody, and tell nothing of the node.
    const ofEverybody = [...documents, ...ofUsers, ...ofClients, 'keys.reportLeak'];
    for (const route of unkeyed.filter(({ operationId }) => !ofEverybody.includes(operationId))) {
      const answer = await ask(route, null, 'https://evil.example');
      expectNoCors(answer);
    }
  });
});

describe('a key profile', () => {
  const dangerous = [
    ...['Host', 'Cookie', 'Set-Cookie', 'Location', 'Content-Type', 'Content-Length', 'Transfer-Encoding'],
    ...['Connection', 'Origin', 'Referer', 'Forwarded', 'Via', 'Date', 'Vary', 'ETag', 'Link', 'Refresh'],
    ...[
      'Access-Control-Allow-Origin',
      'Content-Security-Policy',
      'Strict-Transport-Security',
      'Clear-Site-Data',
    ],
    ...[
      'X-Forwarded-For',
      'X-Forwarded-Host',
      'X-Forwarded-Proto',
      'x-forwarded-anything',
      'X-Real-IP',
      'x-real-',
    ],
    ...['X-Accel-Redirect', 'x-accel-buffering', 'X-Sendfile', 'X-Gatelodge-Key-Id', 'X-GATELODGE-Scopes'],
    ...['X-Request-Id', 'X-RateLimit-Limit', 'X-HTTP-Method-Override', 'X-Original-URL', 'X-Rewrite-URL'],
    ...['X-Frame-Options', 'X-Content-Type-Options', 'X-XSS-Protection', 'X-Powered-By', 'X-CSRF-Token'],
    ...[
      'X-',
      'X',
      '',
      'X-a b',
      'X-a:b',
      'X-a\r\nX-Injected',
      'X-a\nb',
      'X-\u0000',
      'X-ä',
      `X-${'a'.repeat(61)}`,
    ],
    ...['X_Api_Key', 'X-Api_Key', ':path', 'X-API-Key,X-Other', 'Authorization ', 'proxy-authorization'],
  ];
  const injections = ['a\r\nX-Injected: 1', 'a\n', '\r', 'a\u0000', 'a b', 'ä', '<b>', '', 'a'.repeat(33)];

  test.each([
    ['key', (name: string) => ({ key_headers: [name] })],
    ['tenant', (name: string) => ({ tenant_header: { name, required: false } })],
    ['environment', (name: string) => ({ environment_header: name })],
  ])('names no dangerous header as its %s header', async (_role, bodyWith) => {
    const rows = await Rows.open(server.database);
    const before = await rows.snapshot();
    for (const name of dangerous) {
      const answer = await issuer.api.put(`${issuer.path}/key-profile`, bodyWith(name));
      expect([answer.status, answer.body.code], JSON.stringify(name)).toEqual([422, 'invalid_request']);
    }
    expect(await rows.snapshot()).toEqual(before);
    await rows.close();
  });

  test.each([
    ['a label', (text: string) => ({ environments: { live: { label: text } } })],
    ['a prefix', (text: string) => ({ environments: { live: { prefix: text } } })],
    ['a word for a kind', (text: string) => ({ kinds: { secret: text } })],
    ['a template', (text: string) => ({ prefix_template: `${text}{environment}_` })],
  ])('puts nothing into an answer or a key that could break out of it, by %s', async (where, bodyWith) => {
    // A template may begin with the placeholder.
    for (const text of injections.filter((each) => where !== 'a template' || each !== '')) {
      const answer = await issuer.api.put(`${issuer.path}/key-profile`, bodyWith(text));
      expect([answer.status, answer.body.code], JSON.stringify(text)).toEqual([422, 'invalid_request']);
    }
  });

  // Attack: the tenant, the scope or the environment that is asked for ends up in a header of the answer.
  test('fills its headers with nothing that a request says', async () => {
    const own = await TestIssuer.create(server, {
      ...presets['tenant-header'],
      tenant_header: { name: 'x-tn', required: false },
    });
    const key = await own.createKey({ restrictions: { browsers: 'allow' } });
    const names = new Set<string>();
    for (const text of ['evil', 'evil%0d%0aX-Injected:1', 'org_evil']) {
      for (const query of ['', `?scope=${text}`, `?environment=${text}`, `?status=${text}`, `?${text}`]) {
        const answer = await own.authorize(
          { 'x-api-key': key.secret, 'x-tn': text, 'X-Request-Id': text },
          query,
        );
        for (const [name, value] of Object.entries(answer.headers)) {
          names.add(name);
          if (name !== 'x-request-id') expect(String(value), name).not.toContain('evil');
        }
      }
    }
    expect([...names].filter((name) => name.startsWith('x-')).sort()).toEqual([
      'x-content-type-options',
      'x-environment',
      'x-request-id',
    ]);
  });
});

/** Every origin with every route in a soak run; in CI each origin with some, so that all routes have their turn. */
function pairs(all: readonly Route[]): [string, Route][] {
  const each = scaled(10, all.length);
  return hostileOrigins.flatMap((origin, turn) =>
    Array.from({ length: Math.min(each, all.length) }, (_, index): [string, Route] => [
      origin,
      all[(turn * each + index) % all.length]!,
    ]),
  );
}

/**
 * The route with ids that are none where it changes something: what the other tests need stays. What the edge answers
 * changes none of it, and without its issuer no key would be looked at.
 */
function harmless(route: Route): Route {
  return route.method === 'GET' || route.handler === null
    ? route
    : { ...route, path: route.path.replaceAll(/\{\w+\}/g, 'x') };
}

function restrictedKey(route: Route): TestKey {
  if (route.operationId.startsWith('authorize')) return restricted.issuer;
  return route.handler !== null && route.level === 'operator' ? restricted.operator : restricted.customer;
}

function ask(route: Route, key: TestKey | null, origin: string): Promise<RawAnswer> {
  const { body } = contract.operation(route.operationId);
  return send(`${server.url}${pathOf(route)}`, {
    method: route.method,
    headers: {
      ...(key && { Authorization: `Bearer ${key.secret}` }),
      Origin: bytesOf(origin),
      ...(body && { 'Content-Type': 'application/json' }),
    },
    ...(body && { body: JSON.stringify(body.example) }),
  });
}

function preflight(route: Route, origin: string): Promise<RawAnswer> {
  return send(`${server.url}${pathOf(route)}`, {
    method: 'OPTIONS',
    headers: {
      Origin: bytesOf(origin),
      'Access-Control-Request-Method': route.method,
      'Access-Control-Request-Headers': 'authorization, x-evil, cookie',
    },
  });
}

function pathOf({ path }: Route): string {
  return path.replace('{issuer_id}', issuer.id).replaceAll(/\{\w+\}/g, 'x');
}

/** As a client that is no browser can send it: bytes beyond ASCII as they are. */
function bytesOf(text: string): string {
  return Buffer.from(text).toString('latin1');
}

function expectNoCors({ headerNames }: RawAnswer): void {
  expect(headerNames.filter((name) => /^access-control-/i.test(name))).toEqual([]);
}

function codeOf({ body }: RawAnswer): string | undefined {
  return body?.code;
}
