import { invalidField } from '../errors.ts';

/** How long a bucket of usage is. Buckets begin with the hour, the day or the month in UTC. */
export const intervals = ['hour', 'day', 'month'] as const;
export type Interval = (typeof intervals)[number];

/** When usage is asked for, in RFC 3339. */
export interface RangeQuery {
  readonly interval: Interval;
  readonly from?: string | undefined;
  readonly to?: string | undefined;
}

/** Which buckets: from the one that begins at `from` to the one that ends at `to`. */
export interface UsageRange {
  readonly interval: Interval;
  readonly from: Date;
  readonly to: Date;
}

/** For how many days there are buckets of an hour; those of a day stay. */
export const hoursKeptDays = 90;

/** No client needs more in one list, and it bounds what a query may look at. */
export const maxBuckets: Readonly<Record<Interval, number>> = { hour: 2_208, day: 1_100, month: 120 };

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

/**
 * The buckets that a query asks for. `to` is now unless given, and `from` 24 hours, 30 days or 12 months before `to`.
 * Buckets are whole: the first is the one in which `from` lies, the last one begins before `to`.
 *
 * @throws invalid_request (422) where `from` is not before `to`, or where there would be too many
 */
export function usageRange({ interval, ...asked }: RangeQuery, now: Date): UsageRange {
  // What happens at this very moment is in it, also where a bucket begins just now.
  const lastMoment = asked.to === undefined ? new Date(now.getTime() + 1) : new Date(asked.to);
  const firstMoment = asked.from === undefined ? defaultFrom(interval, lastMoment) : new Date(asked.from);
  if (firstMoment >= lastMoment)
    throw invalidField('query.from', 'must be before to, which is now unless given');
  const from = startOf(interval, firstMoment);
  const to = endOfBucket(interval, startOf(interval, new Date(lastMoment.getTime() - 1)));
  if (bucketsBetween(interval, from, to) > maxBuckets[interval]) {
    throw invalidField(
      'query.from',
      `must be closer to to: at most ${maxBuckets[interval]} buckets of a${interval === 'hour' ? 'n' : ''} ${interval} are answered at a time`,
    );
  }
  return { interval, from, to };
}

/** When the bucket begins in which this moment lies. */
export function startOf(interval: Interval, moment: Date): Date {
  if (interval === 'month') return new Date(monthMs(moment.getUTCFullYear(), moment.getUTCMonth()));
  const lengthMs = interval === 'hour' ? hourMs : dayMs;
  return new Date(Math.floor(moment.getTime() / lengthMs) * lengthMs);
}

/** When the bucket ends that begins at this moment. */
export function endOfBucket(interval: Interval, start: Date): Date {
  if (interval === 'month') return new Date(monthMs(start.getUTCFullYear(), start.getUTCMonth() + 1));
  return new Date(start.getTime() + (interval === 'hour' ? hourMs : dayMs));
}

function defaultFrom(interval: Interval, to: Date): Date {
  if (interval === 'hour') return new Date(to.getTime() - dayMs);
  if (interval === 'day') return new Date(to.getTime() - 30 * dayMs);
  return new Date(monthMs(to.getUTCFullYear(), to.getUTCMonth() - 12));
}

function bucketsBetween(interval: Interval, from: Date, to: Date): number {
  if (interval !== 'month') return (to.getTime() - from.getTime()) / (interval === 'hour' ? hourMs : dayMs);
  const months = (moment: Date) => moment.getUTCFullYear() * 12 + moment.getUTCMonth();
  return months(to) - months(from);
}

/** The first moment of a month. Unlike `Date.UTC` it takes a year below 100 for what it is. */
function monthMs(year: number, month: number): number {
  return new Date(0).setUTCFullYear(year, month, 1);
}
