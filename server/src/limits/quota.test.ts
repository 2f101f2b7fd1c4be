import fc from 'fast-check';
import { expect, test } from 'vitest';
import { setCredits } from './quota.ts';

test('credits count from the second in which they are set', () => {
  const nowMs = Date.parse('2026-11-21T12:00:00.999Z');
  expect(setCredits({ credits: 5, refill: null }, nowMs)).toEqual({
    credits: 5,
    refill: null,
    since: Date.parse('2026-11-21T12:00:00.000Z') / 1000,
  });
});

// Else what was used of the old ones would be used of the new ones.
test('credits set anew count from later than those before, however soon, on whichever clock', () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 4_000_000_000_000 }), { minLength: 2, maxLength: 20 }), (moments) => {
      let held = setCredits({ credits: 1, refill: null }, moments[0]!);
      for (const nowMs of moments.slice(1)) {
        const next = setCredits({ credits: 1, refill: null }, nowMs, held);
        expect(next.since).toBeGreaterThan(held.since);
        expect(next.since).toBeGreaterThanOrEqual(Math.floor(nowMs / 1000));
        held = next;
      }
    }),
  );
});
