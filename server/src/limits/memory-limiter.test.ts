import { describe, expect, test } from 'vitest';
import { scaled } from '../../test/harness/scale.ts';
import { accountId, level, limit, limiterAt, seconds } from './fixtures/levels.ts';
import type { LimitDecision } from './limit-decision.ts';
import type { LimitLevel } from './limits.ts';

const noon = '2026-11-22T12:00:00.000Z';

function retryAfter(decision: LimitDecision): number | null | undefined {
  return 'retryAfterSeconds' in decision ? decision.retryAfterSeconds : undefined;
}

function remaining({ limits }: LimitDecision): number[] {
  return limits.map((state) => state.remaining);
}

describe('what is admitted', () => {
  test('is exactly the limit in each window, and no more in the day than the day allows', () => {
    // 64 senders of one customer, over one day; each has a key of its own.
    const requests = scaled(100_000, 1_000_000);
    const { clock, limiter } = limiterAt('2026-11-22T00:00:00Z');
    const account = level('account', accountId, [limit(1000, 'hour'), limit(10_000, 'day')]);
    const senders = Array.from({ length: 64 }, (_, index) => [level('key', `key_${index}`, []), account]);
    const beginMs = clock.nowMs;
    const admittedByHour = Array.from({ length: 24 }, () => 0);
    for (let sent = 0; sent < requests; sent++) {
      clock.nowMs = beginMs + Math.floor((sent / requests) * 86_400_000);
      const { admitted } = limiter.admit({ accountId, levels: senders[sent % 64]! });
      if (admitted) admittedByHour[Math.floor((clock.nowMs - beginMs) / 3_600_000)]!++;
    }
    expect(admittedByHour).toEqual([...Array(10).fill(1000), ...Array(14).fill(0)]);
  });

  test('has room at every level, and a refusal consumes nothing at any', () => {
    const { limiter, admitted } = limiterAt(noon);
    const key = level('key', 'key_a', [limit(100, 'hour')]);
    const organization = level('organization', 'org_a', [limit(10, 'hour')]);
    const issuer = level('issuer', 'i_a', [limit(7, 'day')]);
    const account = level('account', accountId, [limit(5, 'minute')]);
    expect(admitted(1000, key, organization, issuer, account)).toBe(5);
    const after = limiter.peek({ accountId, levels: [key, organization, issuer, account] });
    expect(remaining(after)).toEqual([95, 5, 2, 0]);
  });

  test('is shared by the keys of an organization', () => {
    const { admitted } = limiterAt(noon);
    const organization = level('organization', 'org_a', [limit(10, 'hour')]);
    expect(admitted(6, level('key', 'key_a', []), organization)).toBe(6);
    expect(admitted(6, level('key', 'key_b', []), organization)).toBe(4);
  });

  test('is counted apart for live and sandbox, for each level, and for each id', () => {
    const { admitted } = limiterAt(noon);
    const limits = [limit(1, 'day')];
    const levels = [
      level('account', 'same', limits),
      level('account', 'same', limits, { environment: 'sandbox' }),
      level('issuer', 'same', limits),
      level('account', 'other', limits),
    ];
    for (const one of levels) expect(admitted(3, one)).toBe(1);
  });

  test('goes on for the successor of a rotated key where the key left off', () => {
    const { admitted } = limiterAt(noon);
    const lineage = level('key', 'key_first', [limit(10, 'day')]);
    expect(admitted(7, lineage)).toBe(7);
    expect(admitted(7, { ...lineage })).toBe(3);
  });

  test('is everything where no limit governs', () => {
    const { limiter, admitted } = limiterAt(noon);
    expect(admitted(100, level('key', 'key_a', []))).toBe(100);
    expect(limiter.admit({ accountId, levels: [] })).toMatchObject({
      admitted: true,
      limits: [],
      tightest: null,
    });
    expect(limiter.size).toBe(0);
  });

  test('is nothing that costs something where the limit is 0', () => {
    const { limiter } = limiterAt(noon);
    const levels = [level('key', 'key_a', [limit(0, 'hour')])];
    for (const cost of [undefined, 1, 50]) {
      const decision = limiter.admit({ accountId, levels, cost });
      expect(decision).toMatchObject({ admitted: false, code: 'rate_limited', retryAfterSeconds: null });
    }
    expect(limiter.admit({ accountId, levels, cost: 0 }).admitted).toBe(true);
  });
});

