import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { scaled } from '../../test/harness/scale.ts';
import { type CounterPeriod, counterPeriods } from './counter-period.ts';
import { CounterTable } from './counter-table.ts';
import { accountId, level, limit, limiterAt, seconds } from './fixtures/levels.ts';
import { naiveStart } from './fixtures/naive-limits.ts';
import { type CounterAmount, levelKinds } from './limits.ts';
import { MemoryLimiter } from './memory-limiter.ts';

const use = {
  kind: 'account',
  id: accountId,
  environment: 'live',
  name: 'hour',
  period: 'hour',
  windowStart: seconds('2026-11-22T12:00:00Z'),
  amount: 3,
} as const satisfies CounterAmount;

const byName = (amounts: Iterable<CounterAmount>) =>
  [...amounts].sort((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b)));

describe('what was stored and recorded', () => {
  const anyUse: fc.Arbitrary<CounterAmount> = fc
    .record({
      kind: fc.constantFrom(...levelKinds),
      id: fc.constant('one'),
      environment: fc.constant('live' as const),
      name: fc.constant('a'),
      period: fc.constantFrom<CounterPeriod[]>(...counterPeriods),
      timeMs: fc.integer({
        min: Date.parse('2026-11-22T11:59:58Z'),
        max: Date.parse('2026-11-22T12:00:02Z'),
      }),
      amount: fc.nat(5),
    })
    .map(({ timeMs, ...rest }) => ({ ...rest, windowStart: naiveStart(rest.period, timeMs) }));

  test('makes the same counters in any order: of the newest window the sum', () => {
    const anyOrder = fc
      .array(anyUse, { maxLength: 60 })
      .chain((uses) => fc.tuple(fc.constant(uses), fc.shuffledSubarray(uses, { minLength: uses.length })));
    fc.assert(
      fc.property(anyOrder, ([uses, shuffled]) => {
        const [table, other] = [new CounterTable(), new CounterTable()];
        for (const one of uses) table.add(one);
        for (const one of shuffled) other.add(one);
        expect(byName(other.amounts(0))).toEqual(byName(table.amounts(0)));
        const copy = new CounterTable();
        for (const one of table.amounts(0)) copy.add(one);
        expect(byName(copy.amounts(0))).toEqual(byName(table.amounts(0)));
      }),
    );
  });

  test('leaves the limits where they stood', () => {
    const { clock, limiter, admitted } = limiterAt('2026-11-22T12:00:00Z');
    const levels = [
      level('key', 'key_a', [limit(10, 'minute')], { quota: { credits: 8, sinceSeconds: 7, refill: null } }),
      level('account', accountId, [limit(6, 'hour'), limit(50, 'month')]),
    ];
    expect(admitted(4, ...levels)).toBe(4);
    const restarted = new MemoryLimiter(() => clock.nowMs);
    for (const one of limiter.amounts()) restarted.add(one);
    expect(restarted.peek({ accountId, levels })).toEqual(limiter.peek({ accountId, levels }));
    expect([1, 2, 3].map(() => restarted.admit({ accountId, levels }).admitted)).toEqual([true, true, false]);
  });

  test('is told from a moment on', () => {
    const table = new CounterTable();
    table.add(use);
    table.add({ ...use, name: 'day', period: 'day', windowStart: seconds('2026-11-22T00:00:00Z') });
    const names = (after: string) => [...table.amounts(seconds(after))].map(({ name }) => name);
    expect(names('2026-11-22T12:59:59Z').sort()).toEqual(['day', 'hour']);
    expect(names('2026-11-22T13:00:00Z')).toEqual(['day']);
  });

  test.each<Partial<CounterAmount>>([
    { amount: -1 },
    { amount: 0.5 },
    { amount: Number.NaN },
    { windowStart: use.windowStart + 1 },
    { windowStart: -3600 },
    { windowStart: Number.NaN },
    { period: 'day' },
    { period: 'month' },
  ])('is not believed where it says %j', (damage) => {
    const table = new CounterTable();
    expect(() => table.add({ ...use, ...damage })).toThrow(RangeError);
    expect(table.size).toBe(0);
  });

  test('does not bring back a window that was dropped, and adds to one that was not', () => {
    const table = new CounterTable();
    table.add(use);
    table.add({
      ...use,
      id: 'acc_live',
      name: 'day',
      period: 'day',
      windowStart: seconds('2026-11-22T00:00:00Z'),
    });
    table.add({ ...use, id: 'acc_live' });
    table.dropExpired(seconds('2026-11-22T13:01:00Z'), 10);
    table.add(use);
    table.add({ ...use, id: 'acc_live' });
    const hours = [...table.amounts(0)].filter(({ period }) => period === 'hour');
    expect(hours).toEqual([{ ...use, id: 'acc_live', amount: 6 }]);
  });
});

