import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { exchange, type RawRequest, send } from '../../test/harness/raw-http.ts';
import { startTestServer, type TestServer } from '../../test/harness/server.ts';
import { TestIssuer } from '../../test/harness/test-issuer.ts';
import { idPrefixes, newId } from '../ids/ids.ts';
import { Edge, type EdgeEndpoint } from './edge.ts';
import { RequestInfoReader } from './request-info.ts';
import { RuntimeRoutes } from './runtime-routes.ts';

let server: TestServer;
/** A node on the same database, behind a proxy on this machine. */
let behindProxy: TestServer;

beforeAll(async () => {
  server = await startTestServer();
  behindProxy = await startTestServer({
    nodeOf: server,
    env: { GATELODGE_TRUSTED_PROXIES: '127.0.0.1/32' },
  });
});
afterAll(async () => {
  await behindProxy.close();
  await server.close();
});

const bearer = () => ({ Authorization: `Bearer ${server.operator.key.secret}` });
const paths = () => [
  '/v1/me',
  '/v1/keys/verify',
  '/v1/keys/verify-batch',
  `/v1/authorize/${server.demo.issuerId}`,
  '/v1/issuers',
  '/v1/nowhere',
  '/healthz',
  '/openapi.json',
];

describe('the request’s id', () => {
  async function idsOf(headers: NonNullable<RawRequest['headers']>): Promise<Set<string>> {
    const ids = new Set<string>();
    for (const path of paths()) {
      const answer = await send(server.url + path, { headers });
      const id = answer.headers['x-request-id'];
      expect([path, typeof id]).toEqual([path, 'string']);
      expect(answer.headerNames.filter((name) => /^x-request-id$/i.test(name))).toHaveLength(1);
      if (answer.body?.request_id !== undefined) expect(answer.body.request_id).toBe(id);
      ids.add(String(id));
    }
    return ids;
  }

  test('is the caller’s where that is well formed', async () => {
    for (const id of ['a', 'trace-1', '4bf92f35-77b3', 'A.b_c:d-9', 'x.'.repeat(64)]) {
      expect(await idsOf({ 'X-Request-Id': id })).toEqual(new Set([id]));
    }
  });

  test('is made for each request else', async () => {
    // Attack: an id breaks out of a log line or a page that shows it.
    for (const headers of [
      {},
      { 'X-Request-Id': '' },
      { 'X-Request-Id': 'x'.repeat(129) },
      { 'X-Request-Id': 'a b' },
      { 'X-Request-Id': '-a' },
      { 'X-Request-Id': '<script>' },
      { 'X-Request-Id': '{"a":1}' },
      { 'X-Request-Id': 'a\tb' },
      { 'X-Request-Id': 'é' },
      { 'X-Request-Id': ['one', 'two'] },
    ]) {
      const ids = await idsOf(headers);
      expect(ids.size).toBe(paths().length);
      for (const id of ids) expect(id).toMatch(/^req_[0-9a-z]{25}$/);
    }
  });

  test('is not the caller’s where it looks like a secret, anywhere in it', async () => {
    // Attack: a key pasted into the wrong header stands in events, answers and what callers log of them.
    const secret = server.operator.key.secret;
    for (const id of [secret, `a-${secret}`, `${secret}:1`, secret.slice(11)]) {
      for (const made of await idsOf({ 'X-Request-Id': id })) expect(made).toMatch(/^req_[0-9a-z]{25}$/);
    }
  });

  test('stands in the log of the request', async () => {
    await send(`${server.url}/v1/issuers`, { headers: { ...bearer(), 'X-Request-Id': 'find-me-1' } });
    await expect.poll(() => server.logLines.some((line) => line.includes('find-me-1'))).toBe(true);
  });
});

