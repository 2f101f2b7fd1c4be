import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { ApiAnswer, ApiClient } from '../../test/harness/api-client.ts';
import { atOnce } from '../../test/harness/at-once.ts';
import { createCustomer } from '../../test/harness/customer.ts';
import { PostgresProxy } from '../../test/harness/postgres-proxy.ts';
import { send } from '../../test/harness/raw-http.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer, TestClock, type TestServer } from '../../test/harness/server.ts';
import { createKey, succeeded, TestIssuer, type TestKey } from '../../test/harness/test-issuer.ts';
import { verifyResult } from './contracts.ts';

const path = '/v1/keys/verify-batch';
const verifying = { restrictions: { scopes: ['keys:verify'] } };
const madeUp = `gl_live_sk_${'0'.repeat(44)}`;

const clock = new TestClock();
let server: TestServer;
let api: ApiClient;
let issuer: TestIssuer;

beforeAll(async () => {
  server = await startTestServer({ clock });
  api = server.operator.api;
  issuer = await TestIssuer.create(server);
});
afterAll(() => server.close());

const batch = (requests: unknown, as: ApiClient = api): Promise<ApiAnswer> => as.post(path, { requests });

async function codesOf(requests: Record<string, unknown>[], as = api): Promise<string[]> {
  const answer = await batch(requests, as);
  expect([answer.status, answer.headers.get('cache-control')]).toEqual([200, 'no-store']);
  expect(Object.keys(answer.body)).toEqual(['data']);
  expect(answer.body.data).toHaveLength(requests.length);
  for (const result of answer.body.data) expect(verifyResult.parse(result)).toEqual(result);
  return answer.body.data.map((result: { code: string }) => result.code);
}

function verifyCounts(): Record<string, number> {
  const counts = [...server.running.services.counters.read()].filter(({ endpoint }) => endpoint === 'verify');
  return Object.fromEntries(counts.map(({ code, count }) => [code, count]));
}

