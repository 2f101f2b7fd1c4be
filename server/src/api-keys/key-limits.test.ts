import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import type { ApiClient } from '../../test/harness/api-client.ts';
import { atOnce } from '../../test/harness/at-once.ts';
import { createCustomer } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { createKey, succeeded, type TestKey } from '../../test/harness/test-issuer.ts';
import { apiKeyLevels } from './fixtures/levels.ts';

// Limits and credits of keys: how they are set, who sets them, and that what was used stays used.

const clock = new TestClock('2026-11-21T12:00:00.000Z');
const server = await startTestServer({ clock });
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
// On no plan: what is counted here are the keys' own limits.
const { api } = await createCustomer(server, { plan: null });
const levels = await apiKeyLevels(api);
const [ofAccount, ofIssuer, ofOrganization] = levels as [
  (typeof levels)[number],
  (typeof levels)[number],
  (typeof levels)[number],
];
beforeEach(() => clock.advance(10));

const hour = { name: 'hour', limit: 3, window: 'hour' };
const day = { name: 'day', limit: 100, window: 'day' };
const resourceOf = async ({ path }: { path: string }) => succeeded(await api.get(path)).body.data;
const patched = async (key: { path: string }, body: unknown) =>
  succeeded(await api.patch(key.path, body)).body.data;
const rotate = async (key: TestKey, as = api): Promise<TestKey> => {
  const { id, secret_plain: secret } = await as.create(`${key.path}/rotate`, { grace_seconds: 3600 });
  return { id, secret, path: key.path.replace(key.id, id) };
};

/** What a decision about the key says. */
async function decide({ secret }: TestKey, members: Record<string, unknown> = {}) {
  const { body } = succeeded(await api.post('/v1/keys/verify', { key: secret, ...members }));
  return { code: body.code as string, limits: body.limits as { name: string; remaining: number }[] };
}

/** How many of so many decisions about the key are admitted. */
async function admitted(key: TestKey, asked: number): Promise<number> {
  let count = 0;
  for (let at = 0; at < asked; at++) if ((await decide(key)).code === 'VALID') count++;
  return count;
}

const remaining = async (key: TestKey) =>
  Object.fromEntries((await decide(key, { cost: 0 })).limits.map((limit) => [limit.name, limit.remaining]));

