import { isIpAllowed } from '../api-keys/ip-ranges.ts';
import { isOriginAllowed } from '../api-keys/origins.ts';
import type { BrowserPolicy, Environment } from '../key-profiles/key-profile.ts';
import { presets } from '../key-profiles/presets.ts';
import { permissionsOfAccount } from '../scopes/scope.ts';
import type { KeyRecord, OrganizationRecord } from './records.ts';
import type { RefusalCode } from './refusals.ts';

/** What a decision looks at besides the key; what is left out was not part of the request. */
export interface DecisionRequest {
  /** The `Origin` header as it came. */
  readonly origin?: string | undefined;
  /** `Origin` or `Sec-Fetch-Site` was there, so a browser sent this; nothing else counts. True whenever `origin` is given. */
  readonly hasBrowserHeaders: boolean;
  /** The client's address. A key with IP restrictions is refused where it is unknown. */
  readonly ip?: string | undefined;
  /** The organization that the request's tenant value names; `unknown` or null where it names none of the issuer's. */
  readonly tenant?: OrganizationRecord | 'unknown' | null | undefined;
  /** Whether the request has a tenant value at all. */
  readonly tenantGiven: boolean;
  /** Whether a request without one is refused, as the profile or the caller wants it. */
  readonly tenantRequired: boolean;
  /** The environment that the caller demands. */
  readonly environment?: Environment | undefined;
  /** The key must hold all of these. */
  readonly scopes: readonly string[];
}

export type DecisionWarning = 'secret_key_in_browser' | 'rotated';

export type DecisionRefusal = Extract<
  RefusalCode,
  | 'revoked_key'
  | 'disabled_key'
  | 'expired_key'
  | 'account_suspended'
  | 'issuer_suspended'
  | 'wrong_environment'
  | 'tenant_required'
  | 'tenant_mismatch'
  | 'tenant_suspended'
  | 'origin_not_allowed'
  | 'secret_key_in_browser'
  | 'ip_not_allowed'
  | 'insufficient_scope'
>;

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
const noScopes: readonly string[] = Object.freeze([]);
const allOfCustomer: readonly string[] = Object.freeze([...permissionsOfAccount({ isOperator: false })]);
const allOfOperator: readonly string[] = Object.freeze([...permissionsOfAccount({ isOperator: true })]);

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
  const tenantRefusal = refusalOfTenant(request, tenant, organization);
  if (tenantRefusal !== null) return refuse(tenantRefusal, organization);
  if (!isFromAllowedOrigin(record, request)) return refuse('origin_not_allowed', organization);
  const policy = exposurePolicy(record, request);
  if (policy === 'deny') return refuse('secret_key_in_browser', organization);
  if (record.ips !== null && (request.ip === undefined || !isIpAllowed(record.ips, request.ip))) {
    return refuse('ip_not_allowed', organization);
  }
  const scopes = effectiveScopes(record);
  if (!holdsAll(scopes, request.scopes)) return refuse('insufficient_scope', organization);
  // Limits come here, last, so that a request refused by any check above consumes nothing.
  return { valid: true, organization, scopes, warnings: warningsOf(record, policy === 'warn') };
}

/**
 * What a key may do: its scopes; for a publishable key only those of them that its issuer marks publishable; for an
 * account's secret key without a list every permission of the account, for any other key without one nothing.
 * Allocates only where a publishable key holds more than it may use.
 */
export function effectiveScopes(record: KeyRecord): readonly string[] {
  const { scopes } = record;
  if (record.kind === 'publishable') {
    const publishable = record.issuer?.publishableScopes ?? noScopes;
    if (scopes === null) return noScopes;
    return holdsAll(publishable, scopes) ? scopes : scopes.filter((scope) => publishable.includes(scope));
  }
  return scopes ?? (record.issuer === null ? allPermissions(record) : noScopes);
}

/** Accounts are live data: a sandbox key has nothing to do with them, whoever holds it (as `toPrincipal` has it). */
function allPermissions({ account, environment }: KeyRecord): readonly string[] {
  return account.isOperator && environment === 'live' ? allOfOperator : allOfCustomer;
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
  if (record.status !== 'active') return record.status === 'disabled' ? 'disabled_key' : 'revoked_key';
  if (record.expiresAtMs !== null && nowMs >= record.expiresAtMs) return 'expired_key';
  if (record.account.status !== 'active') return 'account_suspended';
  if (record.issuer !== null && record.issuer.status !== 'active') return 'issuer_suspended';
  return environment !== undefined && environment !== record.environment ? 'wrong_environment' : null;
}

/** The tenant that the request names, if the key may act for it; one that it may not is never named in an answer. */
function namedTenant(record: KeyRecord, { tenant, tenantGiven }: DecisionRequest): OrganizationRecord | null {
  if (!tenantGiven || tenant === undefined || tenant === null || tenant === 'unknown') return null;
  return mayActFor(record, tenant) ? tenant : null;
}

/** An organization's key acts for it alone, an issuer's key for any of its organizations, an account's key for none. */
function mayActFor(record: KeyRecord, tenant: OrganizationRecord): boolean {
  if (record.organization !== null) return record.organization.id === tenant.id;
  return record.issuer !== null && record.issuer.id === tenant.issuerId;
}

function refusalOfTenant(
  request: DecisionRequest,
  tenant: OrganizationRecord | null,
  organization: OrganizationRecord | null,
): DecisionRefusal | null {
  if (!request.tenantGiven) {
    if (request.tenantRequired) return 'tenant_required';
  } else if (tenant === null) return 'tenant_mismatch';
  // They may be two records of one organization, read at different times; one that says suspended is enough.
  return isSuspended(organization) || isSuspended(tenant) ? 'tenant_suspended' : null;
}

function isSuspended(organization: OrganizationRecord | null): boolean {
  return organization !== null && organization.status !== 'active';
}

function isFromAllowedOrigin(record: KeyRecord, { origin, hasBrowserHeaders }: DecisionRequest): boolean {
  if (record.browsers === 'deny' && hasBrowserHeaders) return false;
  if (record.requireOrigin && (origin === undefined || origin === '')) return false;
  return origin === undefined || isOriginAllowed(record.origins, origin);
}

/** What a secret key in a browser causes; `allow` for every other request. An account's key has the default profile. */
function exposurePolicy(record: KeyRecord, { hasBrowserHeaders }: DecisionRequest): BrowserPolicy {
  if (record.kind !== 'secret' || !hasBrowserHeaders) return 'allow';
  return (record.issuer?.profile ?? presets.standard).secret_keys_in_browsers;
}

function holdsAll(held: readonly string[], wanted: readonly string[]): boolean {
  for (const scope of wanted) {
    if (!held.includes(scope)) return false;
  }
  return true;
}