describe('200', () => {
  test('is what verify answers to each, in their order', async () => {
    const tenant = await issuer.createOrganization({ external_id: 'acme' });
    const [plain, sandbox, ofTenant, disabled, bound] = [
      await issuer.createKey({ restrictions: { scopes: ['a:read'] } }),
      await issuer.createKey({ environment: 'sandbox' }),
      await issuer.createKey({}, tenant.id),
      await issuer.createKey(),
      await issuer.createKey({ restrictions: { origins: ['https://a.example'], ips: ['203.0.113.7'] } }),
    ];
    succeeded(await api.post(`${disabled.path}/disable`));
    const requests: Record<string, unknown>[] = [
      { key: disabled.secret },
      { key: plain.secret, scopes: ['a:read'] },
      { key: madeUp },
      { key: plain.secret, scopes: 'a:read AND b:read' },
      { key: plain.secret, scopes: 'a:read OR b:read' },
      { key: sandbox.secret, environment: 'live' },
      { key: ofTenant.secret, tenant: 'acme' },
      { key: ofTenant.secret, tenant: 'nobody' },
      { key: bound.secret, origin: 'https://b.example' },
      { key: bound.secret, ip: '203.0.113.7', origin: 'https://a.example' },
      { key: bound.secret },
      { key: server.operator.key.secret },
      { key: 'x' },
      { key: plain.secret, explain: true },
      { key: madeUp, explain: true },
    ].map((one, index) => ({ ...one, request_id: `r-${index}` }));
    expect(await codesOf(requests)).toEqual([
      'DISABLED',
      'VALID',
      'NOT_FOUND',
      'INSUFFICIENT_SCOPE',
      'VALID',
      'WRONG_ENVIRONMENT',
      'VALID',
      'TENANT_MISMATCH',
      'ORIGIN_NOT_ALLOWED',
      'VALID',
      'IP_NOT_ALLOWED',
      'VALID',
      'NOT_FOUND',
      'VALID',
      'NOT_FOUND',
    ]);
    const { body } = await batch(requests);
    for (const [index, request] of requests.entries()) {
      expect(body.data[index]).toEqual((await api.post('/v1/keys/verify', request)).body);
    }
  });

  test('keeps the order where some are in memory and others have to be looked up', async () => {
    const keys = await Promise.all(Array.from({ length: 24 }, () => issuer.createKey()));
    const known = keys.filter((_, index) => index % 3 === 0);
    await codesOf(known.map(({ secret }) => ({ key: secret })));
    const { body } = await batch(keys.map(({ secret }) => ({ key: secret })));
    expect(body.data.map((result: { key: { id: string } }) => result.key.id)).toEqual(
      keys.map(({ id }) => id),
    );
  });

  test('takes 1 to 100 requests, the same key as often as it is asked about', async () => {
    const { secret: key } = await issuer.createKey();
    expect(await codesOf([{ key }])).toEqual(['VALID']);
    expect(await codesOf(Array.from({ length: 100 }, () => ({ key })))).toEqual(
      Array.from({ length: 100 }, () => 'VALID'),
    );
  });

  test('names each by its own request_id, else by the request’s', async () => {
    const { secret: key } = await issuer.createKey();
    const answer = await api.post(
      path,
      { requests: [{ key, request_id: 'mine' }, { key }] },
      { 'X-Request-Id': 'of-header' },
    );
    expect(answer.body.data.map((result: { request_id: string }) => result.request_id)).toEqual([
      'mine',
      'of-header',
    ]);
    expect(answer.headers.get('x-request-id')).toBe('of-header');
  });

  test('has the environment of the caller, whatever it asks about', async () => {
    const sandbox = await issuer.createKey({ environment: 'sandbox' });
    const live = await issuer.createKey(verifying);
    const caller = await issuer.createKey({ ...verifying, environment: 'sandbox' });
    const ask = async (as: TestKey) => (await batch([{ key: sandbox.secret }], api.as(as))).headers;
    expect((await ask(live)).get('x-environment')).toBe('LIVE');
    expect((await ask(caller)).get('x-environment')).toBe('SANDBOX');
  });

  test('counts each decision where those of verify are counted', async () => {
    const { secret: key } = await issuer.createKey();
    const before = verifyCounts();
    await codesOf([{ key }, { key }, { key: madeUp }, { key, explain: true }]);
    expect(verifyCounts()).toEqual({
      ...before,
      VALID: (before.VALID ?? 0) + 2,
      NOT_FOUND: (before.NOT_FOUND ?? 0) + 1,
    });
  });

  test('a key revoked a moment ago is revoked in each of 50 batches at once', async () => {
    const keys = await Promise.all(Array.from({ length: 10 }, () => issuer.createKey()));
    const [revoked] = keys as [TestKey];
    await codesOf(keys.map(({ secret }) => ({ key: secret })));
    succeeded(await api.post(`${revoked.path}/revoke`));
    const requests = Array.from({ length: 100 }, (_, index) => ({ key: keys[index % 10]!.secret }));
    for (const { status, body } of await atOnce(50, () => batch(requests))) {
      expect(status).toBe(200);
      expect(body.data.map(({ code }: { code: string }) => code)).toEqual(
        requests.map((_, index) => (index % 10 === 0 ? 'REVOKED' : 'VALID')),
      );
    }
  });
});

test('a tenant that there is none of is looked up once, before anything is decided', async () => {
  // Attack: a batch whose last entries name tenants that nobody has: memory does not keep those, so each costs a look-up.
  // Made between the decisions they held back what was decided first, and told it after the key had been revoked.
  const { secret } = await issuer.createKey({ limits: [{ name: 'hour', limit: 9, window: 'hour' }] });
  await codesOf([{ key: secret }]);
  const { lookupPool } = server.running.services;
  let lookups = 0;
  const count = () => void lookups++;
  lookupPool.on('acquire', count);
  const nobodies = Array.from({ length: 30 }, (_, index) => ({ key: secret, tenant: `nobody-${index}` }));
  const codes = await codesOf([{ key: secret }, ...nobodies]);
  lookupPool.off('acquire', count);
  expect(codes).toEqual(['VALID', ...nobodies.map(() => 'TENANT_MISMATCH')]);
  expect(lookups).toBe(nobodies.length);
});

