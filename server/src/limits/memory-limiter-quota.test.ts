import { describe, expect, test } from 'vitest';
import { accountId, level, limit, limiterAt, seconds } from './fixtures/levels.ts';
import type { Quota } from './limits.ts';

const noon = '2026-11-22T12:00:00.000Z';
const quota = (credits: number, refill: Quota['refill'] = null, since = noon): Quota => ({
  credits,
  sinceSeconds: seconds(since),
  refill,
});
const withQuota = (one: Quota) => level('key', 'key_a', [], { quota: one });

describe('credits without refill', () => {
  test('are used up once, and no waiting helps', () => {
    const { clock, limiter, admitted } = limiterAt(noon);
    const key = withQuota(quota(10));
    expect(admitted(20, key)).toBe(10);
    clock.nowMs += 400 * 86_400_000;
    expect(limiter.admit({ accountId, levels: [key] })).toMatchObject({
      admitted: false,
      code: 'quota_exceeded',
      retryAfterSeconds: null,
      limits: [{ name: 'quota', limit: 10, remaining: 0, resetSeconds: null, exceeded: true }],
    });
  });

  test('count anew when they are set anew', () => {
    const { clock, admitted } = limiterAt(noon);
    expect(admitted(20, withQuota(quota(10)))).toBe(10);
    expect(admitted(20, withQuota(quota(12)))).toBe(2);
    clock.nowMs += 1000;
    expect(admitted(20, withQuota(quota(3, null, '2026-11-22T12:00:01.000Z')))).toBe(3);
  });

  test('are never dropped for their age, until their level is forgotten', () => {
    const { clock, limiter, admitted } = limiterAt(noon);
    const key = withQuota(quota(10));
    expect(admitted(4, key)).toBe(4);
    clock.nowMs += 4000 * 86_400_000;
    limiter.dropExpired(10);
    expect(admitted(20, key)).toBe(6);
    limiter.forget(key);
    expect(limiter.size).toBe(0);
  });

  test('that do not suffice are no mistake of the request, since more may come', () => {
    const { limiter } = limiterAt(noon);
    const decision = limiter.admit({ accountId, levels: [withQuota(quota(10))], cost: 11 });
    expect(decision).toMatchObject({
      code: 'quota_exceeded',
      retryAfterSeconds: null,
      limits: [{ remaining: 10 }],
    });
  });
});

describe('credits with refill', () => {
  test.each([
    ['day', '2026-11-23T00:00:00.000Z', '2026-11-24T00:00:00.000Z'],
    ['month', '2026-12-01T00:00:00.000Z', '2027-01-01T00:00:00.000Z'],
  ] as const)('are as many again each %s, and what was left is not added', (every, first, second) => {
    const { clock, limiter, admitted } = limiterAt(noon);
    const key = withQuota(quota(3, { amount: 7, every }));
    expect(admitted(20, key)).toBe(3);
    expect(limiter.admit({ accountId, levels: [key] })).toMatchObject({
      code: 'quota_exceeded',
      retryAfterSeconds: seconds(first) - seconds(noon),
      limits: [{ limit: 3, resetSeconds: seconds(first) }],
    });
    clock.nowMs = Date.parse(first) - 1;
    expect(admitted(1, key)).toBe(0);
    clock.nowMs = Date.parse(first);
    expect(admitted(5, key)).toBe(5);
    clock.nowMs = Date.parse(second);
    expect(admitted(20, key)).toBe(7);
    clock.nowMs = Date.parse(first);
    expect(admitted(20, key)).toBe(0);
  });

  test('set at the very beginning of a day hold for that day', () => {
    const { clock, admitted } = limiterAt('2026-11-22T00:00:00.000Z');
    const key = withQuota(quota(3, { amount: 7, every: 'day' }, '2026-11-22T00:00:00.000Z'));
    expect(admitted(20, key)).toBe(3);
    clock.nowMs += 86_400_000;
    expect(admitted(20, key)).toBe(7);
  });

  test('set by a node whose clock is ahead hold from then on', () => {
    const { clock, limiter, admitted } = limiterAt('2026-11-22T23:59:59.000Z');
    const key = withQuota(quota(3, { amount: 7, every: 'day' }, '2026-11-23T00:00:05.000Z'));
    expect(admitted(2, key)).toBe(2);
    clock.nowMs += 6000;
    expect(admitted(20, key)).toBe(1);
    expect(limiter.peek({ accountId, levels: [key] }).limits[0]?.resetSeconds).toBe(
      seconds('2026-11-24T00:00:00Z'),
    );
  });

  test('that will never pay for the request tell no time to wait', () => {
    const { limiter } = limiterAt(noon);
    const levels = [withQuota(quota(3, { amount: 7, every: 'day' }))];
    expect(limiter.admit({ accountId, levels, cost: 7 })).toMatchObject({ retryAfterSeconds: 43_200 });
    expect(limiter.admit({ accountId, levels, cost: 8 })).toMatchObject({ retryAfterSeconds: null });
  });
});

test('windows and credits hold together, all or nothing', () => {
  const { clock, limiter, admitted } = limiterAt(noon);
  const key = level('key', 'key_a', [limit(4, 'minute')], { quota: quota(6) });
  expect(admitted(20, key)).toBe(4);
  expect(limiter.admit({ accountId, levels: [key] })).toMatchObject({
    code: 'rate_limited',
    retryAfterSeconds: 60,
  });
  clock.nowMs += 60_000;
  expect(admitted(20, key)).toBe(2);
  expect(limiter.peek({ accountId, levels: [key] }).limits).toMatchObject([
    { remaining: 2 },
    { remaining: 0 },
  ]);
  // Waiting for the window does not bring back the credits.
  const both = limiter.admit({ accountId, levels: [key], cost: 3 });
  expect(both).toMatchObject({ code: 'quota_exceeded', retryAfterSeconds: null });
});

test('no time to wait is told where the credits that suffice now will have been replaced by fewer', () => {
  const { limiter, admitted } = limiterAt('2026-11-22T23:59:59.500Z');
  const key = level('key', 'key_a', [limit(1, 'second')], { quota: quota(9, { amount: 0, every: 'day' }) });
  expect(admitted(1, key)).toBe(1);
  expect(limiter.admit({ accountId, levels: [key] })).toMatchObject({
    code: 'rate_limited',
    retryAfterSeconds: null,
  });
});

test('a window limit of the same name and length is another counter', () => {
  const { admitted } = limiterAt(noon);
  const key = level('key', 'key_a', [limit(4, 'day', 'quota')], {
    quota: quota(3, { amount: 3, every: 'day' }),
  });
  expect(admitted(1, key)).toBe(1);
  expect(admitted(9, { ...key, quota: null })).toBe(3);
});