describe('methods', () => {
  test('405 names those that a path answers', async () => {
    for (const [path, allow] of [
      ['/v1/me', 'GET, HEAD'],
      ['/v1/keys/verify', 'POST'],
      ['/v1/keys/verify-batch', 'POST'],
      ['/healthz', 'GET, HEAD'],
      ['/readyz', 'GET, HEAD'],
      ['/metrics', 'GET, HEAD'],
      ['/openapi.json', 'GET, HEAD'],
    ]) {
      for (const method of ['PUT', 'DELETE', 'OPTIONS', 'PROPFIND', 'TRACE']) {
        const answer = await send(server.url + path, { method });
        expect([path, method, answer.status, answer.headers.allow]).toEqual([path, method, 405, allow]);
        expect(answer.body.code).toBe('method_not_allowed');
        expect(answer.headers['content-type']).toBe('application/problem+json');
      }
    }
  });

  test('HEAD answers as GET does, without the body', async () => {
    const { secret } = server.demo.key;
    for (const [path, headers] of [
      ['/v1/me', bearer()],
      ['/v1/me', {}],
      [`/v1/authorize/${server.demo.issuerId}`, { 'X-API-Key': secret }],
      [`/v1/authorize/${server.demo.issuerId}`, {}],
      ['/v1/issuers', bearer()],
      ['/v1/issuers', {}],
      ['/v1/nowhere', {}],
      ['/healthz', {}],
    ] as const) {
      const withId = { ...headers, 'X-Request-Id': 'same' };
      const get = await send(server.url + path, { headers: withId });
      const head = await send(server.url + path, { method: 'HEAD', headers: withId });
      expect([path, head.status, head.text]).toEqual([path, get.status, '']);
      const { date: _one, ...ofGet } = get.headers;
      const { date: _other, ...ofHead } = head.headers;
      expect(ofHead).toEqual(ofGet);
    }
  });
});

describe('404', () => {
  test('what is no route, near as it may come to one', async () => {
    for (const path of [
      '/v1',
      '/v1/',
      '/v1/me/',
      '/v1/ME',
      '//v1/me',
      '/v1//me',
      '/v1/keys/verify/',
      '/v1/authorize',
      '/v2/me',
      '/v1/me;x=1',
      '/.env',
      '/v1/keys/../me',
    ]) {
      const [status, head, body] = await rawGet(server.url, path);
      expect([path, status]).toEqual([path, 404]);
      expect(head).toMatch(/content-type: application\/problem\+json\r\n/i);
      expect(body.code).toBe('route_not_found');
    }
  });

  // Whoever has not set a variable of a shell sees nothing of that in the command.
  test('says where the path has an empty part, and nowhere else', async () => {
    const detailAt = async (path: string, headers: Record<string, string> = {}) => {
      const { status, body } = await send(server.url + path, { headers });
      expect([path, status]).toEqual([path, 404]);
      return body.detail;
    };
    const { id, secret } = server.operator.key;
    const caller = { Authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}` };
    for (const path of [
      '/v1/issuers//clients',
      '/v1/issuers/',
      '/v1/issuers//clients?limit=1',
      '/v1/authorize/',
    ])
      expect([path, await detailAt(path, caller)]).toEqual([path, expect.stringContaining('empty part')]);
    for (const path of [
      '//authorize?client_id=x',
      '//jwks.json',
      '//.well-known/openid-configuration',
      '//x',
    ])
      expect([path, await detailAt(path)]).toEqual([path, expect.stringContaining('empty part')]);
    for (const path of ['/v1/issuers/i_x/clients?name=a//b', '/nowhere?next=//x/', '/i_x/authorize'])
      expect([path, await detailAt(path, caller)]).not.toEqual([path, expect.stringContaining('empty part')]);
  });

  test('tells nothing of what a route would ask for', async () => {
    const answer = await send(`${server.url}/v1/nowhere`, { headers: { 'X-API-Key': 'x' } });
    expect(answer.status).toBe(404);
    expect(answer.text).not.toContain('nowhere');
  });
});

describe('a whole URL as the target', () => {
  // Attack: a front that forwards the target as it came reaches a path past a check that compares its beginning.
  test('is its path and query', async () => {
    for (const [target, status] of [
      ['http://localhost:4600/v1/me', 401],
      ['http://evil.example/v1/me', 401],
      ['HTTPS://evil.example:8443/v1/me?page=2', 401],
      ['http://localhost:4600/healthz', 200],
      ['http://localhost:4600', 200],
      ['http://localhost:4600?x=1', 200],
      [`http://localhost:4600/v1/authorize/${server.demo.issuerId}`, 401],
      ['http://localhost:4600/v1/keys/verify', 405],
    ] as const) {
      expect([target, (await rawGet(server.url, target))[0]]).toEqual([target, status]);
    }
  });
});

test('a request without Host is refused like any other, and by HTTP/1.0 needs none', async () => {
  const text = await exchange(server.url, 'GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n');
  expect(text).toMatch(/^HTTP\/1\.1 400 /);
  expect(text).toMatch(/x-request-id: req_/i);
  expect(text).toContain('"code":"bad_request"');
  expect(await exchange(server.url, 'GET /healthz HTTP/1.0\r\n\r\n')).toMatch(/^HTTP\/1\.1 200 /);
});