describe.each(levels)('a key of the $level', ({ path }) => {
  test('201: has the limits and the credits that it is made with, and none unless it says', async () => {
    const quota = { credits: 1_000_000_000_000, refill: { amount: 1, every: 'day' } };
    const answer = await api.post(path, { limits: [hour, day], quota });
    expect([answer.status, answer.body.data.limits, answer.body.data.quota]).toEqual([
      201,
      [hour, day],
      quota,
    ]);
    expect(await resourceOf({ path: `${path}/${answer.body.data.id}` })).toMatchObject({
      limits: [hour, day],
      quota,
    });
    const { data } = (await api.get(`${path}?limit=1`)).body;
    expect(data[0]).toMatchObject({ limits: [hour, day], quota });
    const bare = { limits: [], quota: null };
    expect(await api.create(path)).toMatchObject(bare);
    expect(await api.create(path, { limits: null, quota: null })).toMatchObject(bare);
    expect(await api.create(path, { quota: { credits: 0 } })).toMatchObject({
      quota: { credits: 0, refill: null },
    });
  });

  test('200: imported keys have theirs', async () => {
    const members = { limits: [hour], quota: { credits: 5, refill: null } };
    const hashes = ['a', 'b'].map(
      (digit) => digit.repeat(62) + String(levels.findIndex((at) => at.path === path)).padStart(2, '0'),
    );
    const { body } = succeeded(
      await api.post(`${path}/import`, { keys: [{ hash: hashes[0], ...members }, { hash: hashes[1] }] }),
    );
    const [limited, free] = body.data.keys as [{ id: string }, { id: string }];
    expect(await resourceOf({ path: `${path}/${limited.id}` })).toMatchObject(members);
    expect(await resourceOf({ path: `${path}/${free.id}` })).toMatchObject({ limits: [], quota: null });
  });

  test('200: a change is an event that names the members, and holds from the next decision on', async () => {
    const key = await createKey(api, path, { limits: [hour] });
    expect(await admitted(key, 5)).toBe(3);
    const { result, events } = await rows.eventsOf(() =>
      api.patch(key.path, { limits: [{ ...hour, limit: 5 }], quota: { credits: 9 } }),
    );
    expect(result.status).toBe(200);
    expect(events).toMatchObject([
      { type: 'api-key.updated', subject_id: key.id, data: { changed: ['limits', 'quota'] } },
    ]);
    // What was used of a limit stays used where its name and window stay.
    expect(await remaining(key)).toEqual({ hour: 2, quota: 9 });
    expect(await admitted(key, 5)).toBe(2);
    await patched(key, { limits: null });
    expect(await admitted(key, 10)).toBe(7);
    expect((await decide(key)).code).toBe('QUOTA_EXCEEDED');
    await patched(key, { quota: null });
    expect(await decide(key)).toEqual({ code: 'VALID', limits: [] });
  });

  test.each<[Record<string, unknown>, string]>([
    [{ limits: {} }, 'limits'],
    [{ limits: [{ ...hour, limit: -1 }] }, 'limits[0].limit'],
    [{ limits: [{ ...hour, limit: 1e13 }] }, 'limits[0].limit'],
    [{ limits: [{ ...hour, limit: 0.5 }] }, 'limits[0].limit'],
    [{ limits: [{ ...hour, window: 'year' }] }, 'limits[0].window'],
    [{ limits: [{ ...hour, name: 'quota' }] }, 'limits[0].name'],
    [{ limits: [{ ...hour, name: 'a b' }] }, 'limits[0].name'],
    [{ limits: [{ ...hour, used: 0 }] }, 'limits[0].used'],
    [{ limits: [day, hour, hour] }, 'limits[2]'],
    [{ limits: Array.from({ length: 11 }, (_, at) => ({ ...hour, name: `n${at}` })) }, 'limits'],
    [{ quota: 5 }, 'quota'],
    [{ quota: { credits: -1 } }, 'quota.credits'],
    [{ quota: { credits: 1.5 } }, 'quota.credits'],
    [{ quota: { credits: 1_000_000_000_001 } }, 'quota.credits'],
    [{ quota: { credits: null } }, 'quota.credits'],
    [{ quota: { credits: 5, refill: { amount: 0, every: 'day' } } }, 'quota.refill.amount'],
    [{ quota: { credits: 5, refill: { amount: 1, every: 'hour' } } }, 'quota.refill.every'],
    [{ quota: { credits: 5, refill: { every: 'day' } } }, 'quota.refill.amount'],
    [{ quota: { refill: null } }, 'quota.credits'],
    [{ quota: {} }, 'quota.credits'],
    // The attack: credits that count from a moment of the caller’s choice.
    [{ quota: { credits: 5, since: 0 } }, 'quota.since'],
    [{ quota: { credits: 5, refill: { amount: 1, every: 'day', since: 0 } } }, 'quota.refill.since'],
  ])('422: %j is refused at %s by create, import and patch, and changes nothing', async (members, at) => {
    const key = await createKey(api, path);
    const before = await rows.snapshot();
    const hash = 'c'.repeat(64);
    for (const [answer, prefix] of [
      [await api.post(path, members), ''],
      [await api.post(`${path}/import`, { keys: [{ hash, ...members }] }), 'keys[0].'],
      [await api.patch(key.path, members), ''],
    ] as const) {
      expect([answer.status, answer.body.code]).toEqual([422, 'invalid_request']);
      expect(answer.body.errors.map((error: { path: string }) => error.path)).toContain(prefix + at);
    }
    expect(await rows.snapshot()).toEqual(before);
  });
});

