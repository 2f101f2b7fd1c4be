import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { PostgresProxy } from '../../test/harness/postgres-proxy.ts';
import { type RawAnswer, send } from '../../test/harness/raw-http.ts';
import { startTestServer, type TestServer } from '../../test/harness/server.ts';
import { TestIssuer, type TestKey } from '../../test/harness/test-issuer.ts';

let server: TestServer;
let proxy: PostgresProxy;
/** A node on the same database that has lost Postgres. */
let cutOff: TestServer;
const held: {
  issuer: TestIssuer;
  known: TestKey;
  revoked: TestKey;
  unknown: TestKey;
  body: string;
  contentType: string;
}[] = [];

const dialects = {
  nested: '{"error":{"code":"unavailable","message":"Try again shortly","type":"api_error"}}',
  flat: '{"error":"Try again shortly","code":"UNAVAILABLE"}',
  problem:
    '{"type":"http://localhost:4600/docs/errors/unavailable","title":"Try again shortly","status":503,"detail":"Try again shortly","code":"unavailable","request_id":"trace-1"}',
};

beforeAll(async () => {
  server = await startTestServer();
  proxy = await PostgresProxy.start(server.database.appUrl);
  cutOff = await startTestServer({
    nodeOf: server,
    env: { DATABASE_URL: proxy.url(server.database.appUrl), GATELODGE_STALE_SECONDS: '600' },
  });
  for (const [dialect, body] of Object.entries(dialects)) {
    const issuer = (
      await TestIssuer.create(server, {
        key_headers: ['X-API-Key'],
        tenant_header: { name: 'X-Tenant', required: false },
        error_format: dialect,
      })
    ).at(cutOff);
    const known = await issuer.createKey({ restrictions: { origins: ['https://a.example'] } });
    const [revoked, unknown] = [await issuer.createKey(), await issuer.createKey()];
    expect((await server.operator.api.post(`${revoked.path}/revoke`)).status).toBe(200);
    expect((await issuer.authorize({ 'X-API-Key': known.secret })).status).toBe(200);
    expect((await issuer.authorize({ 'X-API-Key': revoked.secret })).status).toBe(401);
    const contentType = dialect === 'problem' ? 'application/problem+json' : 'application/json';
    held.push({ issuer, known, revoked, unknown, body, contentType });
  }
  expect((await verify(held[0]!.known)).body.code).toBe('VALID');
  await proxy.refuse();
  await vi.waitFor(
    async () => {
      const { issuer, known } = held[0]!;
      const { headers } = await issuer.authorize({ 'X-API-Key': known.secret });
      expect(headers['x-gatelodge-warnings']).toBe('stale');
    },
    { timeout: 30_000 },
  );
});
afterAll(async () => {
  await cutOff.close();
  await proxy.close();
  await server.close();
});

function verify(key: TestKey, body: Record<string, unknown> = {}): Promise<RawAnswer> {
  return send(`${cutOff.url}/v1/keys/verify`, {
    method: 'POST',
    headers: {
      Authorization: `Bearer ${server.operator.key.secret}`,
      'Content-Type': 'application/json',
    },
    body: JSON.stringify({ key: key.secret, ...body }),
  });
}

function expectNoHeaderTwice({ headerNames }: RawAnswer): void {
  const names = headerNames.map((name) => name.toLowerCase());
  expect(names.toSorted()).toEqual([...new Set(names)].toSorted());
}