describe('a cost', () => {
  const levels = [level('key', 'key_a', [limit(10, 'hour')])];

  test('is taken as a whole or not at all', () => {
    const { limiter } = limiterAt(noon);
    const costs = [4, 4, 4, 3, 2, 1, 0].map((cost) => limiter.admit({ accountId, levels, cost }));
    expect(costs.map(({ admitted }) => admitted)).toEqual([true, true, false, false, true, false, true]);
    expect(costs.map((decision) => remaining(decision)[0])).toEqual([6, 2, 2, 2, 0, 0, 0]);
  });

  test('above a limit is told apart from a limit that is used up', () => {
    const { limiter } = limiterAt(noon);
    const both = [...levels, level('account', accountId, [limit(100, 'day')])];
    expect(limiter.admit({ accountId, levels: both, cost: 11 })).toMatchObject({
      admitted: false,
      code: 'cost_exceeds_limit',
      names: ['hour'],
    });
    expect(remaining(limiter.peek({ accountId, levels: both }))).toEqual([10, 100]);
    expect(limiter.admit({ accountId, levels: both, cost: 10 }).admitted).toBe(true);
    // It is the mistake it was, also while there is no room for anything.
    expect(limiter.admit({ accountId, levels: both, cost: 11 })).toMatchObject({
      code: 'cost_exceeds_limit',
    });
    expect(limiter.admit({ accountId, levels: both, cost: 10 })).toMatchObject({ code: 'rate_limited' });
  });

  test('by name is taken from the limits of that name at every level, and the others take the usual one', () => {
    const { limiter } = limiterAt(noon);
    const named = [
      level('key', 'key_a', [limit(10, 'hour'), limit(1000, 'day', 'tokens')]),
      level('account', accountId, [limit(5000, 'day', 'tokens')]),
    ];
    const namedCosts = [{ name: 'tokens', cost: 300 }];
    expect(remaining(limiter.admit({ accountId, levels: named, namedCosts }))).toEqual([9, 700, 4700]);
    expect(remaining(limiter.admit({ accountId, levels: named, namedCosts, cost: 0 }))).toEqual([
      9, 400, 4400,
    ]);
    const twice = [...namedCosts, { name: 'tokens', cost: 1 }];
    expect(remaining(limiter.admit({ accountId, levels: named, namedCosts: twice }))).toEqual([8, 99, 4099]);
    expect(limiter.admit({ accountId, levels: named, namedCosts })).toMatchObject({ code: 'rate_limited' });
    expect(remaining(limiter.peek({ accountId, levels: named }))).toEqual([8, 99, 4099]);
  });

  test('for a limit that no level has is a mistake, and nothing is counted', () => {
    const { limiter } = limiterAt(noon);
    const namedCosts = [
      { name: 'tokens', cost: 1 },
      { name: 'hour', cost: 1 },
    ];
    expect(limiter.admit({ accountId, levels, namedCosts })).toMatchObject({
      admitted: false,
      code: 'unknown_limit',
      names: ['tokens'],
    });
    expect(remaining(limiter.peek({ accountId, levels }))).toEqual([10]);
  });

  // Attack: a cost of which the sum is no number any more, or that gives back what was used, opens the limit for good.
  test.each([-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, '1' as unknown as number])(
    '%j never reaches a counter',
    (cost) => {
      const { limiter } = limiterAt(noon);
      expect(() => limiter.admit({ accountId, levels, cost })).toThrow(RangeError);
      const namedCosts = [{ name: 'hour', cost }];
      expect(() => limiter.admit({ accountId, levels, namedCosts })).toThrow(RangeError);
      expect(() => limiter.peek({ accountId, levels, cost })).toThrow(RangeError);
      expect(limiter.size).toBe(0);
    },
  );
});