describe('memory', () => {
  test('holds nothing of keys whose windows have ended, without a sweep of its own', () => {
    const { clock, limiter, admitted } = limiterAt('2026-11-22T12:00:00Z');
    const count = scaled(2_000, 200_000);
    const send = (index: number) =>
      admitted(
        1,
        level('key', `key_${index}`, [limit(5, 'second'), limit(5, 'minute')]),
        level('account', accountId, []),
      );
    for (let index = 0; index < count; index++) send(index);
    expect(limiter.size).toBe(count);
    clock.nowMs += 120_000;
    for (let index = 0; index < count; index++) send(count + index);
    expect(limiter.size).toBeLessThanOrEqual(count + 1);
    clock.nowMs += 120_000;
    // A single key keeps on; the others go with it.
    for (let index = 0; index < count; index++) send(0);
    expect(limiter.size).toBe(1);
  });

  test('holds nothing for requests that were refused', () => {
    const { limiter, admitted } = limiterAt('2026-11-22T12:00:00Z');
    const closed = level('account', accountId, [limit(0, 'day')]);
    for (let index = 0; index < 100; index++) {
      expect(admitted(1, level('key', `key_${index}`, [limit(5, 'hour')]), closed)).toBe(0);
    }
    expect(limiter.size).toBe(0);
  });

  test('drops a few at a time, and in the end all that have expired and none else', () => {
    const table = new CounterTable();
    for (let index = 0; index < 100; index++) {
      const period = index % 3 === 0 ? 'day' : 'hour';
      table.add({
        ...use,
        id: `acc_${index}`,
        period,
        windowStart: naiveStart(period, use.windowStart * 1000),
      });
    }
    const later = use.windowStart + 3660;
    table.dropExpired(later, 10);
    expect(table.size).toBeGreaterThanOrEqual(90);
    for (let step = 0; step < 20; step++) table.dropExpired(later, 10);
    expect(byName(table.amounts(0)).map(({ period }) => period)).toEqual(Array(34).fill('day'));
  });

  // Attack: a customer renames a limit for every request and leaves a counter behind each time.
  test('does not grow with limits that are renamed', () => {
    const { clock, limiter, admitted } = limiterAt('2026-11-22T12:00:00Z');
    for (let index = 0; index < 1000; index++) {
      expect(
        admitted(1, level('key', 'key_a', [limit(5, 'second', `name${index}`), limit(5000, 'month')])),
      ).toBe(1);
      clock.nowMs += 1000;
    }
    expect([...limiter.amounts()].length).toBeLessThanOrEqual(1 + 61);
  });

  // Attack: limits of a month under new names again and again. Each decision searches what is left of them, and all
  // tenants wait for each other's decisions; so does a start, for as many as were stored.
  test('does not grow with limits that are renamed within their window, and loses none that is in use', () => {
    const { clock, limiter } = limiterAt('2026-11-22T12:00:00Z');
    const quota = { credits: 90_000, sinceSeconds: 7, refill: null };
    const inUse = limit(90_000, 'month', 'in use');
    const count = scaled(5_000, 50_000);
    const renamed = (index: number) =>
      level('key', 'key_a', [inUse, ...['a', 'b', 'c'].map((name) => limit(5, 'month', name + index))], {
        quota,
      });
    const remainingOf = (of: MemoryLimiter) =>
      of.peek({ accountId, levels: [renamed(count)] }).limits.map(({ remaining }) => remaining);
    const stored = [];
    for (let index = 0; index < count; index++) {
      const { limits } = limiter.admit({ accountId, levels: [renamed(index)] });
      stored.push(...limits.map((state) => ({ ...state.level, ...state, amount: state.cost })));
    }
    expect([...limiter.amounts()].length).toBeLessThan(150);
    const restarted = new MemoryLimiter(() => clock.nowMs);
    for (const one of stored) restarted.add(one);
    expect([...restarted.amounts()].length).toBeLessThanOrEqual(512);
    for (const one of [limiter, restarted])
      expect(remainingOf(one)).toEqual([90_000 - count, 5, 5, 5, 90_000 - count]);
    expect([...restarted.amounts()].length).toBe(2);
  });

  test('forgets the counters of a level, and of no other', () => {
    const { limiter, admitted } = limiterAt('2026-11-22T12:00:00Z');
    const [one, other] = ['key_a', 'key_b'].map((id) => level('key', id, [limit(5, 'month')]));
    expect([admitted(9, one!), admitted(9, other!)]).toEqual([5, 5]);
    limiter.forget(one!);
    limiter.forget(level('account', 'key_b', []));
    expect([limiter.size, admitted(9, one!), admitted(9, other!)]).toEqual([1, 5, 0]);
  });
});
