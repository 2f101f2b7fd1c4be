import type { Principal } from '../authentication/principal.ts';
import type { Environment } from '../key-profiles/key-profile.ts';
import type { LevelKind } from '../limits/limits.ts';

/** By what the buckets of one moment are told apart. */
export const groupings = ['key', 'organization', 'issuer', 'environment', 'code'] as const;
export type Grouping = (typeof groupings)[number];

/** The member of a bucket that says which group it is of. */
export const memberOf = {
  key: 'key_id',
  organization: 'organization_id',
  issuer: 'issuer_id',
  environment: 'environment',
  code: 'code',
} as const satisfies Record<Grouping, string>;

/** What usage is asked for, besides when. */
export interface UsageFilter {
  readonly group_by?: Grouping | undefined;
  readonly key_id?: string | undefined;
  readonly organization_id?: string | undefined;
  readonly issuer_id?: string | undefined;
  readonly environment?: Environment | undefined;
}

type Column = 'subject_id' | 'issuer_id' | 'organization_id' | 'environment' | 'code';

/**
 * Which rows of `usage_buckets` answer a query: those of the highest level that can tell it, so that they are few. Each
 * decision is counted once at each level that it concerns.
 */
export interface UsageSource {
  readonly accountId: string;
  readonly level: LevelKind;
  /** What the columns have to be. The same may be asked of one column twice: then both have to hold. */
  readonly where: readonly { readonly column: Column; readonly value: string }[];
  /** The column of the groups; null for totals. */
  readonly groupColumn: Column | null;
  /** Whether there may be rows of many subjects, and not of one. */
  readonly isOfMany: boolean;
  /**
   * The organization whose own keys alone may be told: its usage is also made of what keys of the issuer do in its name,
   * and those are none of its business.
   */
  readonly ownKeysOf: string | null;
}

/** Only what lies at or below the caller's own level, whatever the filter names. */
export function usageSource(principal: Principal, filter: UsageFilter): UsageSource {
  const { group_by: grouping } = filter;
  const named = {
    account: [principal.accountId],
    issuer: present(principal.issuerId, filter.issuer_id),
    organization: present(principal.organizationId, filter.organization_id),
    key: present(filter.key_id),
  };
  const level = levelsFromBelow.find((kind) => grouping === kind || named[kind].length > 0) ?? 'account';
  const columnOf = (kind: LevelKind): Column =>
    kind === level || kind === 'account' || kind === 'key' ? 'subject_id' : `${kind}_id`;
  // The account itself is a condition of every query already.
  const owners = level === 'account' ? levelsFromBelow : levelsFromBelow.filter((kind) => kind !== 'account');
  const environments = present(
    principal.environment === 'sandbox' ? 'sandbox' : undefined,
    filter.environment,
  );
  return {
    accountId: principal.accountId,
    level,
    where: [
      ...owners.flatMap((kind) => named[kind].map((value) => ({ column: columnOf(kind), value }))),
      ...environments.map((value) => ({ column: 'environment' as const, value })),
    ],
    groupColumn: groupColumn(grouping, columnOf),
    isOfMany: named[level].length === 0,
    ownKeysOf: level === 'key' ? principal.organizationId : null,
  };
}

const levelsFromBelow = ['key', 'organization', 'issuer', 'account'] as const;

function groupColumn(grouping: Grouping | undefined, columnOf: (kind: LevelKind) => Column): Column | null {
  if (grouping === undefined) return null;
  return grouping === 'environment' || grouping === 'code' ? grouping : columnOf(grouping);
}

function present<T>(...values: (T | null | undefined)[]): T[] {
  return values.filter((value): value is T => value !== null && value !== undefined);
}