describe('a caller', () => {
  test('of another account finds nothing: its answer is that for keys that nobody has', async () => {
    // Attack: a hundred stolen keys at a time are tried out, to learn whose they are.
    const customer = await createCustomer(server);
    const [key, tenant] = [await issuer.createKey(), await issuer.createOrganization()];
    const ofTenant = await issuer.createKey({}, tenant.id);
    const ask = async (secrets: string[], explain: boolean) => {
      const requests = secrets.map((secret) => ({
        key: secret,
        tenant: tenant.id,
        explain,
        request_id: 'r',
      }));
      return (await batch(requests, customer.api)).text;
    };
    for (const explain of [false, true]) {
      const theirs = await ask([key.secret, ofTenant.secret, server.operator.key.secret], explain);
      expect(theirs).toBe(await ask([madeUp, madeUp, madeUp], explain));
    }
  });

  test('sees what lies at or below its own level, in one batch with what does not', async () => {
    const [acme, globex] = [await issuer.createOrganization(), await issuer.createOrganization()];
    const caller = await issuer.createKey(verifying, acme.id);
    const [own, other, above] = [
      await issuer.createKey({}, acme.id),
      await issuer.createKey({}, globex.id),
      await issuer.createKey(),
    ];
    const requests = [other, own, above].map(({ secret }) => ({ key: secret }));
    expect(await codesOf(requests, api.as(caller))).toEqual(['NOT_FOUND', 'VALID', 'NOT_FOUND']);
  });

  test('without a key, or with a dead one: 401', async () => {
    const dead = await issuer.createKey(verifying);
    succeeded(await api.post(`${dead.path}/revoke`));
    for (const [as, code] of [
      [null, 'missing_key'],
      [{ id: dead.id, secret: `${dead.secret}x` }, 'invalid_key'],
      [dead, 'revoked_key'],
    ] as const) {
      const answer = await batch([{ key: madeUp }], api.as(as));
      expect([answer.status, answer.body.code]).toEqual([401, code]);
      expect(answer.headers.get('www-authenticate')).toMatch(/^Basic realm=/);
    }
  });

  test('is judged before its body is', async () => {
    for (const rawBody of ['{', '{}', '{"requests":[]}', 'x'.repeat(300_000)]) {
      const answer = await api.as(null).request('POST', path, { rawBody });
      expect([answer.status, answer.body.code]).toEqual([401, 'missing_key']);
    }
  });

  test('lacks keys:verify: 403', async () => {
    for (const scopes of [[], ['gatelodge.api-keys:read', 'invoices:read']]) {
      for (const caller of [
        await issuer.createKey({ restrictions: { scopes } }),
        await createKey(api, '/v1/api-keys', { restrictions: { scopes } }),
      ]) {
        const answer = await batch([{ key: caller.secret }], api.as(caller));
        expect([answer.status, answer.body.code]).toEqual([403, 'permission_denied']);
        expect(answer.headers.get('x-environment')).toBe('LIVE');
      }
    }
  });

  test('is publishable: 403, even if the permission had come into its row', async () => {
    // Attack: the key that every visitor of a page can read is used to try out stolen keys.
    const publishable = await issuer.createKey({ kind: 'publishable' });
    const rows = await Rows.open(server.database);
    await rows.query(`update api_keys set scopes = '{keys:verify}' where id = $1`, [publishable.id]);
    await rows.close();
    const answer = await batch([{ key: publishable.secret }], api.as(publishable));
    expect([answer.status, answer.body.code]).toEqual([403, 'permission_denied']);
  });
});

