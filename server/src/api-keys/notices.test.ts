import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { scaled } from '../../test/harness/scale.ts';
import { dueNotices, nextNoticeAt } from './notices.ts';

const at = (text: string) => new Date(`${text}T12:00:00.000Z`);
const made = at('2026-01-01');
const key = { expires_at: at('2026-12-31'), rotation_due_at: at('2026-04-01'), rotated_at: null };

describe('the next notice of a key', () => {
  test.each([
    ['2026-01-01', '2026-03-02'],
    ['2026-03-02', '2026-03-25'],
    ['2026-03-25', '2026-03-31'],
    ['2026-03-31', '2026-04-01'],
    ['2026-04-01', '2026-12-01'],
    ['2026-12-01', '2026-12-24'],
    ['2026-12-24', '2026-12-30'],
    ['2026-12-30', null],
  ])('after %s is due on %s', (now, expected) => {
    expect(nextNoticeAt(key, at(now))?.toISOString() ?? null).toBe(expected && at(expected).toISOString());
  });

  test('is none for a key that was rotated, and for one without dates', () => {
    expect(nextNoticeAt({ ...key, rotated_at: made }, made)).toBeNull();
    expect(nextNoticeAt({ expires_at: null, rotation_due_at: null, rotated_at: null }, made)).toBeNull();
  });
});

describe('what is due', () => {
  test('tells the days that are left and the day', () => {
    expect(dueNotices(key, at('2026-03-02'), at('2026-03-03'))).toEqual([
      {
        type: 'api-key.rotation_due',
        data: { days_left: 30, rotation_due_at: key.rotation_due_at.toISOString() },
      },
    ]);
    expect(dueNotices(key, at('2026-12-30'), at('2026-12-30'))).toEqual([
      { type: 'api-key.expiring', data: { days_left: 1, expires_at: key.expires_at.toISOString() } },
    ]);
  });

  test('of each kind is the latest alone, however much was missed', () => {
    const both = { ...key, expires_at: at('2026-04-02') };
    expect(dueNotices(both, made, at('2026-04-01')).map(({ type, data }) => [type, data.days_left])).toEqual([
      ['api-key.expiring', 1],
      ['api-key.rotation_due', 0],
    ]);
  });

  test('is nothing once the key has expired', () => {
    expect(dueNotices(key, made, at('2026-12-31'))).toEqual([]);
  });
});

test('whoever looks at every next notice gives each exactly once, and never looks for ever', () => {
  const day = fc.integer({ min: 0, max: 400 }).map((days) => new Date(made.getTime() + days * 86_400_000));
  fc.assert(
    fc.property(fc.option(day), fc.option(day), (expires_at, rotation_due_at) => {
      const dates = { expires_at, rotation_due_at, rotated_at: null };
      const given: string[] = [];
      let next = nextNoticeAt(dates, made);
      for (let turns = 0; next !== null; turns++) {
        expect(turns).toBeLessThan(8);
        const due = dueNotices(dates, next, next);
        if (expires_at === null || next < expires_at) expect(due.length).toBeGreaterThan(0);
        given.push(...due.map(({ type, data }) => `${type} ${String(data.days_left as number)}`));
        next = nextNoticeAt(dates, next);
      }
      expect(new Set(given).size).toBe(given.length);
    }),
    { numRuns: scaled(200, 5_000) },
  );
});