describe('a limit that changes', () => {
  const withLimits = (...limits: LimitLevel['limits']) => level('key', 'key_a', limits);

  test('in its number keeps what was used', () => {
    const { limiter, admitted } = limiterAt(noon);
    expect(admitted(10, withLimits(limit(6, 'hour')))).toBe(6);
    expect(admitted(10, withLimits(limit(8, 'hour')))).toBe(2);
    const lowered = [withLimits(limit(3, 'hour'))];
    expect(limiter.admit({ accountId, levels: lowered })).toMatchObject({
      admitted: false,
      limits: [{ limit: 3, remaining: 0, exceeded: true }],
    });
    expect(admitted(10, withLimits(limit(9, 'hour')))).toBe(1);
  });

  test('in its window begins anew, and changed back goes on where it was', () => {
    const { admitted } = limiterAt(noon);
    expect(admitted(10, withLimits(limit(6, 'hour', 'requests')))).toBe(6);
    expect(admitted(10, withLimits(limit(6, 'day', 'requests')))).toBe(6);
    expect(admitted(10, withLimits(limit(7, 'hour', 'requests')))).toBe(1);
  });

  test('two of the same window at one level both hold', () => {
    const { limiter, admitted } = limiterAt(noon);
    const both = withLimits(limit(3, 'hour', 'a'), limit(5, 'hour', 'b'));
    expect(admitted(10, both)).toBe(3);
    expect(limiter.peek({ accountId, levels: [both] }).limits).toMatchObject([
      { name: 'a', remaining: 0, exceeded: true },
      { name: 'b', remaining: 2, exceeded: false },
    ]);
  });
});

describe('the decision', () => {
  test('tells how every limit stands, in the order of the levels', () => {
    const { limiter } = limiterAt(noon);
    const key = level('key', 'key_a', [limit(10, 'minute')]);
    const account = level('account', accountId, [limit(100, 'hour'), limit(1000, 'day')]);
    expect(limiter.admit({ accountId, levels: [key, account], cost: 2 })).toEqual({
      admitted: true,
      limits: [
        {
          level: key,
          name: 'minute',
          limit: 10,
          remaining: 8,
          resetSeconds: seconds('2026-11-22T12:01:00Z'),
          exceeded: false,
          period: 'minute',
          windowStart: seconds(noon),
          cost: 2,
        },
        expect.objectContaining({
          level: account,
          remaining: 98,
          resetSeconds: seconds('2026-11-22T13:00:00Z'),
        }),
        expect.objectContaining({ remaining: 998, windowStart: seconds('2026-11-22T00:00:00Z') }),
      ],
      tightest: expect.objectContaining({ name: 'minute' }),
      nowMs: Date.parse(noon),
    });
  });

  test('names as tightest the one with the fewest remaining, of these the one with the latest reset', () => {
    const { limiter } = limiterAt(noon);
    const tightest = (...limits: LimitLevel['limits']) =>
      limiter.peek({ accountId, levels: [level('key', 'key_a', limits)] }).tightest?.name;
    expect(tightest(limit(3, 'hour'), limit(2, 'day'), limit(4, 'second'))).toBe('day');
    expect(tightest(limit(3, 'hour'), limit(3, 'day'), limit(3, 'second'))).toBe('day');
    expect(tightest(limit(3, 'hour', 'a'), limit(3, 'hour', 'b'))).toBe('a');
  });

  test('marks those that have no room, and only those', () => {
    const { limiter, admitted } = limiterAt(noon);
    const one = level('key', 'key_a', [limit(3, 'second'), limit(4, 'minute'), limit(3, 'hour')]);
    admitted(3, one);
    const { limits } = limiter.admit({ accountId, levels: [one] });
    expect(limits.map(({ exceeded }) => exceeded)).toEqual([true, false, true]);
  });

  test('peek tells what admit would, without counting', () => {
    const { limiter, admitted } = limiterAt(noon);
    const one = level('key', 'key_a', [limit(2, 'hour')]);
    for (let time = 0; time < 5; time++) {
      expect(limiter.peek({ accountId, levels: [one] })).toMatchObject({
        admitted: true,
        limits: [{ remaining: 2 }],
      });
    }
    expect(limiter.size).toBe(0);
    expect(admitted(5, one)).toBe(2);
    expect(limiter.peek({ accountId, levels: [one] })).toMatchObject({
      admitted: false,
      code: 'rate_limited',
    });
  });
});

