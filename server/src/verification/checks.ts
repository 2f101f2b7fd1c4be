import { isIpAllowed } from '../api-keys/ip-ranges.ts';
import { isOriginAllowed } from '../api-keys/origins.ts';
import type { BrowserPolicy, Environment } from '../key-profiles/key-profile.ts';
import { presets } from '../key-profiles/presets.ts';
import { permissionsOfAccount } from '../scopes/scope.ts';
import { holdsAll, meetsDemand, type ScopeDemand } from '../scopes/scope-expression.ts';
import type { KeyRecord, OrganizationRecord } from './records.ts';
import type { RefusalCode } from './refusals.ts';

/**
 * Each check of a key that is known, on its own: what refuses the request, or null. `decide` asks them in order until
 * one refuses, `explain` asks them all; neither knows a rule of its own. None allocates where it passes.
 */

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
  /** What the key must hold: all of a list, or what an expression says. */
  readonly scopes: ScopeDemand;
}

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

const noScopes: readonly string[] = Object.freeze([]);
const allOfCustomer: readonly string[] = Object.freeze([...permissionsOfAccount({ isOperator: false })]);
const allOfOperator: readonly string[] = Object.freeze([...permissionsOfAccount({ isOperator: true })]);

export function refusalOfStatus({ status }: KeyRecord): DecisionRefusal | null {
  if (status === 'active') return null;
  return status === 'disabled' ? 'disabled_key' : 'revoked_key';
}

/** @param nowMs milliseconds since 1970; a key has expired from its `expiresAtMs` on */
export function refusalOfExpiry({ expiresAtMs }: KeyRecord, nowMs: number): DecisionRefusal | null {
  return expiresAtMs !== null && nowMs >= expiresAtMs ? 'expired_key' : null;
}

export function refusalOfAccount({ account }: KeyRecord): DecisionRefusal | null {
  return account.status === 'active' ? null : 'account_suspended';
}

export function refusalOfIssuer({ issuer }: KeyRecord): DecisionRefusal | null {
  return issuer === null || issuer.status === 'active' ? null : 'issuer_suspended';
}

/** @param environment the one that the caller demands */
export function refusalOfEnvironment(
  record: KeyRecord,
  environment: Environment | undefined,
): DecisionRefusal | null {
  return environment !== undefined && environment !== record.environment ? 'wrong_environment' : null;
}

/** The tenant that the request names, if the key may act for it; one that it may not is never named in an answer. */
export function namedTenant(
  record: KeyRecord,
  { tenant, tenantGiven }: DecisionRequest,
): OrganizationRecord | null {
  if (!tenantGiven || tenant === undefined || tenant === null || tenant === 'unknown') return null;
  return mayActFor(record, tenant) ? tenant : null;
}

/** @param tenant `namedTenant` of the same request */
export function refusalOfTenant(
  { organization }: KeyRecord,
  request: DecisionRequest,
  tenant: OrganizationRecord | null,
): DecisionRefusal | null {
  if (!request.tenantGiven) {
    if (request.tenantRequired) return 'tenant_required';
  } else if (tenant === null) return 'tenant_mismatch';
  // They may be two records of one organization, read at different times; one that says suspended is enough.
  return isSuspended(organization) || isSuspended(tenant) ? 'tenant_suspended' : null;
}

export function refusalOfOrigin(
  record: Pick<KeyRecord, 'origins' | 'browsers' | 'requireOrigin'>,
  { origin, hasBrowserHeaders }: Pick<DecisionRequest, 'origin' | 'hasBrowserHeaders'>,
): DecisionRefusal | null {
  const isAllowed =
    !(record.browsers === 'deny' && hasBrowserHeaders) &&
    !(record.requireOrigin && (origin === undefined || origin === '')) &&
    (origin === undefined || isOriginAllowed(record.origins, origin));
  return isAllowed ? null : 'origin_not_allowed';
}

/** What a secret key in a browser causes; `allow` for every other request. An account's key has the default profile. */
export function exposurePolicy(
  record: KeyRecord,
  { hasBrowserHeaders }: Pick<DecisionRequest, 'hasBrowserHeaders'>,
): BrowserPolicy {
  if (record.kind !== 'secret' || !hasBrowserHeaders) return 'allow';
  return (record.issuer?.profile ?? presets.standard).secret_keys_in_browsers;
}

/** @param policy `exposurePolicy` of the same request */
export function refusalOfExposure(policy: BrowserPolicy): DecisionRefusal | null {
  return policy === 'deny' ? 'secret_key_in_browser' : null;
}

export function refusalOfIp({ ips }: Pick<KeyRecord, 'ips'>, ip: string | undefined): DecisionRefusal | null {
  return ips !== null && (ip === undefined || !isIpAllowed(ips, ip)) ? 'ip_not_allowed' : null;
}

/** @param held `effectiveScopes` of the key */
export function refusalOfScope(held: readonly string[], demand: ScopeDemand): DecisionRefusal | null {
  return meetsDemand(held, demand) ? null : 'insufficient_scope';
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

/** An organization's key acts for it alone, an issuer's key for any of its organizations, an account's key for none. */
function mayActFor(record: KeyRecord, tenant: OrganizationRecord): boolean {
  if (record.organization !== null) return record.organization.id === tenant.id;
  return record.issuer !== null && record.issuer.id === tenant.issuerId;
}

function isSuspended(organization: OrganizationRecord | null): boolean {
  return organization !== null && organization.status !== 'active';
}