describe('422: nothing is decided', () => {
  const pathsOf = (answer: ApiAnswer) => answer.body.errors.map((error: { path: string }) => error.path);

  test.each([
    ['0 requests', { requests: [] }, ['requests']],
    ['101 requests', { requests: Array.from({ length: 101 }, () => ({ key: 'x' })) }, ['requests']],
    ['no requests', {}, ['requests']],
    ['null', { requests: null }, ['requests']],
    ['an object of requests', { requests: { 0: { key: 'x' } } }, ['requests']],
    ['a string', { requests: 'x' }, ['requests']],
    ['a member more', { requests: [{ key: 'x' }], explain: true }, ['explain']],
    ['a body of verify', { key: 'x' }, ['key', 'requests']],
    [
      'entries that are no objects',
      { requests: [null, 'x', 1, []] },
      [0, 1, 2, 3].map((n) => `requests[${n}]`),
    ],
    [
      'what is wrong in several entries',
      {
        requests: [
          { key: 'x' },
          { key: '', limits: [] },
          { key: 'x', scopes: ['a:read', 'b'] },
          { origin: 7 },
          { key: 'x', cost: -1, scopes: 'a:read AND', explain: 1 },
          { key: 'x', ip: 'x', environment: 'test', tenant: '', request_id: ' ' },
        ],
      },
      [
        'requests[1].key',
        'requests[1].limits',
        'requests[2].scopes[1]',
        'requests[3].origin',
        'requests[3].key',
        'requests[4].cost',
        'requests[4].scopes',
        'requests[4].explain',
        'requests[5].ip',
        'requests[5].environment',
        'requests[5].tenant',
        'requests[5].request_id',
      ],
    ],
  ])('%s', async (_, body, paths) => {
    const before = verifyCounts();
    const answer = await api.post(path, body);
    expect([answer.status, answer.body.code]).toEqual([422, 'invalid_request']);
    expect(pathsOf(answer)).toEqual(paths);
    expect(answer.headers.get('x-environment')).toBe('LIVE');
    expect(verifyCounts()).toEqual(before);
  });

  test('one wrong entry among a hundred names its place, and no key comes back', async () => {
    const { secret } = await issuer.createKey();
    const requests = Array.from({ length: 100 }, () => ({ key: secret }));
    const answer = await batch(requests.with(99, { key: `${secret}\u0000` }));
    expect(pathsOf(answer)).toEqual(['requests[99].key']);
    expect(answer.body.detail).toContain('requests[99].key');
    expect(answer.text).not.toContain(secret);
  });

  test('a body that is no object', async () => {
    for (const rawBody of ['null', '[]', '"x"', '[{"key":"x"}]']) {
      const answer = await api.request('POST', path, { rawBody });
      expect([rawBody, answer.status, pathsOf(answer)]).toEqual([rawBody, 422, ['']]);
    }
  });

  test('50 errors at most, of however many', async () => {
    // Attack: a body of 256 KiB that is answered with megabytes, again and again.
    const wide = Object.fromEntries(Array.from({ length: 200 }, (_, index) => [`m${index}`, 1]));
    for (const entry of [{}, null, wide]) {
      const answer = await batch(Array.from({ length: 100 }, () => entry));
      expect([answer.status, answer.body.errors.length]).toEqual([422, 50]);
      expect(answer.text.length).toBeLessThan(10_000);
    }
  });

  test('members that every object has are unknown ones', async () => {
    for (const member of ['__proto__', 'constructor', 'toString']) {
      const rawBody = `{"requests":[{"key":"x","${member}":{}}],"${member}":1}`;
      const answer = await api.request('POST', path, { rawBody });
      expect([answer.status, pathsOf(answer)]).toEqual([422, [member]]);
      const within = await api.request('POST', path, {
        rawBody: `{"requests":[{"key":"x","${member}":{}}]}`,
      });
      expect([within.status, pathsOf(within)]).toEqual([422, [`requests[0].${member}`]]);
    }
  });
});

