import { Agent, request as httpRequest } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../harness/process.ts';
import { exchange, type RawAnswer, type RawRequest, send } from '../harness/raw-http.ts';
import { startTestServer, type TestServer } from '../harness/server.ts';
import { succeeded, TestIssuer } from '../harness/test-issuer.ts';
import { Gateway, type GatewayKind, type GatewayOptions } from './gateway.ts';
import { type Behaviour, type StandIn, startStandIn } from './stand-in.ts';
import { startUpstream, type Upstream } from './upstream.ts';

type Headers = NonNullable<RawRequest['headers']>;

/** What a client of the API may rely on in a refusal, besides status and body. */
const contractHeaders = [
  'content-type',
  'www-authenticate',
  'x-environment',
  'x-request-id',
  'retry-after',
  'x-ratelimit-limit',
  'x-ratelimit-remaining',
  'x-ratelimit-reset',
  'ratelimit',
  'ratelimit-policy',
  'access-control-allow-origin',
  'access-control-expose-headers',
  'access-control-allow-credentials',
  'vary',
  'deprecation',
  'sunset',
  'cache-control',
  'x-content-type-options',
] as const;

const page = 'https://app.example.com';
const unavailableBody = '{"error":{"code":"unavailable","message":"Try again shortly","type":"api_error"}}';

