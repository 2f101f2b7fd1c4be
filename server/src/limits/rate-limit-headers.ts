import type { RateLimitHeaderStyle } from '../key-profiles/key-profile.ts';
import { windowOfPeriod } from './counter-period.ts';
import { isTighter, type LimitDecision, type LimitState } from './limit-decision.ts';
import { limitNamePattern } from './limits.ts';
import { lengthOf } from './window.ts';

/**
 * The headers that tell a client how its limits stand, as a flat list of names and values; none where no limit governs.
 *
 * `x-ratelimit` speaks of the tightest limit. `ietf` (draft-ietf-httpapi-ratelimit-headers) lists them all in
 * `RateLimit-Policy`, the tightest of each name, and the tightest of all in `RateLimit`. A refusal that waiting helps
 * carries `Retry-After` in every style. Credits without refill have no reset, so what would tell it is left out.
 */
export function rateLimitHeaders(decision: LimitDecision, styles: readonly RateLimitHeaderStyle[]): string[] {
  const { limits, tightest, nowMs } = decision;
  const headers: string[] = [];
  if (tightest !== null && styles.includes('x-ratelimit')) {
    headers.push(
      'X-RateLimit-Limit',
      String(tightest.limit),
      'X-RateLimit-Remaining',
      String(tightest.remaining),
    );
    if (tightest.resetSeconds !== null) headers.push('X-RateLimit-Reset', String(tightest.resetSeconds));
  }
  if (tightest !== null && styles.includes('ietf')) {
    const policies = renderPolicies(limits);
    if (policies !== '') headers.push('RateLimit-Policy', policies);
    const name = renderName(tightest.name);
    if (name !== null) headers.push('RateLimit', renderState(name, tightest, nowMs));
  }
  if (!decision.admitted && 'retryAfterSeconds' in decision && decision.retryAfterSeconds !== null) {
    headers.push('Retry-After', String(decision.retryAfterSeconds));
  }
  return headers;
}

function renderPolicies(limits: readonly LimitState[]): string {
  let list = '';
  for (let at = 0; at < limits.length; at++) {
    const state = limits[at]!;
    const name = renderName(state.name);
    if (name === null || isOutdone(state, limits, at)) continue;
    const item = `${name};q=${renderInteger(state.limit)}`;
    const window = windowOfPeriod(state.period);
    const isEndless = window === null || state.resetSeconds === null;
    const policy = isEndless ? item : `${item};w=${lengthOf(window, state.resetSeconds)}`;
    list = list === '' ? policy : `${list}, ${policy}`;
  }
  return list;
}

function renderState(name: string, { remaining, resetSeconds }: LimitState, nowMs: number): string {
  const item = `${name};r=${renderInteger(remaining)}`;
  return resetSeconds === null ? item : `${item};t=${Math.ceil(resetSeconds - nowMs / 1000)}`;
}

/** A name stands once in the list, since `RateLimit` refers to policies by it; levels may share one. */
function isOutdone(state: LimitState, limits: readonly LimitState[], stateAt: number): boolean {
  for (let at = 0; at < limits.length; at++) {
    const other = limits[at]!;
    if (other.name !== state.name || at === stateAt) continue;
    if (isTighter(other, state) || (at < stateAt && !isTighter(state, other))) return true;
  }
  return false;
}

/** A String of RFC 9651 §3.3.3, or null for what it can't hold and what would make the whole field void. */
function renderName(name: string): string | null {
  if (limitNamePattern.test(name)) return `"${name}"`;
  return /^[\x20-\x7e]*$/.test(name) ? `"${name.replaceAll(/["\\]/g, '\\$&')}"` : null;
}

/** Integers have at most 15 digits (RFC 9651 §3.3.1). */
function renderInteger(value: number): number {
  return Math.min(value, 999_999_999_999_999);
}
