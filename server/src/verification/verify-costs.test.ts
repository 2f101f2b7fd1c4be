import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { atOnce } from '../../test/harness/at-once.ts';
import { startTestServer, TestClock, type TestServer } from '../../test/harness/server.ts';
import { succeeded, TestIssuer, type TestKey } from '../../test/harness/test-issuer.ts';

const clock = new TestClock('2026-11-21T12:00:00.000Z');
let server: TestServer;
let issuer: TestIssuer;
let key: TestKey;

beforeAll(async () => {
  server = await startTestServer({ clock });
  await server.operator.api.create('/v1/plans', {
    name: 'tokens',
    limits: {
      live: [
        { name: 'requests', limit: 10, window: 'hour' },
        { name: 'tokens', limit: 1_000, window: 'hour' },
      ],
      sandbox: [],
    },
  });
  issuer = await TestIssuer.create(server);
});
beforeEach(async () => {
  const organization = await issuer.createOrganization({ plan: 'tokens' });
  key = await issuer.createKey({ restrictions: { scopes: ['a:read'] } }, organization.id);
});
afterAll(() => server.close());

async function verify(body: Record<string, unknown> = {}) {
  return server.operator.api.post('/v1/keys/verify', { key: key.secret, ...body });
}
/** What is left: of requests, of tokens. */
async function left(): Promise<number[]> {
  const { body } = await verify({ explain: true });
  return body.limits.map(({ remaining }: { remaining: number }) => remaining);
}

describe('cost', () => {
  test('is 1 unless given, and taken from every limit', async () => {
    await verify();
    expect(await left()).toEqual([9, 999]);
    const { body } = await verify({ cost: 4 });
    expect(body.limits).toMatchObject([
      { name: 'requests', level: 'organization', limit: 10, remaining: 5, exceeded: false },
      { name: 'tokens', level: 'organization', limit: 1_000, remaining: 995, exceeded: false },
    ]);
    await verify({ cost: 0 });
    expect(await left()).toEqual([5, 995]);
  });

  test('of a request that finds no room takes nothing, and says which limit lacks it', async () => {
    await verify({ cost: 8 });
    const { body } = await verify({ cost: 3 });
    expect(body).toMatchObject({ valid: false, code: 'RATE_LIMITED', scopes: [] });
    expect(body.limits.map(({ exceeded }: { exceeded: boolean }) => exceeded)).toEqual([true, false]);
    expect(await left()).toEqual([2, 992]);
    expect((await verify({ cost: 2 })).body.code).toBe('VALID');
  });

  test('of the limits that are named is theirs, of the others the request’s', async () => {
    const { body } = await verify({ limits: [{ name: 'tokens', cost: 150 }] });
    expect(body.code).toBe('VALID');
    expect(await left()).toEqual([9, 850]);
    await verify({ cost: 2, limits: [{ name: 'tokens', cost: 0 }] });
    expect(await left()).toEqual([7, 850]);
    expect((await verify({ limits: [{ name: 'tokens', cost: 851 }] })).body.code).toBe('RATE_LIMITED');
    expect(await left()).toEqual([7, 850]);
  });

  test('is not asked for of a request that is refused before', async () => {
    const { body } = await verify({
      scopes: ['b:read'],
      cost: 5_000,
      limits: [{ name: 'nothing', cost: 1 }],
    });
    expect([body.code, body.limits.length]).toEqual(['INSUFFICIENT_SCOPE', 2]);
    expect(await left()).toEqual([10, 1_000]);
  });

  test('422: above what a limit ever allows, or of a limit that there is none of', async () => {
    const cases: [Record<string, unknown>, string, string][] = [
      [{ cost: 11 }, 'cost', 'cost_exceeds_limit'],
      [{ limits: [{ name: 'tokens', cost: 1_001 }] }, 'limits[0].cost', 'cost_exceeds_limit'],
      [
        {
          limits: [
            { name: 'tokens', cost: 1 },
            { name: 'words', cost: 1 },
          ],
        },
        'limits[1].name',
        'unknown_limit',
      ],
    ];
    for (const [body, path, code] of cases) {
      const answer = await verify(body);
      expect([answer.status, answer.body.code]).toEqual([422, 'invalid_request']);
      expect(answer.body.errors).toMatchObject([{ path, code }]);
      expect(answer.body.detail).toContain(path);
    }
    expect(await left()).toEqual([10, 1_000]);
    const free = await issuer.createKey();
    const unknown = await server.operator.api.post('/v1/keys/verify', {
      key: free.secret,
      limits: [{ name: 'tokens', cost: 1 }],
    });
    expect([unknown.status, unknown.body.errors?.[0].code]).toEqual([422, 'unknown_limit']);
  });
});

describe('explain', () => {
  test('tells of the limits, and consumes nothing', async () => {
    await verify({ cost: 9 });
    const { body } = await verify({ explain: true, cost: 3 });
    expect([body.valid, body.code]).toEqual([false, 'RATE_LIMITED']);
    const check = body.checks.find(({ check: name }: { check: string }) => name === 'limits');
    expect(check).toMatchObject({ outcome: 'failed', code: 'RATE_LIMITED' });
    expect(check.message).toMatch(/^No room is left in requests of the organization; .* 3600 seconds\.$/);
    for (let index = 0; index < 20; index++) await verify({ explain: true });
    expect(await left()).toEqual([1, 991]);
  });
});

