import type { Environment } from '../key-profiles/key-profile.ts';
import {
  type DecisionRefusal,
  type DecisionRequest,
  effectiveScopes,
  exposurePolicy,
  namedTenant,
  refusalOfAccount,
  refusalOfEnvironment,
  refusalOfExpiry,
  refusalOfExposure,
  refusalOfIp,
  refusalOfIssuer,
  refusalOfOrigin,
  refusalOfScope,
  refusalOfStatus,
  refusalOfTenant,
} from './checks.ts';
import type { KeyRecord, OrganizationRecord } from './records.ts';

export type DecisionWarning = 'secret_key_in_browser' | 'rotated';

export type Decision =
  | {
      readonly valid: true;
      /** The organization the request acts for: the key's own, or the one an issuer's key has chosen. */
      readonly organization: OrganizationRecord | null;
      /** What the key may do, here and now. */
      readonly scopes: readonly string[];
      readonly warnings: readonly DecisionWarning[];
    }
  | {
      readonly valid: false;
      readonly refusal: DecisionRefusal;
      /** As above, as far as it was known when the request was refused. */
      readonly organization: OrganizationRecord | null;
    };

const noWarnings: readonly DecisionWarning[] = Object.freeze([]);
const exposureWarning: readonly DecisionWarning[] = Object.freeze(['secret_key_in_browser'] as const);
const rotationWarning: readonly DecisionWarning[] = Object.freeze(['rotated'] as const);
const bothWarnings: readonly DecisionWarning[] = Object.freeze(['secret_key_in_browser', 'rotated'] as const);

/**
 * Decides whether a key that is known may be used for a request. The first check that fails decides, in the order of
 * the contract: status, expiry, account, issuer, environment, tenant, origin, secret key in a browser, IP, scope.
 * Pure: it neither waits nor counts, and asks nobody whether the records are fresh; that is the caller's to know.
 *
 * @param nowMs milliseconds since 1970; a key has expired from its `expiresAtMs` on
 */
export function decide(record: KeyRecord, request: DecisionRequest, nowMs: number): Decision {
  const early = refusalBeforeTenant(record, request.environment, nowMs);
  if (early !== null) return refuse(early, record.organization);
  const tenant = namedTenant(record, request);
  const organization = record.organization ?? tenant;
  const policy = exposurePolicy(record, request);
  const scopes = effectiveScopes(record);
  const refusal =
    refusalOfTenant(record, request, tenant) ??
    refusalOfOrigin(record, request) ??
    refusalOfExposure(policy) ??
    refusalOfIp(record, request.ip) ??
    refusalOfScope(scopes, request.scopes);
  if (refusal !== null) return refuse(refusal, organization);
  // Limits come here, last, so that a request refused by any check above consumes nothing.
  return { valid: true, organization, scopes, warnings: warningsOf(record, policy === 'warn') };
}

/** Shared lists: a decision that has nothing to warn of allocates none. */
function warningsOf(record: KeyRecord, isExposed: boolean): readonly DecisionWarning[] {
  if (record.rotatedAtMs === null) return isExposed ? exposureWarning : noWarnings;
  return isExposed ? bothWarnings : rotationWarning;
}

function refuse(refusal: DecisionRefusal, organization: OrganizationRecord | null): Decision {
  return { valid: false, refusal, organization };
}

/**
 * The checks that come before the tenant's: the refusal of the first that fails, or null. Who has to wait for the tenant
 * asks this first, so that a dead key costs no look-up and is refused as what it is even where none can be made.
 *
 * @param environment the one that the caller demands
 */
export function refusalBeforeTenant(
  record: KeyRecord,
  environment: Environment | undefined,
  nowMs: number,
): DecisionRefusal | null {
  return (
    refusalOfStatus(record) ??
    refusalOfExpiry(record, nowMs) ??
    refusalOfAccount(record) ??
    refusalOfIssuer(record) ??
    refusalOfEnvironment(record, environment)
  );
}
