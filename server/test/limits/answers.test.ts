import { parseItem, parseList } from 'structured-headers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, TestClock, type TestServer } from '../harness/server.ts';
import { TestIssuer, type TestKey } from '../harness/test-issuer.ts';

const clock = new TestClock('2026-11-21T12:00:00.000Z');
let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ clock });
  await server.operator.api.create('/v1/plans', {
    name: 'two',
    limits: {
      live: [
        { name: 'minute', limit: 2, window: 'minute' },
        { name: 'day', limit: 100, window: 'day' },
      ],
      sandbox: [],
    },
  });
});
afterAll(() => server.close());

async function limitedKey(preset: string): Promise<{ issuer: TestIssuer; key: TestKey; header: string }> {
  const issuer = await TestIssuer.create(server, { preset });
  const organization = await issuer.createOrganization({ plan: 'two', external_id: 'acme' });
  const key = await issuer.createKey({}, organization.id);
  const header = {
    standard: 'X-API-Key',
    otp: 'X-OTP-API-Key',
    'tenant-header': 'x-api-key',
    sandbox: 'x-tenant-api-key',
  }[preset]!;
  return { issuer, key, header };
}

describe('429 speaks the dialect of the issuer, with the real number of seconds', () => {
  test.each([
    ['otp', '{"error":"Rate limit exceeded. Try again in 48 seconds.","code":"RATE_LIMITED"}'],
    ['sandbox', '{"error":"Rate limit exceeded. Try again in 48 seconds.","code":"RATE_LIMITED"}'],
    [
      'tenant-header',
      '{"error":{"code":"rate_limited","message":"Rate limit exceeded. Try again in 48 seconds.","type":"rate_limit_error"}}',
    ],
    [
      'standard',
      '{"type":"http://localhost:4600/docs/errors/rate_limited","title":"Rate limit exceeded","status":429,"detail":"Rate limit exceeded. Try again in 48 seconds.","code":"rate_limited","request_id":"trace-1"}',
    ],
  ])('%s', async (preset, body) => {
    // On a minute, whatever the tests before have left.
    clock.advance(60 - (Math.floor(clock.nowMs() / 1000) % 60) + 12);
    const { issuer, key, header } = await limitedKey(preset);
    const ask = () => issuer.authorize({ [header]: key.secret, 'x-tn': 'acme', 'X-Request-Id': 'trace-1' });
    expect((await ask()).status).toBe(200);
    expect((await ask()).status).toBe(200);
    const refused = await ask();
    expect([refused.status, refused.text]).toEqual([429, body]);
    expect(refused.headers).toMatchObject({
      'retry-after': '48',
      'x-ratelimit-limit': '2',
      'x-ratelimit-remaining': '0',
      'x-ratelimit-reset': String(Math.floor(clock.nowMs() / 1000) + 48),
      'x-environment': 'LIVE',
    });
  });
});

describe('Retry-After', () => {
  test('is when the same request passes: a second earlier it does not', async () => {
    const { issuer, key, header } = await limitedKey('standard');
    const ask = () => issuer.authorize({ [header]: key.secret });
    await ask();
    await ask();
    for (const behindMs of [0, 1, 999]) {
      const wholeSeconds = Math.ceil(clock.nowMs() / 1000) * 1000;
      clock.advance((wholeSeconds + behindMs - clock.nowMs()) / 1000);
      const wait = Number((await ask()).headers['retry-after']);
      expect(wait).toBeGreaterThan(0);
      clock.advance(wait - 1);
      if (wait > 1) expect((await ask()).status).toBe(429);
      clock.advance(1);
      expect((await ask()).status).toBe(200);
      await ask();
    }
  });
});