describe('retryAfterSeconds', () => {
  test.each([
    ['12:00:00.000', 'hour', 3600],
    ['12:00:00.001', 'hour', 3600],
    ['12:00:01.000', 'hour', 3599],
    ['12:59:58.999', 'hour', 2],
    ['12:59:59.000', 'hour', 1],
    ['12:59:59.999', 'hour', 1],
    ['12:00:00.000', 'second', 1],
    ['12:00:00.999', 'second', 1],
    ['12:00:59.500', 'minute', 1],
    ['12:00:00.000', 'day', 43_200],
    ['12:00:00.000', 'month', 8.5 * 86_400],
  ] as const)(
    'at %s of a spent %s is %d: then the request passes, and a second earlier it does not',
    (time, window, wait) => {
      const { clock, limiter, admitted } = limiterAt(`2026-11-22T${time}Z`);
      const one = level('key', 'key_a', [limit(5, window)]);
      expect(admitted(6, one)).toBe(5);
      const beginMs = clock.nowMs;
      const refusal = limiter.admit({ accountId, levels: [one] });
      expect(retryAfter(refusal)).toBe(wait);
      clock.nowMs = beginMs + (wait - 1) * 1000;
      expect(limiter.peek({ accountId, levels: [one] }).admitted).toBe(false);
      const resetMs = refusal.tightest!.resetSeconds! * 1000;
      clock.nowMs = resetMs - 1;
      expect(limiter.peek({ accountId, levels: [one] }).admitted).toBe(false);
      for (const nowMs of [resetMs, beginMs + wait * 1000]) {
        clock.nowMs = nowMs;
        expect(limiter.peek({ accountId, levels: [one] }).admitted).toBe(true);
      }
    },
  );

  test('waits for the last of the limits that have no room', () => {
    const { clock, limiter, admitted } = limiterAt('2026-11-22T12:00:30.000Z');
    const one = level('key', 'key_a', [limit(5, 'minute'), limit(9, 'hour'), limit(100, 'day')]);
    expect(admitted(6, one)).toBe(5);
    expect(retryAfter(limiter.admit({ accountId, levels: [one] }))).toBe(30);
    clock.nowMs += 30_000;
    expect(admitted(6, one)).toBe(4);
    expect(retryAfter(limiter.admit({ accountId, levels: [one], cost: 2 }))).toBe(3540);
    expect(
      retryAfter(limiter.admit({ accountId, levels: [one], namedCosts: [{ name: 'hour', cost: 0 }] })),
    ).toBe(undefined);
  });
});