test('explain: 422 for what the request itself would be 422 for, once nothing else refuses it', async () => {
  for (const wrong of [{ cost: 11 }, { limits: [{ name: 'words', cost: 1 }] }]) {
    const answer = await verify({ ...wrong, explain: true });
    expect([answer.status, answer.body.errors]).toEqual([422, (await verify(wrong)).body.errors]);
    const { body } = await verify({ ...wrong, explain: true, scopes: ['b:read'] });
    expect(body.code).toBe('INSUFFICIENT_SCOPE');
  }
});

test('what another check refuses is not told to wait, though the limits have no room', async () => {
  await verify({ cost: 10 });
  const { body, headers } = await verify({ scopes: ['b:read'] });
  expect(body.code).toBe('INSUFFICIENT_SCOPE');
  expect(body.limits).toMatchObject([
    { name: 'requests', remaining: 0, exceeded: false },
    { name: 'tokens', remaining: 990, exceeded: false },
  ]);
  expect([headers.get('retry-after'), headers.get('x-ratelimit-remaining')]).toEqual([null, '0']);
});

describe('a batch', () => {
  const batch = (requests: Record<string, unknown>[]) =>
    server.operator.api.post('/v1/keys/verify-batch', {
      requests: requests.map((request) => ({ key: key.secret, ...request })),
    });

  test('is charged in the order of its requests', async () => {
    const { body } = await batch(Array.from({ length: 12 }, () => ({})));
    const codes = body.data.map(({ code }: { code: string }) => code);
    expect(codes).toEqual([
      ...Array.from({ length: 10 }, () => 'VALID'),
      ...Array.from({ length: 2 }, () => 'RATE_LIMITED'),
    ]);
  });

  test('that is refused anywhere has consumed nothing', async () => {
    const answer = await batch([{}, { cost: 2 }, { cost: 11 }, {}]);
    expect([answer.status, answer.body.errors?.[0].path]).toEqual([422, 'requests[2].cost']);
    expect(await left()).toEqual([10, 1_000]);
  });
});

describe('a request_id', () => {
  test('makes a request that is sent again consume once, whatever it came to', async () => {
    const first = await verify({ request_id: 'one', cost: 4 });
    const again = await verify({ request_id: 'one', cost: 4 });
    expect(again.body).toEqual(first.body);
    expect(await left()).toEqual([6, 996]);
    const refused = await verify({ request_id: 'two', cost: 7 });
    expect(refused.body.code).toBe('RATE_LIMITED');
    clock.advance(60);
    expect((await verify({ request_id: 'two', cost: 7 })).body.code).toBe('RATE_LIMITED');
  });

  test('answers again as it did when it has taken the last that there was', async () => {
    // A caller that was cut off before its answer must not hear that it passed and has to wait, both at once.
    const first = await verify({ request_id: 'last', cost: 10 });
    const again = await verify({ request_id: 'last', cost: 10 });
    expect([first.body.code, again.body]).toEqual(['VALID', first.body]);
    expect(again.headers.get('retry-after')).toBeNull();
  });

  test('50 at once are one', async () => {
    const answers = await atOnce(50, () => verify({ request_id: 'at-once', cost: 3 }));
    expect(new Set(answers.map(({ body }) => body.code))).toEqual(new Set(['VALID']));
    expect(await left()).toEqual([7, 997]);
  });

  test('in one batch twice is one', async () => {
    const requests = Array.from({ length: 5 }, () => ({ key: key.secret, request_id: 'batch' }));
    const { body } = await server.operator.api.post('/v1/keys/verify-batch', { requests });
    expect(body.data.map(({ code }: { code: string }) => code)).toEqual(requests.map(() => 'VALID'));
    expect(await left()).toEqual([9, 999]);
  });

  test('is another’s with another caller, key or member', async () => {
    const other = await issuer.createKey({ restrictions: { scopes: ['keys:verify'] } });
    await verify({ request_id: 'r' });
    await verify({ request_id: 'r', scopes: ['a:read'] });
    await verify({ request_id: 'r', cost: 1 });
    await server.operator.api.as(other).post('/v1/keys/verify', { key: key.secret, request_id: 'r' });
    await verify({ request_id: 's' });
    expect(await left()).toEqual([5, 995]);
    // The header names a request, too, but every proxy and client makes its own.
    await server.operator.api.post('/v1/keys/verify', { key: key.secret }, { 'X-Request-Id': 'r' });
    expect(await left()).toEqual([4, 994]);
  });

  test('is known for ten whole minutes, whenever in a second they begin', async () => {
    clock.advance(0.9);
    await verify({ request_id: 'r' });
    clock.advance(599.9);
    await verify({ request_id: 'r' });
    expect(await left()).toEqual([9, 999]);
  });

  test('is forgotten after ten minutes', async () => {
    await verify({ request_id: 'r' });
    clock.advance(599);
    await verify({ request_id: 'r' });
    expect(await left()).toEqual([9, 999]);
    clock.advance(2);
    await verify({ request_id: 'r' });
    expect(await left()).toEqual([8, 998]);
  });

  test('of a key that has been revoked since gives it nothing', async () => {
    // Attack: whoever holds a revoked key goes on with a request that was once answered VALID.
    expect((await verify({ request_id: 'r' })).body.code).toBe('VALID');
    succeeded(await server.operator.api.post(`${key.path}/revoke`));
    const again = await verify({ request_id: 'r' });
    expect(again.body).toMatchObject({ valid: false, code: 'REVOKED', scopes: [] });
    const fresh = await verify({ request_id: 's' });
    expect(again.body).toEqual({ ...fresh.body, request_id: 'r' });
  });
});