describe('the fields of limits', () => {
  test('X-RateLimit-* tells of the tightest limit, its reset in Unix seconds', async () => {
    const { issuer, key, header } = await limitedKey('standard');
    clock.advance(60);
    const { headers } = await issuer.authorize({ [header]: key.secret });
    const nowSeconds = Math.floor(clock.nowMs() / 1000);
    expect(headers).toMatchObject({ 'x-ratelimit-limit': '2', 'x-ratelimit-remaining': '1' });
    expect(Number(headers['x-ratelimit-reset'])).toBe(nowSeconds - (nowSeconds % 60) + 60);
  });

  test('RateLimit and RateLimit-Policy are what another parser of RFC 9651 reads them as', async () => {
    const { issuer, key, header } = await limitedKey('standard');
    clock.advance(60);
    const { headers } = await issuer.authorize({ [header]: key.secret });
    const policies = parseList(String(headers['ratelimit-policy'])).map(([name, parameters]) => [
      name,
      Object.fromEntries(parameters),
    ]);
    expect(policies).toEqual([
      ['minute', { q: 2, w: 60 }],
      ['day', { q: 100, w: 86_400 }],
    ]);
    const [name, parameters] = parseItem(String(headers.ratelimit));
    expect(name).toBe('minute');
    const state = Object.fromEntries(parameters);
    expect(state.r).toBe(1);
    expect(state.t).toBe(60 - (Math.floor(clock.nowMs() / 1000) % 60));
  });

  test('stand on the answers of verify and me as well, and on a refusal for another reason', async () => {
    const { issuer, key, header } = await limitedKey('standard');
    const { api } = server.operator;
    clock.advance(60);
    const verified = await api.post('/v1/keys/verify', { key: key.secret });
    expect(verified.headers.get('X-RateLimit-Remaining')).toBe('1');
    expect(verified.headers.get('RateLimit')).toMatch(/^"minute";r=1;t=\d+$/);
    const refused = await issuer.authorize({ [header]: key.secret }, '?scope=a:read');
    expect([refused.status, refused.headers['x-ratelimit-remaining']]).toEqual([403, '1']);
    const me = await api.as(key).get('/v1/me');
    expect([me.status, me.headers.get('X-RateLimit-Remaining')]).toEqual([200, '0']);
    const limited = await api.as(key).get('/v1/me');
    expect([limited.status, limited.body.code]).toEqual([429, 'rate_limited']);
    expect(limited.body.detail).toBe(
      `Rate limit exceeded. Try again in ${limited.headers.get('Retry-After')} seconds.`,
    );
  });

  test('are left out where no limit governs, and where the profile does not want them', async () => {
    const issuer = await TestIssuer.create(server);
    const free = await issuer.createKey();
    const answer = await issuer.authorize({ 'X-API-Key': free.secret });
    expect(Object.keys(answer.headers).filter((name) => name.includes('ratelimit'))).toEqual([]);
    const organization = await issuer.createOrganization({ plan: 'two' });
    const key = await issuer.createKey({}, organization.id);
    for (const [styles, names] of [
      [['ietf'], ['ratelimit-policy', 'ratelimit']],
      [['x-ratelimit'], ['x-ratelimit-limit', 'x-ratelimit-remaining', 'x-ratelimit-reset']],
      [[], []],
    ] as const) {
      await issuer.setProfile({ preset: 'standard', rate_limit_headers: styles });
      const { headers } = await issuer.authorize({ 'X-API-Key': key.secret });
      expect(Object.keys(headers).filter((name) => name.includes('ratelimit'))).toEqual(names);
      clock.advance(60);
    }
  });
});

test('a page may read them', async () => {
  const { issuer, key, header } = await limitedKey('otp');
  const answer = await issuer.authorize({ [header]: key.secret, Origin: 'https://a.example' });
  for (const name of ['X-RateLimit-Remaining', 'RateLimit', 'RateLimit-Policy', 'Retry-After'])
    expect(answer.headers['access-control-expose-headers']).toContain(name);
});

test('calls of the management API take none of the limits', async () => {
  const { issuer } = await limitedKey('standard');
  const before = await server.operator.api.get(issuer.path);
  for (let index = 0; index < 5; index++)
    expect((await server.operator.api.get(issuer.path)).status).toBe(200);
  expect(before.headers.get('X-RateLimit-Limit')).toBeNull();
});