test('a request with two Hosts is refused: who is in front of us may have gone by the other', async () => {
  for (const hosts of ['Host: a\r\nHost: b', 'Host: a\r\nHost: a', 'Host: a, b', 'Host: a,']) {
    for (const version of ['1.0', '1.1']) {
      for (const path of ['/healthz', '/v1/me', '/v1/issuers']) {
        const bytes = `GET ${path} HTTP/${version}\r\n${hosts}\r\nConnection: close\r\n\r\n`;
        const text = await exchange(server.url, bytes);
        expect([hosts, text.split(' ')[1]]).toEqual([hosts, '400']);
        expect(text).toContain('"code":"bad_request"');
      }
    }
  }
});

test('an expectation that nobody has heard of is passed over', async () => {
  const answer = await send(`${server.url}/v1/me`, { headers: { Expect: 'the-unexpected', ...bearer() } });
  expect(answer.status).toBe(200);
  expect(answer.headers['x-request-id']).toBeDefined();
});

async function rawGet(
  url: string,
  target: string,
): Promise<[status: number, head: string, body: { code?: string }]> {
  const text = await exchange(url, `GET ${target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
  const [head = '', body = ''] = text.split('\r\n\r\n');
  const isJson = /^content-type: application\/(?:problem\+)?json/im.test(head);
  const read = isJson ? JSON.parse(body.replace(/^[0-9a-f]+\r\n|\r\n0$/g, '')) : {};
  return [Number(head.split(' ')[1]), `${head}\r\n`, read];
}

describe('https_required', () => {
  test('a trusted proxy has to say that TLS ended at it', async () => {
    const { secret } = server.demo.key;
    const ask = async (protocol: string | string[] | undefined) => {
      const answer = await send(`${behindProxy.url}/v1/me`, {
        headers: {
          'X-API-Key': secret,
          ...(protocol !== undefined && { 'X-Forwarded-Proto': protocol }),
        },
      });
      if (answer.status !== 200) {
        expect([answer.status, answer.body.code]).toEqual([403, 'https_required']);
        expect(answer.headers['content-type']).toBe('application/problem+json');
        expect(answer.headers).not.toHaveProperty('x-environment');
      }
      return answer.status;
    };
    expect(await ask('https')).toBe(200);
    expect(await ask('HTTPS')).toBe(200);
    for (const protocol of [undefined, '', 'http', 'https, http', 'wss', 'https;', 'on']) {
      expect([protocol, await ask(protocol)]).toEqual([protocol, 403]);
    }
    // What the client wrote stands left of what the proxy wrote.
    expect(await ask(['https', 'http'])).toBe(403);
    expect(await ask(['http', 'https'])).toBe(200);
  });

  test('of a request to authorize X-Forwarded-Proto tells how the request came that is asked about', async () => {
    for (const headers of [{}, { 'X-Forwarded-Proto': 'http' }, { 'X-Forwarded-Proto': 'https' }]) {
      const answer = await send(`${behindProxy.url}/v1/authorize/${server.demo.issuerId}`, {
        headers: { 'X-API-Key': server.demo.key.secret, ...headers },
      });
      expect(answer.status).toBe(200);
    }
  });

  test('on every path but the probes’ and those of requests to authorize', async () => {
    const exempt = ['/healthz', `/v1/authorize/${server.demo.issuerId}`];
    for (const path of paths().filter((path) => !exempt.includes(path))) {
      expect([path, (await send(behindProxy.url + path)).status]).toEqual([path, 403]);
    }
    for (const path of ['/healthz', '/readyz', '/healthz?x=1']) {
      expect([path, (await send(behindProxy.url + path)).status]).toEqual([path, 200]);
    }
    for (const path of ['/healthz/', '/healthz/../v1/me', '/readyz%00']) {
      expect([path, (await rawGet(behindProxy.url, path))[0]]).toEqual([path, 403]);
    }
  });

  test('nobody else is asked what they say of TLS', async () => {
    const answer = await send(`${server.url}/v1/me`, {
      headers: { ...bearer(), 'X-Forwarded-Proto': 'http', Forwarded: 'proto=http' },
    });
    expect(answer.status).toBe(200);
  });

  test('a preflight is refused by plain HTTP too', async () => {
    const answer = await send(`${behindProxy.url}/v1/me`, {
      method: 'OPTIONS',
      headers: { Origin: 'https://myapp.com', 'Access-Control-Request-Method': 'GET' },
    });
    expect(answer.status).toBe(403);
    expect(answer.headers).not.toHaveProperty('access-control-allow-origin');
  });
});

describe('a connection from another machine', () => {
  let front: Server | undefined;
  const reached: string[] = [];
  const endpoint = (name: string): EdgeEndpoint => ({
    async handle() {
      reached.push(name);
      return { status: 200 };
    },
  });

  afterEach(() => {
    front?.close();
    reached.length = 0;
  });

  /** The real front of the server, with connections that come from `address`, and a note of who was reached. */
  async function frontFor(address: string, trustedProxies: string[] = []): Promise<string> {
    const edge = new Edge(
      {
        requestInfo: new RequestInfoReader(trustedProxies),
        verify: endpoint('verify'),
        verifyBatch: endpoint('verify-batch'),
        me: endpoint('me'),
        authorize: endpoint('authorize'),
        reportLeak: endpoint('report-leak'),
        preflight: endpoint('preflight'),
        runtime: new RuntimeRoutes([
          { path: '/jwks.json', issuer: 'required', methods: { GET: endpoint('jwks') }, isPublic: true },
        ]),
        docsBaseUrl: 'https://keys.example',
        onError: () => {},
      },
      (_request: IncomingMessage, response: ServerResponse) => {
        reached.push('fastify');
        response.end();
      },
    );
    front = createServer(edge.listener);
    front.on('connection', (socket) => {
      Object.defineProperty(socket, 'remoteAddress', { value: address });
    });
    await new Promise<void>((resolve) => front!.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(front.address() as AddressInfo).port}`;
  }

  test.each(['203.0.113.7', '10.0.0.1', '192.168.1.1', '2001:db8::1', '::ffff:203.0.113.7', '128.0.0.1'])(
    'by plain HTTP from %s reaches nothing but the probes',
    async (address) => {
      const url = await frontFor(address);
      const runtime = `/${newId(idPrefixes.issuer)}/jwks.json`;
      for (const path of [
        '/v1/me',
        '/v1/keys/verify',
        '/v1/authorize/i_x',
        '/v1/issuers',
        '/',
        '/metrics',
        runtime,
      ]) {
        for (const headers of [{}, { 'X-Forwarded-Proto': 'https' }, { 'X-Forwarded-For': '127.0.0.1' }]) {
          const answer = await send(url + path, { headers });
          expect([path, answer.status, answer.body.code]).toEqual([path, 403, 'https_required']);
        }
      }
      expect(reached).toEqual([]);
      await send(`${url}/healthz`);
      expect(reached).toEqual(['fastify']);
    },
  );

  test.each(['127.0.0.1', '127.8.9.10', '::1', '::ffff:127.0.0.1'])(
    'from %s is this machine',
    async (address) => {
      const url = await frontFor(address);
      await send(`${url}/v1/me`);
      expect(reached).toEqual(['me']);
    },
  );

  test.each(['10.1.2.3', '::ffff:10.1.2.3'])(
    'from a trusted proxy at %s is as secure as it says',
    async (address) => {
      const url = await frontFor(address, ['10.0.0.0/8']);
      expect((await send(`${url}/v1/me`, { headers: { 'X-Forwarded-Proto': 'https' } })).status).toBe(200);
      expect((await send(`${url}/v1/me`)).status).toBe(403);
      expect(reached).toEqual(['me']);
      expect((await send(`${url}/v1/authorize/i_x`)).status).toBe(200);
      expect(reached).toEqual(['me', 'authorize']);
    },
  );
});