describe('a clock that steps back', () => {
  const one = level('key', 'key_a', [limit(5, 'hour')]);

  test('finds the counter in the newest window it has counted in', () => {
    const { clock, limiter, admitted } = limiterAt('2026-11-22T12:59:59.000Z');
    expect(admitted(9, one)).toBe(5);
    clock.nowMs += 2000;
    expect(admitted(2, one)).toBe(2);
    clock.nowMs -= 2000;
    expect(admitted(9, one)).toBe(3);
    expect(limiter.admit({ accountId, levels: [one] })).toMatchObject({
      retryAfterSeconds: 3601,
      limits: [{ remaining: 0, resetSeconds: seconds('2026-11-22T14:00:00Z') }],
    });
    clock.nowMs += 2000;
    expect(admitted(9, one)).toBe(0);
  });

  test('does not begin a window again whose counter was dropped', () => {
    const { clock, limiter, admitted } = limiterAt('2026-11-22T12:59:59.000Z');
    expect(admitted(9, one)).toBe(5);
    clock.nowMs += 61_000;
    limiter.dropExpired(10);
    expect(limiter.size).toBe(0);
    clock.nowMs -= 61_000;
    // They count in the window that follows; that one is not given twice either.
    expect(admitted(9, one)).toBe(5);
    clock.nowMs += 61_000;
    expect(admitted(9, one)).toBe(0);
  });

  test('does not begin such a window again when an older one was dropped after it', () => {
    const { clock, limiter, admitted } = limiterAt('2026-11-22T12:30:00.000Z');
    expect(admitted(9, one)).toBe(5);
    const windowStart = seconds('2026-11-22T10:00:00Z');
    limiter.add({ ...level('key', 'key_b', []), name: 'hour', period: 'hour', windowStart, amount: 5 });
    clock.nowMs += 7_200_000;
    limiter.dropExpired(10);
    expect(limiter.size).toBe(0);
    clock.nowMs -= 7_200_000;
    expect(limiter.peek({ accountId, levels: [one] }).limits[0]?.windowStart).toBe(
      seconds('2026-11-22T13:00:00Z'),
    );
  });

  test('by less than a minute finds every counter as it was', () => {
    const { clock, limiter, admitted } = limiterAt('2026-11-22T12:59:59.000Z');
    expect(admitted(2, one)).toBe(2);
    clock.nowMs += 60_999;
    limiter.dropExpired(10);
    clock.nowMs -= 60_999;
    expect(admitted(9, one)).toBe(3);
  });

  test('is of no account to who has asked in vain meanwhile', () => {
    const { clock, limiter, admitted } = limiterAt('2026-11-22T12:59:59.000Z');
    expect(admitted(2, one)).toBe(2);
    clock.nowMs += 2000;
    expect(limiter.admit({ accountId, levels: [one], cost: 6 }).admitted).toBe(false);
    expect(limiter.peek({ accountId, levels: [one] }).admitted).toBe(true);
    clock.nowMs -= 2000;
    expect(admitted(9, one)).toBe(3);
  });
});

describe('a request that is said to cost nothing', () => {
  // The attack: a customer says so of each of its requests, and the operator's plan limits none of them.
  test('takes 1 from the limits of the account, however it is said', () => {
    const { limiter } = limiterAt(noon);
    const levels = [
      level('organization', 'org_a', [limit(3, 'hour')]),
      level('account', accountId, [limit(3, 'hour')]),
    ];
    const free = [{ cost: 0 }, { namedCosts: [{ name: 'hour', cost: 0 }] }, { cost: 0 }];
    for (const asked of free) expect(limiter.admit({ accountId, levels, ...asked }).admitted).toBe(true);
    const refused = limiter.admit({ accountId, levels, cost: 0 });
    expect([refused.admitted, remaining(refused)]).toEqual([false, [3, 0]]);
  });
});

describe('what is given back', () => {
  test('is there again, at every level, as if the request had not been', () => {
    const { limiter } = limiterAt(noon);
    const levels = [
      level('key', 'key_a', [limit(5, 'hour')], { quota: { credits: 9, sinceSeconds: 1, refill: null } }),
      level('account', accountId, [limit(7, 'day')]),
    ];
    const before = remaining(limiter.peek({ accountId, levels }));
    const admitted = limiter.admit({ accountId, levels, cost: 3, namedCosts: [{ name: 'quota', cost: 4 }] });
    if (!admitted.admitted) throw new Error('there was room');
    expect(remaining(limiter.peek({ accountId, levels }))).toEqual([2, 5, 4]);
    limiter.refund(admitted);
    expect(remaining(limiter.peek({ accountId, levels }))).toEqual(before);
  });

  test('of a window that is over is nothing', () => {
    const { clock, limiter, admitted } = limiterAt(noon);
    const levels = [level('key', 'key_a', [limit(5, 'minute')])];
    const one = limiter.admit({ accountId, levels, cost: 3 });
    clock.nowMs += 60_000;
    expect(admitted(4, ...levels)).toBe(4);
    if (one.admitted) limiter.refund(one);
    expect(admitted(4, ...levels)).toBe(1);
  });
});
