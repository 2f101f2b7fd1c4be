import type { Environment } from '../key-profiles/key-profile.ts';
import { startOf } from './usage-range.ts';

/** What an API tells of requests that were let through. */
export interface ReportedOutcome {
  readonly key_id: string;
  readonly organization_id?: string | undefined;
  /** HTTP status of its answer. */
  readonly status: number;
  readonly latency_ms?: number | undefined;
  /** How many requests ended alike; `latency_ms` is their average. */
  readonly count: number;
  readonly at?: string | undefined;
}

/** A key that the caller may report about. */
export interface ReportableKey {
  readonly id: string;
  readonly issuer_id: string | null;
  readonly organization_id: string | null;
  readonly environment: Environment;
}

/** Outcomes of one key, acting for one organization or none, in one hour. */
export interface OutcomeSum {
  readonly key: ReportableKey;
  readonly organizationId: string | null;
  readonly hour: Date;
  reported: number;
  errors: number;
  timed: number;
  latencyMs: number;
}

/** How long ago a request may have been, so that what an API could not tell at once is not lost. */
export const reportableDays = 7;
/** How far the clock of an API may be ahead of ours. */
const clockSlackMs = 300_000;
const dayMs = 86_400_000;

/**
 * Adds outcomes up for the buckets that they go into. What names a key or an organization that the caller may not report
 * about, or a moment that is too long ago or to come, is ignored, and nobody is told why: so it tells nobody what exists.
 *
 * @param issuerOf the issuers of the organizations that the outcomes name, as far as there are such
 * @returns the indexes of those that were ignored, ascending
 */
export function sumOutcomes(
  outcomes: readonly ReportedOutcome[],
  keys: ReadonlyMap<string, ReportableKey>,
  issuerOf: ReadonlyMap<string, string>,
  now: Date,
): { sums: OutcomeSum[]; ignored: number[] } {
  const sums = new Map<string, OutcomeSum>();
  const ignored: number[] = [];
  for (const [index, outcome] of outcomes.entries()) {
    const key = keys.get(outcome.key_id);
    const organizationId = key && organizationOf(key, outcome, issuerOf);
    const at = momentOf(outcome, now);
    if (key === undefined || organizationId === undefined || at === null) {
      ignored.push(index);
      continue;
    }
    const hour = startOf('hour', at);
    const name = `${key.id} ${organizationId} ${hour.getTime()}`;
    const nothing = { key, organizationId, hour, reported: 0, errors: 0, timed: 0, latencyMs: 0 };
    const sum: OutcomeSum = sums.get(name) ?? nothing;
    sums.set(name, sum);
    sum.reported += outcome.count;
    if (outcome.status >= 500) sum.errors += outcome.count;
    if (outcome.latency_ms === undefined) continue;
    sum.timed += outcome.count;
    sum.latencyMs += outcome.latency_ms * outcome.count;
  }
  return { sums: [...sums.values()], ignored };
}

/** The organization that the key acted for; undefined for one that it can't have acted for. */
function organizationOf(
  key: ReportableKey,
  { organization_id: named }: ReportedOutcome,
  issuerOf: ReadonlyMap<string, string>,
): string | null | undefined {
  if (named === undefined || named === key.organization_id) return key.organization_id;
  const isOfItsIssuer = key.issuer_id !== null && issuerOf.get(named) === key.issuer_id;
  return key.organization_id === null && isOfItsIssuer ? named : undefined;
}

/** When it was; null where that can't be. */
function momentOf({ at }: ReportedOutcome, now: Date): Date | null {
  if (at === undefined) return now;
  const moment = new Date(at);
  const aheadMs = moment.getTime() - now.getTime();
  if (aheadMs > clockSlackMs || aheadMs < -reportableDays * dayMs) return null;
  return aheadMs > 0 ? now : moment;
}
