import { type CounterPeriod, isQuotaPeriod } from './counter-period.ts';
import type { LimitLevel, NamedCost } from './limits.ts';

/** How one limit stands after a decision. */
export interface LimitState {
  readonly level: LimitLevel;
  readonly name: string;
  readonly limit: number;
  /** What is left, the admitted request taken off; 0 where a limit was lowered below what is used already. */
  readonly remaining: number;
  /** When it starts anew, in Unix seconds; null for credits without refill. */
  readonly resetSeconds: number | null;
  /** Whether it has no room for the request. */
  readonly exceeded: boolean;
  /** With the next two: what an admitted request was counted as, for the record that counters are rebuilt from. */
  readonly period: CounterPeriod;
  readonly windowStart: number;
  readonly cost: number;
}

interface LimitReport {
  readonly limits: readonly LimitState[];
  /** The one with the fewest remaining, of these the one with the latest reset; null where no limit governs. */
  readonly tightest: LimitState | null;
  /** When it was decided, by the limiter's clock. */
  readonly nowMs: number;
}

export interface Admission extends LimitReport {
  readonly admitted: true;
}

export interface LimitRefusal extends LimitReport {
  readonly admitted: false;
  /** `quota_exceeded` as soon as credits are among what it lacks. */
  readonly code: 'rate_limited' | 'quota_exceeded';
  /**
   * Whole seconds after which the same request passes, if nothing else is admitted meanwhile; null where waiting does not
   * help: credits are not refilled, or by too few, or the limit is 0.
   */
  readonly retryAfterSeconds: number | null;
}

/** A request that no waiting can help: its sender's mistake, to be answered as one. */
export interface LimitFault extends LimitReport {
  readonly admitted: false;
  /** It costs more than a limit ever has, or puts a price on a limit that no level has. */
  readonly code: 'cost_exceeds_limit' | 'unknown_limit';
  /** The limits in question. */
  readonly names: readonly string[];
}

export type LimitDecision = Admission | LimitRefusal | LimitFault;

/** Whether fewer are left of this one than of the other or, where it is the same, its reset is later. */
export function isTighter(state: LimitState, other: LimitState): boolean {
  if (state.remaining !== other.remaining) return state.remaining < other.remaining;
  return (state.resetSeconds ?? Number.POSITIVE_INFINITY) > (other.resetSeconds ?? Number.POSITIVE_INFINITY);
}

/** The tightest of them; of equal ones the first. */
export function tightestOf(limits: readonly LimitState[]): LimitState | null {
  let tightest: LimitState | null = null;
  for (const state of limits) {
    if (tightest === null || isTighter(state, tightest)) tightest = state;
  }
  return tightest;
}

/**
 * Why a request may not pass that finds the limits like this; null if it may. Its faults come first: what no waiting can
 * help is not answered with a time to wait.
 */
export function obstacleTo(
  limits: readonly LimitState[],
  namedCosts: readonly NamedCost[] | undefined,
  nowMs: number,
): LimitRefusal | LimitFault | null {
  if (namedCosts !== undefined && !namedCosts.every(({ name }) => isNameOf(limits, name))) {
    const unknown = namedCosts.filter(({ name }) => !isNameOf(limits, name));
    return fault('unknown_limit', unknown, limits, nowMs);
  }
  if (!isAnyExceeded(limits)) return null;
  const exceeded = limits.filter((state) => state.exceeded);
  const impossible = exceeded.filter(isBeyondLimit);
  if (impossible.length > 0) return fault('cost_exceeds_limit', impossible, limits, nowMs);
  return {
    admitted: false,
    code: exceeded.some(isQuota) ? 'quota_exceeded' : 'rate_limited',
    retryAfterSeconds: waitFor(limits, nowMs),
    limits,
    tightest: tightestOf(limits),
    nowMs,
  };
}

function isNameOf(limits: readonly LimitState[], wanted: string): boolean {
  return limits.some(({ name }) => name === wanted);
}

function isAnyExceeded(limits: readonly LimitState[]): boolean {
  for (const state of limits) {
    if (state.exceeded) return true;
  }
  return false;
}

/** A limit of 0 refuses what any request costs, so that is no mistake of the request; nor is what credits can't pay. */
function isBeyondLimit(state: LimitState): boolean {
  return !isQuota(state) && state.limit > 0 && state.cost > state.limit;
}

function isQuota({ period }: LimitState): boolean {
  return isQuotaPeriod(period);
}

function waitFor(limits: readonly LimitState[], nowMs: number): number | null {
  let wait = 0;
  for (const state of limits) {
    const { exceeded, resetSeconds } = state;
    if (!exceeded) continue;
    if (resetSeconds === null || (state.limit === 0 && !isQuota(state))) return null;
    wait = Math.max(wait, Math.ceil(resetSeconds - nowMs / 1000));
  }
  return limits.some((state) => isShortAfter(state, nowMs / 1000 + wait)) ? null : wait;
}

/** Whether credits will have been refilled by then, and by too few; there may be more of them now. */
function isShortAfter(state: LimitState, thenSeconds: number): boolean {
  if (!isQuota(state) || state.resetSeconds === null || state.resetSeconds > thenSeconds) return false;
  return state.cost > (state.level.quota?.refill?.amount ?? 0);
}

function fault(
  code: LimitFault['code'],
  named: readonly { name: string }[],
  limits: readonly LimitState[],
  nowMs: number,
): LimitFault {
  const names = [...new Set(named.map(({ name }) => name))];
  return { admitted: false, code, names, limits, tightest: tightestOf(limits), nowMs };
}
