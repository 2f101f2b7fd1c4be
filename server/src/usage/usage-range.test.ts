import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { endOfBucket, type Interval, intervals, maxBuckets, startOf, usageRange } from './usage-range.ts';

const now = new Date('2026-11-21T12:34:56.789Z');
const rangeOf = (interval: Interval, from?: string, to?: string) => {
  const range = usageRange({ interval, from, to }, now);
  return [range.from.toISOString(), range.to.toISOString()];
};

describe('unless it says more, a query asks for', () => {
  test.each([
    ['hour', '2026-11-20T12:00:00.000Z', '2026-11-21T13:00:00.000Z'],
    ['day', '2026-10-22T00:00:00.000Z', '2026-11-22T00:00:00.000Z'],
    ['month', '2025-11-01T00:00:00.000Z', '2026-12-01T00:00:00.000Z'],
  ] as const)('the buckets of a %s from %s to %s', (interval, from, to) => {
    expect(rangeOf(interval)).toEqual([from, to]);
  });
});

test('what happens when a bucket begins is in it', () => {
  const midnight = new Date('2026-11-01T00:00:00.000Z');
  for (const interval of intervals)
    expect(usageRange({ interval }, midnight).to).toEqual(endOfBucket(interval, midnight));
});

test.each([
  [
    'hour',
    '2026-01-01T00:59:59+01:00',
    '2026-01-01T01:00:00Z',
    '2025-12-31T23:00:00.000Z',
    '2026-01-01T01:00:00.000Z',
  ],
  [
    'day',
    '2024-02-28T23:59:59Z',
    '2024-02-29T00:00:01Z',
    '2024-02-28T00:00:00.000Z',
    '2024-03-01T00:00:00.000Z',
  ],
  [
    'month',
    '2024-01-31T00:00:00Z',
    '2024-03-01T00:00:00Z',
    '2024-01-01T00:00:00.000Z',
    '2024-03-01T00:00:00.000Z',
  ],
  [
    'month',
    '2024-12-31T23:59:59Z',
    '2025-01-01T00:00:00.001Z',
    '2024-12-01T00:00:00.000Z',
    '2025-02-01T00:00:00.000Z',
  ],
] as const)('buckets of a %s from %s to %s are whole', (interval, from, to, start, end) => {
  expect(rangeOf(interval, from, to)).toEqual([start, end]);
});

describe('is refused', () => {
  const refusal = (interval: Interval, from?: string, to?: string) => () => rangeOf(interval, from, to);

  test('what ends where it begins, or before', () => {
    for (const interval of intervals) {
      expect(refusal(interval, '2026-01-01T00:00:00Z', '2026-01-01T00:00:00Z')).toThrow('invalid_request');
      expect(refusal(interval, '2026-01-02T00:00:00Z', '2026-01-01T00:00:00Z')).toThrow('invalid_request');
      expect(refusal(interval, '2026-11-21T12:34:56.790Z')).toThrow('invalid_request');
    }
  });

  test('more buckets than are answered', () => {
    const lengthMs = { hour: 3_600_000, day: 86_400_000 };
    const to = '2026-11-21T00:00:00.000Z';
    for (const interval of ['hour', 'day'] as const) {
      const from = (count: number) => new Date(Date.parse(to) - count * lengthMs[interval]).toISOString();
      expect(refusal(interval, from(maxBuckets[interval]), to)).not.toThrow();
      expect(refusal(interval, from(maxBuckets[interval] + 1), to)).toThrow('invalid_request');
    }
    expect(refusal('month', '2016-11-30T00:00:00Z', '2026-11-01T00:00:00Z')).not.toThrow();
    expect(refusal('month', '2016-10-31T00:00:00Z', '2026-11-01T00:00:00Z')).toThrow('invalid_request');
  });
});

test('every moment lies in exactly one bucket of each length', () => {
  const moment = fc.date({
    min: new Date(0),
    max: new Date('9999-12-31T23:59:59.999Z'),
    noInvalidDate: true,
  });
  fc.assert(
    fc.property(fc.constantFrom(...intervals), moment, (interval, at) => {
      const start = startOf(interval, at);
      const end = endOfBucket(interval, start);
      expect(start <= at && at < end).toBe(true);
      expect(startOf(interval, start)).toEqual(start);
      expect(startOf(interval, new Date(end.getTime() - 1))).toEqual(start);
      expect(startOf(interval, end)).toEqual(end);
    }),
  );
});
