import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { lengthOf, type Window, windowAt, windows } from './window.ts';

const iso = (secondsSince1970: number) => new Date(secondsSince1970 * 1000).toISOString();

describe('windowAt', () => {
  test.each<[Window, string, string, string]>([
    ['second', '2026-11-22T03:04:05.678Z', '2026-11-22T03:04:05.000Z', '2026-11-22T03:04:06.000Z'],
    ['minute', '2026-11-22T03:04:05.678Z', '2026-11-22T03:04:00.000Z', '2026-11-22T03:05:00.000Z'],
    ['hour', '2026-11-22T03:04:05.678Z', '2026-11-22T03:00:00.000Z', '2026-11-22T04:00:00.000Z'],
    ['day', '2026-11-22T03:04:05.678Z', '2026-11-22T00:00:00.000Z', '2026-11-23T00:00:00.000Z'],
    ['month', '2026-11-22T03:04:05.678Z', '2026-11-01T00:00:00.000Z', '2026-12-01T00:00:00.000Z'],
    ['month', '2026-12-31T23:59:59.999Z', '2026-12-01T00:00:00.000Z', '2027-01-01T00:00:00.000Z'],
    ['month', '2027-01-01T00:00:00.000Z', '2027-01-01T00:00:00.000Z', '2027-02-01T00:00:00.000Z'],
    ['month', '2027-02-28T23:59:59.999Z', '2027-02-01T00:00:00.000Z', '2027-03-01T00:00:00.000Z'],
    ['month', '2028-02-29T00:00:00.000Z', '2028-02-01T00:00:00.000Z', '2028-03-01T00:00:00.000Z'],
    ['month', '2000-02-29T12:00:00.000Z', '2000-02-01T00:00:00.000Z', '2000-03-01T00:00:00.000Z'],
    ['month', '2100-02-28T12:00:00.000Z', '2100-02-01T00:00:00.000Z', '2100-03-01T00:00:00.000Z'],
    ['day', '1969-12-31T12:00:00.000Z', '1969-12-31T00:00:00.000Z', '1970-01-01T00:00:00.000Z'],
  ])('the %s of %s', (window, time, start, end) => {
    const span = windowAt(window, Date.parse(time));
    expect([iso(span.start), iso(span.end)]).toEqual([start, end]);
  });

  test('begins where the UTC calendar says, whatever the time zone of the node', () => {
    const zones = ['Pacific/Kiritimati', 'America/St_Johns', 'Asia/Kathmandu'];
    const before = process.env.TZ;
    try {
      for (const zone of zones) {
        process.env.TZ = zone;
        const { start, end } = windowAt('month', Date.parse('2026-11-30T23:59:59Z'));
        expect([iso(start), iso(end)]).toEqual(['2026-11-01T00:00:00.000Z', '2026-12-01T00:00:00.000Z']);
      }
    } finally {
      if (before === undefined) delete process.env.TZ;
      else process.env.TZ = before;
    }
  });

  const timeMs = fc.integer({ min: 0, max: Date.parse('2400-01-01T00:00:00Z') });
  const shown = { second: 19, minute: 16, hour: 13, day: 10, month: 7 } as const;

  test('holds exactly the moments that are written alike up to it', () => {
    fc.assert(
      fc.property(fc.constantFrom(...windows), timeMs, (window, time) => {
        const { start, end } = windowAt(window, time);
        const written = (ms: number) => new Date(ms).toISOString().slice(0, shown[window]);
        expect(start * 1000 <= time && time < end * 1000).toBe(true);
        expect([written(start * 1000), written(end * 1000 - 1)]).toEqual([written(time), written(time)]);
        expect(written(start * 1000 - 1)).not.toBe(written(time));
        expect(written(end * 1000)).not.toBe(written(time));
      }),
    );
  });

  test('ends where the next begins, and knows its length', () => {
    fc.assert(
      fc.property(fc.constantFrom(...windows), timeMs, (window, time) => {
        const { start, end } = windowAt(window, time);
        expect(windowAt(window, end * 1000).start).toBe(end);
        expect(lengthOf(window, end)).toBe(end - start);
      }),
    );
  });
});