describe('while Postgres is away', () => {
  test('what memory holds goes on, and the answers say so', async () => {
    for (const { issuer, known } of held) {
      const answer = await issuer.authorize({ 'X-API-Key': known.secret });
      expect([answer.status, answer.headers['x-gatelodge-warnings']]).toEqual([200, 'stale']);
    }
    const { body } = await verify(held[0]!.known);
    expect([body.code, body.warnings]).toEqual(['VALID', ['stale']]);
  });

  test('what it does not hold is 503 in the issuer’s dialect', async () => {
    for (const { issuer, known, unknown, body, contentType } of held) {
      for (const headers of [
        { 'X-API-Key': unknown.secret },
        { 'X-API-Key': known.secret, 'X-Tenant': 'nobody-yet' },
      ]) {
        const answer = await issuer.authorize({
          'X-Request-Id': 'trace-1',
          Origin: 'https://a.example',
          ...headers,
        });
        expect([answer.status, answer.text]).toEqual([503, body]);
        expect(answer.headers).toMatchObject({
          'content-type': contentType,
          'retry-after': '1',
          'x-environment': 'LIVE',
          'access-control-allow-origin': 'https://a.example',
        });
        expectNoHeaderTwice(answer);
      }
    }
  });

  // Attack: whoever holds a revoked key names tenants that nobody has heard of, each of them a look-up, and is told
  // "try again shortly" while Postgres is away.
  test('a dead key that memory holds is refused as such, whatever tenant it names', async () => {
    for (const { issuer, revoked } of held) {
      const headers = { 'X-API-Key': revoked.secret, 'X-Tenant': 'nobody-yet' };
      expect((await issuer.authorize(headers)).status).toBe(401);
      const me = await send(`${cutOff.url}/v1/me`, { headers });
      expect([me.status, me.body.code]).toEqual([401, 'revoked_key']);
      expect((await verify(revoked, { tenant: 'nobody-yet' })).body.code).toBe('REVOKED');
    }
    const other = await verify(held[0]!.known, { tenant: 'nobody-yet', environment: 'sandbox' });
    expect(other.body.code).toBe('WRONG_ENVIRONMENT');
  });

  // Attack: a page on an origin that the key's list keeps out reads from the 503 that the key lives.
  test('a page that the key keeps out may not read the 503', async () => {
    const { issuer, known } = held[0]!;
    const headers = { 'X-API-Key': known.secret, 'X-Tenant': 'nobody-yet', Origin: 'https://evil.example' };
    const answer = await issuer.authorize(headers);
    expect([answer.status, answer.headers['access-control-allow-origin']]).toEqual([503, undefined]);
  });

  test('a missing key is refused as ever, and a made-up one where only keys made here are taken', async () => {
    for (const { issuer } of held) expect((await issuer.authorize()).status).toBe(401);
    const me = await send(`${cutOff.url}/v1/me`, {
      headers: { 'X-API-Key': `gl_live_sk_${'0'.repeat(44)}` },
    });
    expect([me.status, me.body.code]).toEqual([401, 'invalid_key']);
  });

  test('a made-up key is 503 where it may have been imported meanwhile', async () => {
    for (const { issuer } of held)
      expect((await issuer.authorize({ 'X-API-Key': `gl_live_sk_${'0'.repeat(44)}` })).status).toBe(503);
    expect((await verify({ ...held[0]!.known, secret: 'x' })).body.code).toBe('unavailable');
  });

  test('an issuer that it does not hold is 503 as well, not 404', async () => {
    const answer = await send(`${cutOff.url}/v1/authorize/${server.demo.issuerId}`);
    expect([answer.status, answer.body.code, answer.headers['retry-after']]).toEqual([
      503,
      'unavailable',
      '1',
    ]);
  });

  test('verify and /v1/me answer 503 as a problem, with each header once', async () => {
    const { known, unknown } = held[0]!;
    for (const answer of [
      await verify(unknown),
      await verify(known, { tenant: 'nobody-yet' }),
      await send(`${cutOff.url}/v1/me`, { headers: { 'X-API-Key': unknown.secret } }),
    ]) {
      expect([answer.status, answer.body.code]).toEqual([503, 'unavailable']);
      expect(answer.headers['content-type']).toBe('application/problem+json');
      expect(answer.headers['retry-after']).toBe('1');
      expectNoHeaderTwice(answer);
    }
  });

  test('a preflight that names an issuer is 503, one that names none is answered', async () => {
    const preflight = (path: string) =>
      send(cutOff.url + path, {
        method: 'OPTIONS',
        headers: { Origin: 'https://a.example', 'Access-Control-Request-Method': 'GET' },
      });
    expect((await preflight(`/v1/authorize/${held[0]!.issuer.id}`)).status).toBe(503);
    expect((await preflight('/v1/me')).headers['access-control-allow-origin']).toBe('https://a.example');
  });
});