/** Everything a gateway of examples/proxies promises, asked of one of them. */
export function describeGateway(kind: GatewayKind): void {
  let server: TestServer;
  /** A node that trusts what the gateway says in X-Forwarded-*, as an operator sets it up. */
  let gatelodge: TestServer;
  let upstream: Upstream;
  let standIn: StandIn;
  let issuer: TestIssuer;
  let tenants: { acme: Tenant; globex: Tenant; suspended: Tenant };
  const keys: Record<string, string> = {};
  const gateways: Gateway[] = [];
  /** In front of Gatelodge, and in front of what stands in for it. */
  let gateway: Gateway;
  let withStandIn: Gateway;

  const addressOf = (url: string) => new URL(url).host;
  const start = async (options: Partial<GatewayOptions> = {}) => {
    const started = await Gateway.start(kind, {
      gatelodge: addressOf(gatelodge.url),
      upstream: upstream.address,
      issuerId: issuer.id,
      ...options,
    });
    gateways.push(started);
    return started;
  };
  const ask = (headers: Headers = {}, path = '/echo', request: RawRequest = {}, via = gateway) =>
    send(`${via.url}${path}`, { ...request, headers });
  const of = (key: string, tenant = 'tenant_acme'): Headers => ({ 'x-api-key': keys[key]!, 'x-tn': tenant });

  beforeAll(async () => {
    server = await startTestServer();
    [gatelodge, upstream, standIn] = await Promise.all([
      startTestServer({ nodeOf: server, env: { GATELODGE_TRUSTED_PROXIES: '127.0.0.1/32' } }),
      startUpstream(),
      startStandIn(),
    ]);
    issuer = await TestIssuer.create(server, { preset: 'tenant-header' });
    tenants = {
      acme: await issuer.createOrganization({ external_id: 'tenant_acme' }),
      globex: await issuer.createOrganization({ external_id: 'tenant_globex' }),
      suspended: await issuer.createOrganization({ external_id: 'tenant_suspended' }),
    };
    const { acme, globex, suspended } = tenants;
    const create = async (name: string, body: Record<string, unknown>, organizationId: string) => {
      const key = await issuer.createKey(body, organizationId);
      keys[name] = key.secret;
      return key;
    };
    await create('acme', { restrictions: { scopes: ['subscriptions:read'] } }, acme.id);
    await create('acme without scopes', {}, acme.id);
    await create('acme sandbox', { environment: 'sandbox' }, acme.id);
    await create('acme page', { kind: 'publishable', restrictions: { origins: [page] } }, acme.id);
    await create('acme from elsewhere', { restrictions: { ips: ['192.0.2.0/24'] } }, acme.id);
    await create('globex', {}, globex.id);
    await create('suspended', {}, suspended.id);
    const revoked = await create('revoked', {}, acme.id);
    succeeded(await issuer.api.post(`${revoked.path}/revoke`));
    succeeded(await issuer.api.post(`${issuer.path}/organizations/${suspended.id}/suspend`));
    keys.unknown = `sk_dev_${'0'.repeat(44)}`;
    gateway = await start();
    withStandIn = await start({ gatelodge: standIn.address });
  });
  afterAll(async () => {
    await Promise.all(gateways.map((each) => each.stop()));
    await Promise.all([upstream?.close(), standIn?.close(), gatelodge?.close()]);
    await server?.close();
  });

  /** What Gatelodge itself says of the request, and what the client of the gateway got. */
  async function bothAnswers(
    headers: Headers,
    options: { path?: string; via?: Gateway; of?: TestIssuer; demands?: string } = {},
  ): Promise<{ direct: RawAnswer; answer: RawAnswer }> {
    const { path = '/echo', via = gateway, demands } = options;
    const named = { ...headers, 'X-Request-Id': 'trace-7' };
    const direct = await send(
      `${gatelodge.url}/v1/authorize/${(options.of ?? issuer).id}${demands === undefined ? '' : `?${demands}`}`,
      { headers: { ...named, 'X-Forwarded-For': '127.0.0.1', 'X-Forwarded-Uri': path } },
    );
    return { direct, answer: await ask(named, path, {}, via) };
  }

  function contractOf({ status, headers, text }: RawAnswer) {
    return {
      status,
      text,
      headers: Object.fromEntries(contractHeaders.map((name) => [name, headers[name]])),
    };
  }

  describe('a refusal reaches the client as Gatelodge says it, and the upstream not at all:', () => {
    const pageOf = (key: string, origin: string): Headers => ({ ...of(key), Origin: origin });
    test.each<[name: string, status: number, headers: () => Headers, path?: string]>([
      ['missing key', 401, () => ({ 'x-tn': 'tenant_acme' })],
      ['empty key', 401, () => ({ 'x-api-key': '', 'x-tn': 'tenant_acme' })],
      ['unknown key', 401, () => of('unknown')],
      ['revoked key', 401, () => of('revoked')],
      ['two keys', 401, () => ({ 'x-api-key': [keys.acme!, keys.globex!], 'x-tn': 'tenant_acme' })],
      ['key in the address', 401, () => of('acme'), '/echo?api_key=sk_live_x'],
      ['no tenant', 403, () => ({ 'x-api-key': keys.acme! })],
      ['wrong tenant', 403, () => of('acme', 'tenant_globex')],
      ['two tenants', 403, () => ({ 'x-api-key': keys.acme!, 'x-tn': ['tenant_acme', 'tenant_globex'] })],
      ['suspended tenant', 403, () => of('suspended', 'tenant_suspended')],
      ['wrong origin', 403, () => pageOf('acme page', 'https://evil.example')],
      ['secret key from a page', 403, () => pageOf('acme', page)],
      [
        'secret key from a page by Sec-Fetch-Site',
        403,
        () => ({ ...of('acme'), 'Sec-Fetch-Site': 'cross-site' }),
      ],
      ['wrong tenant from a page', 403, () => ({ ...pageOf('acme page', page), 'x-tn': 'tenant_globex' })],
      ['wrong address', 403, () => of('acme from elsewhere')],
    ])('%s', async (_name, status, headers, path) => {
      const before = upstream.seen.length;
      const { direct, answer } = await bothAnswers(headers(), path === undefined ? {} : { path });
      expect(answer.status).toBe(status);
      expect(contractOf(answer)).toEqual(contractOf(direct));
      expect(Object.keys(answer.headers).filter((name) => name.startsWith('x-gatelodge'))).toEqual([]);
      expect(answer.headerNames.filter((name) => /^vary$/i.test(name))).toHaveLength(1);
      expect(upstream.seen).toHaveLength(before);
    });

    test('scope missing, which the address of the check demands', async () => {
      const demands = 'scope=subscriptions:read';
      const via = await start({ demands });
      const { direct, answer } = await bothAnswers(of('acme without scopes'), { via, demands });
      expect(answer.body.error.code).toBe('insufficient_scope');
      expect(contractOf(answer)).toEqual(contractOf(direct));
      expect((await ask(of('acme'), '/echo', {}, via)).status).toBe(200);
    });

    test('a request with a body, of which nothing becomes a request of its own', async () => {
      // Attack: the body of a refused request is a request that the gateway takes for the next one.
      const before = upstream.seen.length;
      const inner = `GET /echo/inner HTTP/1.1\r\nHost: x\r\nx-api-key: ${keys.acme}\r\nx-tn: tenant_acme\r\n\r\n`;
      const { host } = new URL(gateway.url);
      const text = await exchange(
        gateway.url,
        `POST /echo HTTP/1.1\r\nHost: ${host}\r\nContent-Length: ${inner.length}\r\n\r\n${inner}` +
          `GET /echo HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`,
      );
      expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 401', 'HTTP/1.1 401']);
      expect(upstream.seen).toHaveLength(before);
    });

    test.each([
      [
        'flat',
        'otp',
        'X-OTP-API-Key',
        '{"error":"Missing API key","code":"UNAUTHORIZED"}',
        'application/json',
      ],
      ['problem', 'standard', 'X-API-Key', null, 'application/problem+json'],
    ])('in the dialect %s', async (_dialect, preset, keyHeader, body, contentType) => {
      const own = await TestIssuer.create(server, { preset });
      const via = await start({ issuerId: own.id, keyHeader });
      const { direct, answer } = await bothAnswers({}, { via, of: own });
      expect(contractOf(answer)).toEqual(contractOf(direct));
      expect(answer.headers['content-type']).toBe(contentType);
      if (body !== null) expect(answer.text).toBe(body);
      const { secret } = await own.createKey();
      expect((await ask({ [keyHeader]: secret }, '/echo', {}, via)).status).toBe(200);
      expect(namesSeen()).not.toContain(keyHeader.toLowerCase());
      // A JWT is the application's own; a key is not.
      const jwt = 'Bearer eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ1In0.c2ln';
      await ask({ [keyHeader]: secret, Authorization: jwt }, '/echo', {}, via);
      expect(valuesSeen('authorization')).toEqual([jwt]);
      if (preset === 'otp') {
        // To this profile Authorization is nothing. Spaces and tabs are the same to many who read it.
        for (const before of ['Bearer ', 'bearer  ', 'Bearer\t', 'Bearer \t', '\tBearer ', ' \t bearer\t']) {
          const headers = { [keyHeader]: secret, Authorization: `${before}${secret}` };
          expect([before, (await ask(headers, '/echo', {}, via)).status]).toEqual([before, 200]);
          expect([before, valuesSeen('authorization').join('')]).toEqual([before, '']);
        }
      }
      if (preset === 'standard') {
        expect((await ask({ Authorization: `Bearer ${secret}` }, '/echo', {}, via)).status).toBe(200);
        expect(valuesSeen('authorization').join('')).toBe('');
      }
    });

    test('429 with its numbers', async () => {
      const body =
        '{"error":{"code":"rate_limited","message":"Rate limit exceeded. Try again in 30 seconds.","type":"rate_limit_error"}}';
      const headers = {
        'Content-Type': 'application/json',
        'Cache-Control': 'no-store',
        'X-Content-Type-Options': 'nosniff',
        Vary: 'Origin',
        'Access-Control-Allow-Origin': page,
        'Access-Control-Expose-Headers': 'X-Environment, Retry-After',
        'X-Environment': 'LIVE',
        'X-Request-Id': 'trace-9',
        'Retry-After': '30',
        'X-RateLimit-Limit': '1000',
        'X-RateLimit-Remaining': '0',
        'X-RateLimit-Reset': '1795348800',
        RateLimit: '"hour";r=0;t=30',
        'RateLimit-Policy': '"hour";q=1000;w=3600, "day";q=10000;w=86400',
      };
      standIn.behaviour = { answers: 429, headers, body };
      const before = upstream.seen.length;
      const answer = await ask(of('acme'), '/echo', {}, withStandIn);
      expect([answer.status, answer.text]).toEqual([429, body]);
      for (const [name, value] of Object.entries(headers)) {
        expect([name, answer.headers[name.toLowerCase()]]).toEqual([name, value]);
      }
      expect(upstream.seen).toHaveLength(before);
    });
  });

  test('a refusal stays what it is where the connection to Gatelodge had just been closed', async () => {
    // The gateway asks again then, and nginx counts the attempt before: the status is “502, 401”.
    const body = '{"error":{"code":"invalid_key","message":"Invalid API key","type":"authentication_error"}}';
    const headers = { 'Content-Type': 'application/json', 'WWW-Authenticate': 'Bearer' };
    const refused: Behaviour = { answers: 401, headers, body, onlyOnFreshConnections: true };
    const allowed: Behaviour = {
      answers: 200,
      // What has no body leaves a connection behind that serves again.
      headers: { ...identityOf('org_a'), 'Content-Length': '0' },
      onlyOnFreshConnections: true,
    };
    for (let round = 1; round <= 3; round++) {
      standIn.behaviour = allowed;
      for (let time = 1; time <= 2; time++) {
        expect((await ask(of('acme'), '/echo', {}, withStandIn)).status).toBe(200);
        expect(valuesSeen('x-gatelodge-organization-id')).toEqual(['org_a']);
      }
      standIn.behaviour = refused;
      const answer = await ask(of('unknown'), '/echo', {}, withStandIn);
      expect([round, answer.status, answer.text]).toEqual([round, 401, body]);
      expect(answer.headers['www-authenticate']).toBe('Bearer');
    }
  });

  describe('an allowed request', () => {
    test('reaches the upstream with the identity, without the key, and under the id that Gatelodge knows', async () => {
      const answer = await ask(
        { ...of('acme'), 'X-Request-Id': 'trace-7', 'X-Other': 'kept' },
        '/echo?a=1%2F2',
      );
      expect(answer.status).toBe(200);
      const { method, url } = upstream.last();
      expect([method, url]).toEqual(['GET', '/echo?a=1%2F2']);
      const direct = await send(`${gatelodge.url}/v1/authorize/${issuer.id}`, { headers: of('acme') });
      const identity = Object.entries(direct.headers).filter(([name]) => name.startsWith('x-gatelodge-'));
      expect(identity.map(([name]) => name)).toHaveLength(7);
      for (const [name, value] of identity) expect([name, valuesSeen(name)]).toEqual([name, [value]]);
      expect(identitySeen().map(([name]) => name)).toEqual(identity.map(([name]) => name).toSorted());
      expect(valuesSeen('x-request-id')).toEqual(['trace-7']);
      expect(valuesSeen('x-other')).toEqual(['kept']);
      expect(namesSeen()).not.toContain('x-api-key');
    });

    test('is answered with the environment and the request id of Gatelodge, each once', async () => {
      const answer = await ask({ ...of('acme sandbox'), 'X-Request-Id': 'trace-7' });
      expect(answer.headers).toMatchObject({
        'x-environment': 'SANDBOX',
        'x-request-id': 'trace-7',
        'x-upstream': 'yes',
      });
      const names = answer.headerNames.map((name) => name.toLowerCase());
      expect(names.filter((name) => name === 'x-environment' || name === 'x-request-id')).toHaveLength(2);
    });

    test('is answered with the numbers of its limits, and with the end of a key that is being replaced', async () => {
      const told = {
        'X-Environment': 'LIVE',
        'X-Request-Id': 'trace-9',
        'X-RateLimit-Limit': '1000',
        'X-RateLimit-Remaining': '999',
        'X-RateLimit-Reset': '1795348800',
        RateLimit: '"hour";r=999;t=30',
        'RateLimit-Policy': '"hour";q=1000;w=3600, "day";q=10000;w=86400',
        Deprecation: '@1795348800',
        Sunset: 'Sat, 21 Nov 2026 12:00:00 GMT',
      };
      standIn.behaviour = { answers: 200, headers: { ...identityOf('org_a'), ...told, Vary: 'Origin' } };
      const answer = await ask(of('acme'), '/echo', {}, withStandIn);
      expect(answer.status).toBe(200);
      for (const [name, value] of Object.entries(told)) {
        expect([name, answer.headers[name.toLowerCase()]]).toEqual([name, value]);
      }
      // CORS of an allowed answer is the upstream's own affair, and this one has none.
      expect(answer.headers).not.toHaveProperty('access-control-allow-origin');
    });

    test('has nothing in the place of what Gatelodge leaves unsaid', async () => {
      // A placeholder, say, that the gateway had no value for.
      standIn.behaviour = { answers: 200, headers: { 'X-Gatelodge-Key-Id': 'key_a' } };
      expect((await ask(of('acme'), '/echo', {}, withStandIn)).status).toBe(200);
      expect(identitySeen()).toEqual([['x-gatelodge-key-id', 'key_a']]);
      expect(valuesSeen('x-request-id').join('')).toBe('');
      const empty = { ...identityOf(''), 'X-Gatelodge-Warnings': '', 'X-Request-Id': '' };
      standIn.behaviour = { answers: 200, headers: empty };
      expect((await ask(of('acme'), '/echo', {}, withStandIn)).status).toBe(200);
      const said = Object.entries(empty).flatMap(([name, value]) =>
        value === '' ? [] : [name.toLowerCase()],
      );
      expect(identitySeen().map(([name]) => name)).toEqual(said.toSorted());
      expect(valuesSeen('x-request-id').join('')).toBe('');
    });

    test('reaches the upstream with all of its scopes, however many', async () => {
      const scopes = Array.from({ length: 100 }, (_, index) => `region-${index}:read-and-write-all`);
      const { secret } = await issuer.createKey({ restrictions: { scopes } }, tenants.acme.id);
      expect((await ask({ 'x-api-key': secret, 'x-tn': 'tenant_acme' })).status).toBe(200);
      expect(valuesSeen('x-gatelodge-scopes')[0]!.split(' ').toSorted()).toEqual(scopes.toSorted());
    });

    test('has no limit headers where no limit governs it', async () => {
      const { headers } = await ask(of('acme'));
      const limits = Object.keys(headers).filter((name) =>
        /^(x-)?ratelimit|^(deprecation|sunset|retry-after)$/.test(name),
      );
      expect(limits).toEqual([]);
    });

    test('from a page is answered with the CORS headers of the upstream, once', async () => {
      const answer = await ask({ ...of('acme page'), Origin: page }, '/v1/subscriptions');
      expect(answer.status).toBe(200);
      expect(answer.headers['access-control-allow-origin']).toBe(page);
      expect(answer.headerNames.filter((name) => /^access-control-allow-origin$/i.test(name))).toHaveLength(
        1,
      );
    });

    test.each([{ isChunked: false }, { isChunked: true }])(
      'has its body passed through whole, chunked: $isChunked',
      async ({ isChunked }) => {
        const body = 'x'.repeat(1024 * 1024);
        const answer = await ask(of('acme'), '/echo', { method: 'POST', body, isChunked });
        expect(answer.status).toBe(200);
        expect(upstream.last()).toMatchObject({ method: 'POST', bodyBytes: body.length });
      },
    );

    test.each([400, 401, 403, 404, 429, 500, 502, 503])(
      'is answered with the upstream’s own %i unchanged',
      async (status) => {
        const answer = await ask(of('acme'), `/status/${status}`);
        expect([answer.status, answer.text]).toEqual([status, `the upstream's own ${status}`]);
        expect(answer.headers['x-upstream']).toBe('yes');
        expect(answer.headers).not.toHaveProperty('retry-after');
      },
    );

    test('while the upstream is away is answered by the gateway, not in Gatelodge’s name', async () => {
      const via = await start({ upstream: `127.0.0.1:${await freePort()}` });
      const answer = await ask(of('acme'), '/echo', {}, via);
      expect([502, 503]).toContain(answer.status);
      expect(answer.text).not.toBe(unavailableBody);
    });
  });

  describe('an identity that comes from outside', () => {
    // Attack: the client writes the headers by which the upstream knows its tenants, in every spelling that some
    // application takes for the real name.
    const spellings = [
      'X-Gatelodge-Organization-Id',
      'x-gatelodge-organization-id',
      'x_gatelodge_organization_id',
      'X_Gatelodge_Organization_Id',
      'x-gatelodge_organization-id',
      'X_GATELODGE-ORGANIZATION_ID',
      'x-gatelodge-organization_id',
      'X-Gatelodge-Warnings',
      'X-Gatelodge-Scopes',
      'X_Gatelodge_Scopes',
      'X!Gatelodge-Organization-Id',
      'X.gatelodge.organization.id',
      'X-_Gatelodge-Organization-Id',
      ...(kind.stripsByName === true
        ? []
        : ['X--Gatelodge-Organization-Id', 'X-Gatelodge', 'X-Gatelodge-Other']),
    ];

    test.each(spellings)('never reaches the upstream of a checked request: %s', async (name) => {
      expect((await ask({ ...of('acme'), [name]: 'org_forged' })).status).toBe(200);
      expect(JSON.stringify(upstream.last().headers)).not.toContain('org_forged');
      expect(valuesSeen('x-gatelodge-organization-id')).toEqual([tenants.acme.id]);
    });

    test.each(spellings)('never reaches the upstream of a preflight: %s', async (name) => {
      const headers = { Origin: page, 'Access-Control-Request-Method': 'GET', [name]: 'org_forged' };
      expect((await ask(headers, '/echo', { method: 'OPTIONS' })).status).toBe(200);
      expect(JSON.stringify(upstream.last().headers)).not.toContain('org_forged');
    });

    test('never reaches the upstream twice over', async () => {
      const name = 'X-Gatelodge-Organization-Id';
      expect((await ask({ ...of('acme'), [name]: ['org_forged', 'org_forged'] })).status).toBe(200);
      expect(valuesSeen(name.toLowerCase())).toEqual([tenants.acme.id]);
    });

    test('of no tenant is not filled in for a key without one', async () => {
      const own = await TestIssuer.create(server);
      const via = await start({ issuerId: own.id });
      const { secret } = await own.createKey();
      const answer = await ask(
        { 'X-API-Key': secret, 'X-Gatelodge-Organization-Id': 'org_forged' },
        '/echo',
        {},
        via,
      );
      expect(answer.status).toBe(200);
      expect(valuesSeen('x-gatelodge-organization-id').join('')).toBe('');
    });

    test('is not what decides: without a key it is refused', async () => {
      const before = upstream.seen.length;
      expect((await ask({ ...identityOf(tenants.acme.id) }, '/v1/subscriptions')).status).toBe(401);
      expect(upstream.seen).toHaveLength(before);
    });
  });

  describe('the address and path of the original request', () => {
    test('reach Gatelodge with the headers it decides by, and without the body', async () => {
      standIn.behaviour = { answers: 200, headers: identityOf('org_a') };
      const headers = {
        'x-api-key': 'k',
        'x-tn': 't',
        origin: page,
        'sec-fetch-site': 'cross-site',
        'x-request-id': 'trace-7',
      };
      const query = '/echo?a=1&scope=x:y';
      for (const isChunked of [false, true]) {
        const request = { method: 'POST', body: 'x'.repeat(100_000), isChunked };
        expect((await ask(headers, query, request, withStandIn)).status).toBe(200);
        expect(standIn.lastAsked).toMatchObject({
          method: 'GET',
          url: `/v1/authorize/${issuer.id}${kind.asksForNginx === true ? '?status=nginx' : ''}`,
          headers: {
            ...headers,
            'x-forwarded-method': 'POST',
            'x-forwarded-proto': 'http',
            'x-forwarded-host': new URL(withStandIn.url).host,
            'x-forwarded-uri': query,
            'x-forwarded-for': '127.0.0.1',
          },
          bodyBytes: 0,
        });
        expect(standIn.lastAsked.headers['content-length'] ?? '0').toBe('0');
        expect(standIn.lastAsked.headers).not.toHaveProperty('transfer-encoding');
      }
    });

    test('are the gateway’s word: what a client says of them is overwritten', async () => {
      // Attack: a client forges the address that the key is restricted to.
      const forged: Headers = {
        'X-Forwarded-For': '192.0.2.7',
        'X-Forwarded-Host': 'forged.example',
        'X-Forwarded-Proto': 'forged',
        'X-Forwarded-Method': 'FORGED',
        'X-Forwarded-Uri': '/forged',
        'X-Real-IP': '192.0.2.7',
        Forwarded: 'for=192.0.2.7',
      };
      const answer = await ask({ ...of('acme from elsewhere'), ...forged });
      expect([answer.status, answer.body.error?.code]).toEqual([403, 'ip_not_allowed']);
      await ask({ ...of('acme'), ...forged });
      expect(JSON.stringify(upstream.last().headers)).not.toMatch(/forged|192\.0\.2\.7/i);
      expect(valuesSeen('x-forwarded-for')).toEqual(['127.0.0.1']);
    });

    test('are not stripped on the client’s demand', async () => {
      // Attack: Connection names headers that a proxy then takes for its own hop, and drops (RFC 9110 §7.6.1).
      const named = [
        'X-Gatelodge-Organization-Id',
        'X-Gatelodge-Key-Id',
        'X-Forwarded-For',
        'X-Forwarded-Uri',
        'X-TN',
      ];
      const demand = { Connection: `close, ${named.join(', ')}` };
      const demands = [demand, { Connection: named.join(', ') }, { Connection: ['close', ...named] }];
      for (const { Connection } of demands) {
        expect((await ask({ ...of('acme'), Connection })).status).toBe(200);
        expect(valuesSeen('x-gatelodge-organization-id')).toEqual([tenants.acme.id]);
        expect(valuesSeen('x-forwarded-for')).toEqual(['127.0.0.1']);
        // Nor by a proxy that stands before the API.
        expect(connectionSeen().filter((token) => token !== 'close' && token !== 'keep-alive')).toEqual([]);
      }
      const preflight = { Origin: page, 'Access-Control-Request-Method': 'GET', ...demand };
      expect((await ask(preflight, '/echo', { method: 'OPTIONS' })).status).toBe(200);
      expect(connectionSeen().filter((token) => token !== 'close' && token !== 'keep-alive')).toEqual([]);
      const inAddress = await ask({ ...of('acme'), ...demand }, '/echo?api_key=sk_live_x');
      expect(inAddress.status).toBe(401);
    });
  });

  describe('no way past the check:', () => {
    test.each([
      '/',
      '//echo',
      '/echo/../echo',
      '/%2e%2e/echo',
      '/echo%2F..%2Fecho',
      '/%2Fecho',
      '/echo;x=1',
      '/echo%00',
      '/_gatelodge',
      '/.well-known/x',
      '/v1/authorize/x',
      '/error/503',
      '*',
    ])('path %s', async (path) => {
      const before = upstream.seen.length;
      const { host } = new URL(gateway.url);
      for (const version of ['1.1', '1.0']) {
        for (const method of ['GET', 'POST', 'HEAD', 'DELETE', 'OPTIONS', 'PROPFIND']) {
          const text = await exchange(
            gateway.url,
            `${method} ${path} HTTP/${version}\r\nHost: ${host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`,
          );
          expect([method, version, text.slice(9, 12)]).toEqual([
            method,
            version,
            // Of the server as a whole (OPTIONS *, RFC 9110 §9.3.7) some speak themselves.
            expect.stringMatching(
              path === '*' && method === 'OPTIONS'
                ? /200|400|401|403|404|405|501/
                : /400|401|403|404|405|501/,
            ),
          ]);
        }
      }
      expect(upstream.seen).toHaveLength(before);
    });

    test('the whole URL in the request line, or a Host that is another', async () => {
      const before = upstream.seen.length;
      const { host } = new URL(gateway.url);
      for (const line of [
        `http://${host}/echo`,
        'http://other.example/echo',
        `http://${upstream.address}/echo`,
      ]) {
        for (const name of [host, 'other.example', upstream.address]) {
          const text = await exchange(
            gateway.url,
            `GET ${line} HTTP/1.1\r\nHost: ${name}\r\nConnection: close\r\n\r\n`,
          );
          expect(text.slice(9, 12)).toMatch(/400|401|403|404|421/);
        }
      }
      expect(upstream.seen).toHaveLength(before);
      const tunnel = await exchange(
        gateway.url,
        `CONNECT ${upstream.address} HTTP/1.1\r\nHost: ${upstream.address}\r\nConnection: close\r\n\r\n`,
      );
      expect(tunnel.slice(9, 12)).toMatch(/400|401|403|404|405|501/);
    });

    test('a key in the whole URL of the request line is found as well', async () => {
      const { host } = new URL(gateway.url);
      const text = await exchange(
        gateway.url,
        `GET http://${host}/echo?api_key=sk_live_x HTTP/1.1\r\nHost: ${host}\r\nx-api-key: ${keys.acme}\r\nx-tn: tenant_acme\r\nConnection: close\r\n\r\n`,
      );
      expect(text.slice(9, 12)).toBe('401');
    });

    test('a pipelined request without a key behind one that has it', async () => {
      const { host } = new URL(gateway.url);
      const key = `x-api-key: ${keys.acme}\r\nx-tn: tenant_acme\r\n`;
      const text = await exchange(
        gateway.url,
        `GET /echo HTTP/1.1\r\nHost: ${host}\r\n${key}\r\n` +
          `GET /echo HTTP/1.1\r\nHost: ${host}\r\n\r\n` +
          `GET /echo HTTP/1.1\r\nHost: ${host}\r\n${key}Connection: close\r\n\r\n`,
      );
      expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 401', 'HTTP/1.1 200']);
    });

    test('a connection turned into a tunnel by a request that may pass', async () => {
      // Attack: the API agrees to go on in HTTP/2, and the gateway then passes on bytes that it no longer reads.
      const { host } = new URL(gateway.url);
      const may = {
        GET: `x-api-key: ${keys.acme}\r\nx-tn: tenant_acme\r\n`,
        OPTIONS: `Origin: ${page}\r\nAccess-Control-Request-Method: GET\r\n`,
      };
      for (const [method, headers] of Object.entries(may)) {
        for (const protocol of [
          'h2c',
          'H2C',
          'websocket, h2c',
          'h2c, websocket',
          'h2c\r\nUpgrade: websocket',
          'tls/1.0',
        ]) {
          const text = await exchange(
            gateway.url,
            `${method} /echo HTTP/1.1\r\nHost: ${host}\r\n${headers}Upgrade: ${protocol}\r\n` +
              'HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\nConnection: Upgrade, HTTP2-Settings, close\r\n\r\n',
          );
          // HAProxy finds that no WebSocket begins like this.
          expect([method, protocol, text.slice(9, 12)]).toEqual([
            method,
            protocol,
            expect.stringMatching(protocol.includes('websocket') ? /200|400/ : /200/),
          ]);
          expect(namesSeen()).not.toContain('upgrade');
        }
      }
    });

    test('a WebSocket that a preflight opens, or any other method than GET', async () => {
      // Attack: a preflight passes unchecked, and an API that looks at Upgrade only, as most WebSocket libraries do,
      // agrees: what follows goes through both, and no key has been seen.
      const { host } = new URL(gateway.url);
      const before = upstream.seen.length;
      const preflight = `Origin: ${page}\r\nAccess-Control-Request-Method: GET\r\n`;
      const may = {
        OPTIONS: preflight,
        POST: `Content-Length: 0\r\nx-api-key: ${keys.acme}\r\nx-tn: tenant_acme\r\n`,
      };
      const opening = 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
      const offers = ['websocket', 'WebSocket', 'websocket, websocket', 'websocket\r\nUpgrade: websocket'];
      let passed = 0;
      for (const [method, headers] of Object.entries(may)) {
        for (const offer of offers) {
          for (const connection of ['Upgrade', 'keep-alive, Upgrade', 'close\r\nConnection: upgrade']) {
            const text = await exchange(
              gateway.url,
              `${method} /echo HTTP/1.1\r\nHost: ${host}\r\n${headers}Upgrade: ${offer}\r\n` +
                // The last one ends the connection where the first has not become a tunnel.
                `Connection: ${connection}\r\n${opening}\r\n` +
                `GET /echo HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`,
            );
            expect([method, offer, connection, text.slice(9, 12)]).toEqual([
              method,
              offer,
              connection,
              expect.stringMatching(/200|400/),
            ]);
            if (text.slice(9, 12) === '200') passed += 1;
          }
        }
      }
      expect(upstream.seen).toHaveLength(before + passed);
      for (const { headers } of upstream.seen.slice(before)) {
        expect(headers.filter(([name]) => name === 'upgrade')).toEqual([]);
      }
    });

    test('a WebSocket without a key, while one with a key may pass', async () => {
      const { host } = new URL(gateway.url);
      const open = (headers: string) =>
        exchange(
          gateway.url,
          `GET /echo HTTP/1.1\r\nHost: ${host}\r\n${headers}Upgrade: websocket\r\nConnection: Upgrade, close\r\n` +
            'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
        );
      const before = upstream.seen.length;
      expect((await open('')).slice(9, 12)).toBe('401');
      expect(upstream.seen).toHaveLength(before);
      const passed = await open(`x-api-key: ${keys.acme}\r\nx-tn: tenant_acme\r\n`);
      expect(passed.slice(9, 12)).toBe(kind.passesWebSockets === true ? '101' : '200');
      expect(connectionSeen()).toEqual(kind.passesWebSockets === true ? ['upgrade'] : expect.anything());
      expect(valuesSeen('x-gatelodge-organization-id')).toEqual([tenants.acme.id]);
    });

    test.each<[string, Headers]>([
      ['If-None-Match', { 'If-None-Match': '*' }],
      ['If-Modified-Since', { 'If-Modified-Since': 'Sat, 21 Nov 2099 12:00:00 GMT' }],
      ['Range', { Range: 'bytes=0-0' }],
      ['Expect', { Expect: '100-continue' }],
      ['Accept-Encoding', { 'Accept-Encoding': 'gzip, br' }],
      ['Authorization: Basic', { Authorization: 'Basic YTpi' }],
    ])('%s, which changes how a server answers', async (_name, headers) => {
      const before = upstream.seen.length;
      const { direct, answer } = await bothAnswers({ ...headers, 'x-tn': 'tenant_acme' });
      expect(answer.status).toBe(401);
      expect(answer.text).toBe(direct.text);
      expect(upstream.seen).toHaveLength(before);
      expect((await ask({ ...headers, ...of('acme') })).status).toBe(200);
    });

    test('HTTP/1.0 with a key passes as it should', async () => {
      const text = await exchange(
        gateway.url,
        `GET /echo HTTP/1.0\r\nHost: x\r\nx-api-key: ${keys.acme}\r\nx-tn: tenant_acme\r\n\r\n`,
      );
      expect(text.slice(9, 12)).toBe('200');
      expect(valuesSeen('x-gatelodge-organization-id')).toEqual([tenants.acme.id]);
    });
  });

  describe('OPTIONS', () => {
    const preflight = { Origin: page, 'Access-Control-Request-Method': 'POST' };

    test('as a real preflight goes to the upstream without a check and without an identity', async () => {
      const answer = await ask(preflight, '/v1/subscriptions', { method: 'OPTIONS' });
      expect(answer.status).toBe(204);
      expect(answer.headers['access-control-allow-origin']).toBe(page);
      expect(answer.headers['access-control-allow-methods']).toBe('GET, POST');
      expect(
        namesSeen().filter((name) => name.includes('gatelodge') && valuesSeen(name).join('') !== ''),
      ).toEqual([]);
    });

    test('as a real preflight with a key has no identity either, and the key stays here', async () => {
      await ask({ ...preflight, ...of('acme') }, '/echo', { method: 'OPTIONS' });
      expect(
        namesSeen().filter((name) => name.includes('gatelodge') && valuesSeen(name).join('') !== ''),
      ).toEqual([]);
      expect(namesSeen()).not.toContain('x-api-key');
    });

    test('as a real preflight needs no Gatelodge', async () => {
      standIn.behaviour = 'hangs up';
      expect((await ask(preflight, '/v1/subscriptions', { method: 'OPTIONS' }, withStandIn)).status).toBe(
        204,
      );
    });

    test.each<[string, Headers, string]>([
      ['OPTIONS with nothing', {}, 'OPTIONS'],
      ['OPTIONS without an Origin', { 'Access-Control-Request-Method': 'POST' }, 'OPTIONS'],
      ['OPTIONS without Access-Control-Request-Method', { Origin: page }, 'OPTIONS'],
      ['GET with a preflight’s headers', preflight, 'GET'],
      ['POST with a preflight’s headers', preflight, 'POST'],
      ['options in lower case', preflight, 'options'],
      [
        'a method that the client says to override',
        { ...preflight, 'X-HTTP-Method-Override': 'OPTIONS' },
        'GET',
      ],
    ])('is checked where it is none: %s', async (_name, headers, method) => {
      const before = upstream.seen.length;
      const lines = Object.entries(headers).map(([name, value]) => `${name}: ${String(value)}\r\n`);
      const text = await exchange(
        gateway.url,
        `${method} /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n${lines.join('')}Connection: close\r\n\r\n`,
      );
      expect(text.slice(9, 12)).toMatch(/400|401|405|501/);
      expect(upstream.seen).toHaveLength(before);
    });

    test('that is checked passes with a key', async () => {
      expect((await ask(of('acme'), '/echo', { method: 'OPTIONS' })).status).toBe(200);
      expect(upstream.last().method).toBe('OPTIONS');
    });
  });

  describe('nobody passes, with 503 in the dialect and Retry-After, while Gatelodge', () => {
    async function expectClosed(via: Gateway): Promise<void> {
      const before = upstream.seen.length;
      for (const method of ['GET', 'POST']) {
        const body = method === 'POST' ? { body: '{}' } : {};
        const answer = await ask(of('acme'), '/v1/subscriptions', { method, ...body }, via);
        expect([answer.status, answer.text]).toEqual([503, unavailableBody]);
        expect(answer.headers['content-type']).toBe('application/json');
        expect(answer.headers['retry-after']).toMatch(/^\d+$/);
      }
      expect(upstream.seen).toHaveLength(before);
    }

    test('is away', async () => {
      await expectClosed(await start({ gatelodge: `127.0.0.1:${await freePort()}` }));
    });

    test.each<[name: string, behaviour: Behaviour]>([
      ['hangs', 'hangs'],
      ['hangs up', 'hangs up'],
      ...[302, 400, 404, 405, 422, 431, 500, 502, 503, 504].map((answers): [string, Behaviour] => [
        `answers ${answers}`,
        { answers, headers: { ...identityOf('org_a'), Location: '/v1/authorize/x' }, body: 'no' },
      ]),
      // Attack: something else has its port, a page for the time of maintenance or another process during a restart,
      // and is content with every request.
      ...[200, 201, 202, 204, 206].map((answers): [string, Behaviour] => [
        `answers ${answers} and no identity`,
        { answers, headers: { 'Content-Type': 'text/html' }, body: answers === 204 ? '' : 'soon' },
      ]),
      ...[201, 204, 206].map((answers): [string, Behaviour] => [
        `answers ${answers} with an identity`,
        { answers, headers: identityOf('org_a') },
      ]),
      ...['', 'anybody', 'x, key_a'].map((id): [string, Behaviour] => [
        `answers 200 with the key id “${id}”`,
        { answers: 200, headers: { ...identityOf('org_a'), 'X-Gatelodge-Key-Id': id } },
      ]),
      ['speaks something else', { writes: 'hello\r\n' }],
      ['breaks off in the status', { writes: 'HTTP/1.1 200' }],
      ['breaks off in the identity', { writes: 'HTTP/1.1 200 OK\r\nX-Gatelodge-Key-Id: key_a\r\nX-Gate' }],
    ])('%s', async (_name, behaviour) => {
      standIn.behaviour = behaviour;
      await expectClosed(withStandIn);
    });

    test('knows no such issuer', async () => {
      await expectClosed(await start({ issuerId: `${issuer.id.slice(0, -4)}zzzz` }));
    });

    test('and passes again once it is back', async () => {
      standIn.behaviour = 'hangs up';
      await expectClosed(withStandIn);
      standIn.behaviour = { answers: 200, headers: identityOf('org_a') };
      expect((await ask(of('acme'), '/echo', {}, withStandIn)).status).toBe(200);
    });
  });

  describe('the API behind it', () => {
    test('keeps tenants and environments apart', async () => {
      const create = async (headers: Headers, seats: number) => {
        const body = JSON.stringify({ plan: 'team', seats });
        const answer = await ask({ ...headers, 'Content-Type': 'application/json' }, '/v1/subscriptions', {
          method: 'POST',
          body,
        });
        expect(answer.status).toBe(201);
        return answer.body.data.id as string;
      };
      const list = async (headers: Headers) => {
        const { body } = await ask(headers, '/v1/subscriptions');
        return (body.data as { id: string }[]).map(({ id }) => id);
      };
      const owners = [of('acme'), of('acme sandbox'), of('globex', 'tenant_globex')];
      const ids: string[] = [];
      for (const [index, owner] of owners.entries()) ids.push(await create(owner, index + 1));
      for (const [index, owner] of owners.entries()) {
        expect(await list(owner)).toEqual([ids[index]]);
        for (const id of ids) {
          const { status } = await ask(owner, `/v1/subscriptions/${id}`);
          expect([id === ids[index], status]).toEqual([id === ids[index], id === ids[index] ? 200 : 404]);
        }
      }
    });

    test('refuses who comes past the gateway', async () => {
      const answer = await send(`http://${upstream.address}/v1/subscriptions`, { headers: of('acme') });
      expect(answer.status).toBe(401);
    });
  });

  test('connections that carry one tenant’s request after another’s never mix them', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 20 });
    const askAs = (headers: Headers) =>
      new Promise<{ status: number; organization: string }>((resolve, reject) => {
        const outgoing = httpRequest(`${gateway.url}/echo`, { agent, headers }, (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('end', () => {
            const text = Buffer.concat(chunks).toString();
            const seen = response.statusCode === 200 ? (JSON.parse(text).headers as [string, string][]) : [];
            const organizations = seen.filter(([name]) => name === 'x-gatelodge-organization-id');
            resolve({
              status: response.statusCode ?? 0,
              organization: String(organizations.map(([, id]) => id)),
            });
          });
        });
        outgoing.on('error', reject);
        outgoing.end();
      });
    // On a busy machine a check may take too long, and then nobody passes: that is no mixture, so it is asked again.
    const askUntilDecided = async (headers: Headers) => {
      for (let attempt = 1; ; attempt++) {
        const got = await askAs(headers);
        if (got.status !== 503 || attempt === 20) return got;
        await sleep(100);
      }
    };
    const kinds = [
      { headers: of('acme'), expected: { status: 200, organization: tenants.acme.id } },
      { headers: of('globex', 'tenant_globex'), expected: { status: 200, organization: tenants.globex.id } },
      { headers: { 'x-tn': 'tenant_acme' }, expected: { status: 401, organization: '' } },
    ];
    try {
      for (let round = 0; round < 20; round++) {
        const asked = Array.from({ length: 50 }, (_, index) => kinds[(index + round) % kinds.length]!);
        const got = await Promise.all(asked.map(({ headers }) => askUntilDecided(headers)));
        expect(got).toEqual(asked.map(({ expected }) => expected));
      }
    } finally {
      agent.destroy();
    }
  });

  function valuesSeen(name: string): string[] {
    return upstream.last().headers.flatMap(([each, value]) => (each === name ? [value] : []));
  }

  /** What stands in Connection, one by one. */
  function connectionSeen(): string[] {
    const tokens = valuesSeen('connection').flatMap((value) => value.toLowerCase().split(','));
    return tokens.map((token) => token.trim()).filter((token) => token !== '');
  }

  /** What the upstream takes for the word of Gatelodge, by name; what is empty says nothing. */
  function identitySeen(): [name: string, value: string][] {
    const said = upstream.last().headers.filter(([name, value]) => /gatelodge/.test(name) && value !== '');
    return said.toSorted(([one], [other]) => (one < other ? -1 : 1));
  }

  function namesSeen(): string[] {
    return upstream.last().headers.map(([name]) => name);
  }
}

interface Tenant {
  id: string;
}

/** What Gatelodge says of an allowed request. */
function identityOf(organizationId: string): Record<string, string> {
  return {
    'X-Gatelodge-Key-Id': 'key_a',
    'X-Gatelodge-Account-Id': 'acc_a',
    'X-Gatelodge-Issuer-Id': 'i_a',
    'X-Gatelodge-Organization-Id': organizationId,
    'X-Gatelodge-Kind': 'secret',
    'X-Gatelodge-Environment': 'live',
    'X-Gatelodge-Scopes': '',
  };
}
