import type { Admission, LimitDecision } from './limit-decision.ts';
import type { LimitLevel, NamedCost } from './limits.ts';

/**
 * Admits requests as far as every limit of every level has room. An implementation decides in one step for which there
 * is no other: all levels are checked, then all are counted, or none.
 *
 * It answers at once where it can and with a promise where it has to ask elsewhere; callers take either.
 */
export interface Limiter {
  /**
   * Decides and, where it admits, counts.
   *
   * @throws RangeError when a cost is no whole number of 0 or more
   * @throws unavailable (503) where what has been counted can't be known: that never means unlimited
   */
  admit(request: LimitRequest): LimitDecision | Promise<LimitDecision>;
  /**
   * Gives back what an admission has counted, for a request that came to nothing. In a window that is over by now there
   * is nothing to give back.
   */
  refund(admission: Admission): void | Promise<void>;
  /** What `admit` would decide now, without counting anything; `remaining` is what there is before the request. */
  peek(request: LimitRequest): LimitDecision | Promise<LimitDecision>;
}

export interface LimitRequest {
  /** Whose counters these are; a store of many shards keeps them together. */
  readonly accountId: string;
  /** Every level that applies, each once. The answer lists their limits in this order. */
  readonly levels: readonly LimitLevel[];
  /**
   * What the request takes from each limit; 1 where it is left out. What costs nothing needs no room; from the limits of
   * an account it takes 1 at least.
   */
  readonly cost?: number | undefined;
  /** What it takes from the limits of these names instead, at every level. */
  readonly namedCosts?: readonly NamedCost[] | undefined;
}
