import type { Environment } from '../key-profiles/key-profile.ts';
import type { ManagementPermission } from '../scopes/scope.ts';
import type { KeyRecord } from '../verification/records.ts';

/** The caller of a management operation: a key that has passed every check on itself. */
export interface Principal {
  readonly keyId: string;
  /** The first key of its line of rotations, whose keys are one credential as far as limits go. */
  readonly lineageId: string;
  readonly accountId: string;
  /** null for an account's own key. */
  readonly issuerId: string | null;
  /** null for a key of an account or an issuer. */
  readonly organizationId: string | null;
  readonly environment: Environment;
  /** What the key may do; `all` is every permission of its account. */
  readonly permissions: ReadonlySet<string> | 'all';
  readonly isOperator: boolean;
  /** Until when and from where the key itself works: what it may do in Gatelodge it can't pass on beyond them. */
  readonly bounds: { readonly expiresAt: Date | null; readonly ips: readonly string[] };
  /** The grant by which the operator's key reads in this account; null for a key that is in its own. */
  readonly supportGrantId: string | null;
  /** What the caller showed; answers kept for replays are encrypted under it. Never logged. */
  readonly presentedSecret: string;
}

/** The principal that a key which has passed its checks makes. */
export function toPrincipal(record: KeyRecord, presentedSecret: string): Principal {
  return {
    keyId: record.id,
    lineageId: record.lineageId,
    accountId: record.account.id,
    issuerId: record.issuer?.id ?? null,
    organizationId: record.organization?.id ?? null,
    environment: record.environment,
    permissions: permissionsOf(record.scopes, record.issuer?.id ?? null),
    bounds: nothingYet,
    // Accounts are live data, which a sandbox key never touches.
    isOperator: record.account.isOperator && record.issuer === null && record.environment === 'live',
    supportGrantId: null,
    presentedSecret,
  };
}

/** Before `confirmCaller` has read the key's row nobody may pass anything on. */
const nothingYet: Principal['bounds'] = Object.freeze({ expiresAt: new Date(0), ips: ['127.0.0.255/32'] });

/** What a key may do: its scopes, or everything for an account's key without a list. */
export function permissionsOf(
  scopes: readonly string[] | null,
  issuerId: string | null,
): Principal['permissions'] {
  return scopes === null && issuerId === null ? 'all' : new Set(scopes ?? []);
}

/** Deny by default: only what is granted by name, or everything for an account key without a list. */
export function mayDo(principal: Principal, permission: ManagementPermission): boolean {
  return principal.permissions === 'all' || principal.permissions.has(permission);
}
