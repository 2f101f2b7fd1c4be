import type { CounterPeriod } from './counter-period.ts';
import type { Quota } from './limits.ts';
import { type WindowSpan, windowAt } from './window.ts';

/** A quota as the row of its key holds it. */
export interface StoredQuota {
  readonly credits: number;
  /** Unix seconds. */
  readonly since: number;
  readonly refill: Quota['refill'];
}

/**
 * Credits that are set now: only what is used from here on counts.
 *
 * @param held the quota that they replace; two in one second would else be taken for one, with what was used of the first
 */
export function setCredits(
  { credits, refill }: Pick<StoredQuota, 'credits' | 'refill'>,
  nowMs: number,
  held: StoredQuota | null = null,
): StoredQuota {
  return { credits, refill, since: Math.max(Math.floor(nowMs / 1000), held === null ? 0 : held.since + 1) };
}

export function quotaOf({ credits, since, refill }: StoredQuota): Quota {
  return { credits, sinceSeconds: since, refill };
}

/** By which counter a quota is counted. */
export function periodOfQuota({ refill }: Quota): CounterPeriod {
  if (refill === null) return 'quota';
  return refill.every === 'day' ? 'quota-day' : 'quota-month';
}

/**
 * From when until when a quota's present credits count: since they were set or refilled, until the next refill.
 *
 * @param present the day or month that is now, as the quota is refilled; for one that is not, all time
 */
export function spanOfQuota({ sinceSeconds, refill }: Quota, present: WindowSpan): WindowSpan {
  if (sinceSeconds <= present.start) return present;
  const isSetInThis = refill === null || sinceSeconds < present.end;
  const end = isSetInThis ? present.end : windowAt(refill.every, sinceSeconds * 1000).end;
  return { start: sinceSeconds, end };
}

/** How many credits there are in the span that begins then. */
export function creditsIn({ credits, sinceSeconds, refill }: Quota, startSeconds: number): number {
  return refill !== null && startSeconds > sinceSeconds ? refill.amount : credits;
}
