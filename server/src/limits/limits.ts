import type { Environment } from '../key-profiles/key-profile.ts';
import type { CounterPeriod } from './counter-period.ts';
import type { Window } from './window.ts';

/** What a limit may be called: it stands in header fields, in quotes, and in the requests that name their costs. */
export const limitNamePattern = /^[A-Za-z0-9_.:-]{1,64}$/;

/** How much may be used in each window. */
export interface WindowLimit {
  readonly name: string;
  /** A whole number; 0 refuses everything that costs something. */
  readonly limit: number;
  readonly window: Window;
}

/** What quotas are called where limits are named. */
export const quotaName = 'quota';

/** Credits that are used up, whether or not they are filled up again. */
export interface Quota {
  /** How many there were at `sinceSeconds`. */
  readonly credits: number;
  /**
   * When they were last set, in Unix seconds: only what has been used since then counts. Who sets them anew moves this
   * forward, by a second at least; else what was used of the old ones is used of the new ones.
   */
  readonly sinceSeconds: number;
  /** Every day or month after that (in UTC) there are so many again; what was left is not added. */
  readonly refill: { readonly amount: number; readonly every: 'day' | 'month' } | null;
}

/** From the narrowest to the widest; the key's stands for its whole line of rotations. */
export const levelKinds = ['key', 'organization', 'issuer', 'account'] as const;
export type LevelKind = (typeof levelKinds)[number];

/** Whose use is counted together: at one level, in one environment. */
export interface LevelName {
  readonly kind: LevelKind;
  /** Of the organization, issuer or account; for keys the id of the lineage, so that rotating a key resets nothing. */
  readonly id: string;
  readonly environment: Environment;
}

/** What one level allows. */
export interface LimitLevel extends LevelName {
  /** No two of them with the same name and window. */
  readonly limits: readonly WindowLimit[];
  readonly quota: Quota | null;
}

/** What has been used in one window of one limit. */
export interface CounterAmount extends LevelName {
  readonly name: string;
  readonly period: CounterPeriod;
  /** Unix seconds. Of a quota: where its credits, or the refilled ones, began to count. */
  readonly windowStart: number;
  readonly amount: number;
}

/** What a request takes from the limits of a name. */
export interface NamedCost {
  readonly name: string;
  /** A whole number of 0 or more. */
  readonly cost: number;
}