test('400, 413 and 415 as verify has them', async () => {
  const rawBody = '{"requests":[{"key":"x"}]}';
  const post = (body: string, type = 'application/json') =>
    api.request('POST', path, { rawBody: body, headers: { 'Content-Type': type } });
  expect((await post('{"requests":[')).body.code).toBe('malformed_json');
  expect((await post(rawBody, 'text/plain')).body.code).toBe('unsupported_media_type');
  expect((await post(rawBody.padEnd(256 * 1024))).status).toBe(200);
  const large = await post(rawBody.padEnd(256 * 1024 + 1));
  expect([large.status, large.body.code]).toEqual([413, 'body_too_large']);
});

test('405: says that it answers POST', async () => {
  for (const method of ['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
    const answer = await api.request(method, path);
    expect([method, answer.status, answer.headers.get('allow')]).toEqual([method, 405, 'POST']);
  }
});

test('503 for the whole while Postgres is away and one of them is not in memory', async () => {
  const proxy = await PostgresProxy.start(server.database.appUrl);
  const cutOff = await startTestServer({
    nodeOf: server,
    clock,
    env: { DATABASE_URL: proxy.url(server.database.appUrl), GATELODGE_STALE_SECONDS: '600' },
  });
  const ask = (requests: Record<string, unknown>[], caller = server.operator.key) =>
    send(`${cutOff.url}${path}`, {
      method: 'POST',
      headers: {
        Authorization: `Bearer ${caller.secret}`,
        'Content-Type': 'application/json',
      },
      body: JSON.stringify({ requests }),
    });
  try {
    const [known, unknown] = [await issuer.createKey(), await issuer.createKey()];
    const stranger = await (await TestIssuer.create(server)).createKey(verifying);
    // Before it trusts its memory it keeps nothing there.
    await expect.poll(() => cutOff.running.services.freshness.mode, { timeout: 20_000 }).toBe('fresh');
    expect((await ask([{ key: known.secret }])).status).toBe(200);
    expect((await ask([{ key: stranger.secret }], stranger)).status).toBe(200);
    await proxy.refuse();
    await vi.waitFor(
      async () => {
        const { body } = await ask([{ key: known.secret }, { key: known.secret, scopes: ['a:read'] }]);
        expect(body.data?.[0].warnings).toEqual(['stale']);
        expect(body.data[1].code).toBe('INSUFFICIENT_SCOPE');
      },
      { timeout: 30_000 },
    );
    const countsOf = () => JSON.stringify([...cutOff.running.services.counters.read()]);
    const before = countsOf();
    for (const undecidable of [
      { key: unknown.secret },
      { key: known.secret, tenant: 'nobody-yet' },
      { key: known.secret, tenant: 'nobody-yet', explain: true },
    ]) {
      const many = Array.from({ length: 99 }, () => ({ key: known.secret }));
      const answer = await ask([...many.slice(0, 50), undecidable, ...many.slice(50)]);
      expect([answer.status, answer.body.code]).toEqual([503, 'unavailable']);
      expect(answer.headers).toMatchObject({ 'retry-after': '1', 'x-environment': 'LIVE' });
    }
    // Attack: a stolen key is told from a made-up one by the answer of a node that happens to hold it.
    for (const key of [known.secret, unknown.secret, madeUp]) {
      for (const explain of [false, true]) {
        const answer = await ask([{ key: stranger.secret }, { key, explain }], stranger);
        expect([answer.status, answer.body.code]).toEqual([503, 'unavailable']);
      }
    }
    expect(countsOf()).toBe(before);
    // What is refused anyway is explained without the tenant that nobody can look up just now.
    const { body } = await ask([
      { key: known.secret, tenant: 'nobody-yet', environment: 'sandbox', explain: true },
    ]);
    expect(body.data[0].code).toBe('WRONG_ENVIRONMENT');
    expect(body.data[0].checks.find(({ check }: { check: string }) => check === 'tenant')).toMatchObject({
      outcome: 'skipped',
    });
  } finally {
    await cutOff.close();
    await proxy.close();
  }
});
