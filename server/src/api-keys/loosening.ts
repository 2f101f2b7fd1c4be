import type { WindowLimit } from '../limits/limits.ts';
import type { StoredQuota } from '../limits/quota.ts';
import type { ApiKeyRow } from './api-key.ts';
import { areRangesWithin } from './ip-ranges.ts';
import { isOriginAllowed } from './origins.ts';

/** What of a key decides what its holder can do with it: every column that a change may take away or give back. */
export type KeyPower = Pick<
  ApiKeyRow,
  'scopes' | 'expires_at' | 'origins' | 'browsers' | 'require_origin' | 'ips' | 'limits' | 'quota'
>;

/**
 * Says whether a key can do anything after a change that it could not do before: live longer, act from elsewhere,
 * under another scope, or more often. Where it can't be told that nothing was given, something was.
 */
export function isLoosened(before: KeyPower, after: KeyPower): boolean {
  return (
    isScopeAdded(before.scopes, after.scopes) ||
    isLater(before.expires_at, after.expires_at) ||
    isOriginAdded(before.origins, after.origins) ||
    (before.browsers === 'deny' && after.browsers === 'allow') ||
    (before.require_origin && !after.require_origin) ||
    !areRangesWithin(before.ips, after.ips) ||
    isLimitLifted(before.limits, after.limits) ||
    isQuotaLifted(before.quota, after.quota)
  );
}

/** null is every permission of the account. */
function isScopeAdded(before: readonly string[] | null, after: readonly string[] | null): boolean {
  if (before === null) return false;
  return after === null || after.some((scope) => !before.includes(scope));
}

/** null is never. */
function isLater(before: Date | null, after: Date | null): boolean {
  return before !== null && (after === null || after > before);
}

/** An empty list is any origin. */
function isOriginAdded(before: readonly string[], after: readonly string[]): boolean {
  if (before.length === 0) return false;
  return (
    after.length === 0 || after.some((origin) => !before.includes(origin) && !isOriginAllowed(before, origin))
  );
}

/** Counters go by name and window: under another name a limit begins anew. */
function isLimitLifted(before: readonly WindowLimit[], after: readonly WindowLimit[]): boolean {
  return before.some(
    ({ name, window, limit }) =>
      !after.some((other) => other.name === name && other.window === window && other.limit <= limit),
  );
}

/** Credits that are set anew, and ones that are refilled in another way, are counted anew. */
function isQuotaLifted(before: StoredQuota | null, after: StoredQuota | null): boolean {
  if (before === null) return false;
  if (after === null || after.since !== before.since || after.credits > before.credits) return true;
  const [was, is] = [before.refill, after.refill];
  if (was === null || is === null) return was !== is;
  return is.every !== was.every || is.amount > was.amount;
}