describe('credits', () => {
  test('set to as many again are a top-up; what leaves them out changes none', async () => {
    const key = await createKey(api, ofIssuer.path, { quota: { credits: 5 } });
    expect(await admitted(key, 3)).toBe(3);
    await patched(key, { name: 'renamed', limits: [day], metadata: { a: 1 } });
    expect(await remaining(key)).toMatchObject({ quota: 2 });
    await patched(key, { quota: { credits: 5 } });
    expect(await remaining(key)).toMatchObject({ quota: 5 });
    expect(await admitted(key, 9)).toBe(5);
  });

  test('set several times within a second count from the last time on', async () => {
    const key = await createKey(api, ofIssuer.path, { quota: { credits: 2 } });
    for (let round = 0; round < 5; round++) {
      expect(await admitted(key, 4)).toBe(2);
      await patched(key, { quota: { credits: 2 } });
    }
    expect(await admitted(key, 4)).toBe(2);
  });

  test('of 20 top-ups at once leave the last one’s, in 20 changes', async () => {
    const key = await createKey(api, ofIssuer.path, { quota: { credits: 2 } });
    await admitted(key, 2);
    const { result: answers, events } = await rows.eventsOf(() =>
      atOnce(20, () => api.patch(key.path, { quota: { credits: 2 } })),
    );
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect(events.length).toBe(20);
    expect(await admitted(key, 4)).toBe(2);
  });

  test('go on being counted when another amount is refilled, which then comes in its time', async () => {
    const key = await createKey(api, ofIssuer.path, {
      quota: { credits: 5, refill: { amount: 5, every: 'day' } },
    });
    expect(await admitted(key, 3)).toBe(3);
    await patched(key, { quota: { refill: { amount: 4 } } });
    expect(await remaining(key)).toEqual({ quota: 2 });
    clock.advance(86_400);
    expect(await remaining(key)).toEqual({ quota: 4 });
    await patched(key, { quota: { credits: 9 } });
    expect(await remaining(key)).toEqual({ quota: 9 });
    clock.advance(86_400);
    expect(await remaining(key)).toEqual({ quota: 4 });
  });
});

describe('a line of rotations', () => {
  test('has one count: the successor has the limits and goes on where the old key stands', async () => {
    const old = await createKey(api, ofIssuer.path, { limits: [hour], quota: { credits: 100 } });
    expect(await admitted(old, 2)).toBe(2);
    clock.advance(60);
    const next = await rotate(old);
    expect(await resourceOf(next)).toMatchObject({ limits: [hour], quota: { credits: 100, refill: null } });
    expect(await remaining(next)).toEqual({ hour: 1, quota: 98 });
    expect(await admitted(next, 1)).toBe(1);
    expect([(await decide(old)).code, (await decide(next)).code]).toEqual(['RATE_LIMITED', 'RATE_LIMITED']);
    const third = await rotate(next);
    expect(await remaining(third)).toEqual({ hour: 0, quota: 97 });
  });

  test('each key of it has its own limits, whose use is one; credits set on one are used by all', async () => {
    const old = await createKey(api, ofIssuer.path, { limits: [hour], quota: { credits: 100 } });
    const next = await rotate(old);
    await patched(next, { limits: [{ ...hour, limit: 10 }] });
    expect(await resourceOf(old)).toMatchObject({ limits: [hour] });
    expect(await admitted(next, 3)).toBe(3);
    expect((await decide(old)).code).toBe('RATE_LIMITED');
    expect(await remaining(next)).toEqual({ hour: 7, quota: 97 });
    await patched(next, { quota: { credits: 5 } });
    expect(await admitted(next, 1)).toBe(1);
    await patched(old, { limits: null });
    expect(await remaining(old)).toEqual({ quota: 99 });
  });

  test('an old key that is deleted takes nothing along', async () => {
    const old = await createKey(api, ofIssuer.path, { limits: [hour] });
    const next = await rotate(old);
    expect(await admitted(old, 2)).toBe(2);
    succeeded(await api.delete(old.path));
    expect(await remaining(next)).toEqual({ hour: 1 });
  });
});

