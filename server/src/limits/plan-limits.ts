import { LRUCache } from 'lru-cache';
import type { Environment } from '../key-profiles/key-profile.ts';
import type { LevelKind, LimitLevel, WindowLimit } from './limits.ts';

/** What a plan allows, in each environment on its own. */
export interface PlanLimits {
  readonly live: readonly WindowLimit[];
  readonly sandbox: readonly WindowLimit[];
}

/** The level of an account, issuer or organization in each environment; null where nothing limits it. */
export type PlanLevels = Readonly<Record<Environment, LimitLevel | null>>;

/** A thousand organizations on one plan hold its limits once. */
const shared = new LRUCache<string, PlanLimits>({ max: 1_000 });
const none: PlanLevels = Object.freeze({ live: null, sandbox: null });

/**
 * The levels of whoever is on a plan.
 *
 * @param limits of the plan; null where there is none
 */
export function planLevels(
  kind: Exclude<LevelKind, 'key'>,
  id: string,
  limits: PlanLimits | null,
): PlanLevels {
  if (limits === null || (limits.live.length === 0 && limits.sandbox.length === 0)) return none;
  const { live, sandbox } = share(limits);
  return {
    live: live.length === 0 ? null : { kind, id, environment: 'live', limits: live, quota: null },
    sandbox: sandbox.length === 0 ? null : { kind, id, environment: 'sandbox', limits: sandbox, quota: null },
  };
}

function share(limits: PlanLimits): PlanLimits {
  const text = JSON.stringify(limits);
  const held = shared.get(text);
  if (held !== undefined) return held;
  shared.set(text, limits);
  return limits;
}
