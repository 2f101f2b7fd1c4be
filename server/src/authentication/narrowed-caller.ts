import { areRangesWithin } from '../api-keys/ip-ranges.ts';
import { AppError } from '../errors.ts';
import type { Principal } from './principal.ts';

/** What was decided while the caller could do more than it can by now. Decided again, it may well turn out the same. */
export class NarrowedCallerError extends AppError {
  constructor() {
    super('permission_denied', {
      detail: 'The API key was restricted while its request was carried out. Send the request again.',
    });
    this.name = 'NarrowedCallerError';
  }
}

type Power = Pick<Principal, 'permissions' | 'bounds'>;

/** Whether a caller may do anything, or give anything on, that it may not do any more. */
export function isNarrowed(before: Power, after: Power): boolean {
  return (
    isPermissionLost(before.permissions, after.permissions) ||
    isEarlier(before.bounds.expiresAt, after.bounds.expiresAt) ||
    !areRangesWithin(after.bounds.ips, before.bounds.ips)
  );
}

function isPermissionLost(before: Principal['permissions'], after: Principal['permissions']): boolean {
  if (after === 'all') return false;
  return before === 'all' || [...before].some((permission) => !after.has(permission));
}

/** null is never. */
function isEarlier(before: Date | null, after: Date | null): boolean {
  return after !== null && (before === null || after < before);
}