describe('nobody lifts a limit of its own', () => {
  const manager = { scopes: ['gatelodge.api-keys:write', 'gatelodge.api-keys:read', 'keys:verify'] };
  const limits = [hour, day];
  const quota = { credits: 10, refill: { amount: 10, every: 'month' } };
  const liftings = [
    { limits: null },
    { limits: [] },
    { limits: [hour] },
    { limits: [{ ...hour, limit: 4 }, day] },
    { limits: [{ ...hour, name: 'other' }, day] },
    { limits: [{ ...hour, window: 'minute' }, day] },
    { quota: null },
    { quota: { credits: 10 } },
    { quota: { credits: 9 } },
    { quota: { refill: null } },
    { quota: { refill: { every: 'day' } } },
    { quota: { refill: { amount: 11 } } },
    { name: 'harmless', limits: null },
  ];

  async function refusesAll(caller: ApiClient, target: { path: string }): Promise<void> {
    const before = await rows.snapshot();
    for (const body of liftings) {
      const answer = await caller.patch(target.path, body);
      expect([body, answer.status, answer.body.code]).toEqual([body, 403, 'permission_denied']);
    }
    expect(await rows.snapshot()).toEqual(before);
  }

  // Attack: a tenant’s key that manages the tenant’s keys takes its own limits away, or fills up its credits.
  test.each(levels)('403: not a key of the $level, on itself', async ({ path }) => {
    const key = await createKey(api, path, { restrictions: manager, limits, quota });
    await refusesAll(api.as(key), key);
  });

  // Attack: it rotates itself and has the successor and the old key, whose count is one, lift each other’s.
  test.each(levels)(
    '403: not a key of the $level, by way of its successor or predecessor',
    async ({ path }) => {
      const old = await createKey(api, path, { restrictions: manager, limits, quota });
      const next = await rotate(old, api.as(old));
      const third = await rotate(next, api.as(next));
      for (const [caller, target] of [
        [next, old],
        [old, next],
        [third, old],
        [old, third],
      ] as const) {
        await refusesAll(api.as(caller), target);
      }
    },
  );

  test('403: by rotation nothing is gained: the successor has the same limits, used as they are', async () => {
    const key = await createKey(api, ofOrganization.path, { restrictions: manager, limits, quota });
    await admitted(key, 2);
    const next = await rotate(key, api.as(key));
    expect(await resourceOf(next)).toMatchObject({ limits, quota });
    expect(await remaining(next)).toEqual({ hour: 1, day: 98, quota: 8 });
    const answer = await api.as(key).post(`${key.path}/rotate`, { limits: [] });
    expect([answer.status, answer.body.errors[0].path]).toEqual([422, 'limits']);
  });

  test('200: but it may tighten them, and those above it may loosen them', async () => {
    const key = await createKey(api, ofOrganization.path, { restrictions: manager, limits, quota });
    const own = api.as(key);
    for (const body of [
      { limits: [{ ...hour, limit: 1 }, day, { name: 'minute', limit: 1, window: 'minute' }] },
      { quota: { refill: { amount: 1 } } },
    ])
      expect((await own.patch(key.path, body)).status).toBe(200);
    const issuers = api.as(await createKey(api, ofIssuer.path, { restrictions: manager }));
    expect((await issuers.patch(key.path, { limits: null, quota: { credits: 99 } })).status).toBe(200);
  });

  // Attack: a key that may manage keys, but holds little, lifts the limits of one that holds more.
  test('403: nor those of a key that may do more than the caller', async () => {
    const strong = await createKey(api, ofAccount.path, {
      restrictions: { scopes: ['gatelodge.issuers:write'] },
      limits,
      quota,
    });
    const weak = api.as(await createKey(api, ofAccount.path, { restrictions: manager }));
    await refusesAll(weak, strong);
  });

  test('200: those of keys with product scopes alone are the affair of whoever manages them', async () => {
    const issuers = api.as(await createKey(api, ofIssuer.path, { restrictions: manager, limits }));
    for (const body of liftings) {
      const tenants = await createKey(api, ofOrganization.path, {
        restrictions: { scopes: ['invoices:read'] },
        limits,
        quota,
      });
      expect((await issuers.patch(tenants.path, body)).status).toBe(200);
    }
  });
});