test('headers beyond Node’s usual 2,000 are read, not dropped', async () => {
  // Attack: a client fills a request with headers, so that those a proxy adds at the end (here Origin and the address)
  // are not seen any more.
  const issuer = await TestIssuer.create(server, { preset: 'otp' });
  const listed = await issuer.createKey({ restrictions: { origins: ['https://myapp.com'] } });
  const bound = await issuer.createKey({ restrictions: { ips: ['127.0.0.1'] } });
  const ask = async (url: string, key: string, last: string) => {
    const filler = 'a:\r\n'.repeat(2_500);
    const text = await exchange(
      url,
      `GET /v1/authorize/${issuer.id} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Forwarded-Proto: https\r\nX-OTP-API-Key: ${key}\r\n${filler}${last}\r\n\r\n`,
    );
    return [text.split(' ', 2)[1], text.split('\r\n\r\n')[1]];
  };
  expect(await ask(server.url, listed.secret, 'Origin: https://evil.example')).toEqual([
    '403',
    '{"error":"Origin not allowed","code":"FORBIDDEN"}',
  ]);
  expect(await ask(behindProxy.url, bound.secret, 'X-Forwarded-For: 203.0.113.7')).toEqual([
    '403',
    '{"error":"IP address not allowed","code":"FORBIDDEN"}',
  ]);
});
