import { LRUCache } from 'lru-cache';
import { compileIpRanges } from '../api-keys/ip-ranges.ts';
import type { Environment, KeyKind, KeyProfile } from '../key-profiles/key-profile.ts';
import type { LimitLevel, WindowLimit } from '../limits/limits.ts';
import { type PlanLimits, planLevels } from '../limits/plan-limits.ts';
import { quotaOf, type StoredQuota } from '../limits/quota.ts';
import type { JsonObject } from '../postgres/schema.ts';
import type { AccountRecord, IssuerRecord, KeyRecord, OrganizationRecord } from './records.ts';

/** The members of a look-up's row that describe an account. */
interface AccountColumns {
  account_id: string;
  account_status: AccountRecord['status'];
  account_is_operator: boolean;
  account_plan: string | null;
  account_limits: PlanLimits | null;
}

/** A row of `lookup_issuer_v2`. */
export interface IssuerRow extends AccountColumns {
  id: string;
  status: IssuerRecord['status'];
  environment: Environment;
  publishable_scopes: string[];
  profile: KeyProfile;
  plan: string | null;
  limits: PlanLimits | null;
}

/** A row of `lookup_organization_v2`. */
export interface OrganizationRow {
  id: string;
  account_id: string;
  issuer_id: string;
  name: string;
  external_id: string | null;
  status: OrganizationRecord['status'];
  plan: string | null;
  limits: PlanLimits | null;
}

/** A row of `lookup_api_key_v3`: the key with everything above it. */
export interface KeyRow extends AccountColumns {
  id: string;
  name: string;
  issuer_id: string | null;
  organization_id: string | null;
  kind: KeyKind;
  environment: Environment;
  status: KeyRecord['status'];
  scopes: string[] | null;
  origins: string[];
  browsers: KeyRecord['browsers'];
  require_origin: boolean;
  ips: string[];
  metadata: JsonObject;
  expires_at: Date | null;
  lineage_id: string;
  rotated_at: Date | null;
  is_imported: boolean;
  limits: WindowLimit[];
  quota: StoredQuota | null;
  issuer_status: IssuerRecord['status'] | null;
  issuer_environment: Environment | null;
  issuer_publishable_scopes: string[] | null;
  profile: KeyProfile | null;
  issuer_plan: string | null;
  issuer_limits: PlanLimits | null;
  organization_name: string | null;
  organization_external_id: string | null;
  organization_status: OrganizationRecord['status'] | null;
  organization_plan: string | null;
  organization_limits: PlanLimits | null;
}

/** A million keys mostly share these; one frozen object each instead of one a key. */
const none: readonly string[] = Object.freeze([]);
/** Lists of scopes and origins: neither holds a space, so that one text tells each from every other. */
const sharedTexts = new LRUCache<string, readonly string[]>({ max: 10_000, maxSize: 1_000_000 });
const noMetadata: JsonObject = Object.freeze({}) as JsonObject;

export function toAccountRecord(row: AccountColumns): AccountRecord {
  return {
    id: row.account_id,
    status: row.account_status,
    isOperator: row.account_is_operator,
    plan: row.account_plan,
    levels: planLevels('account', row.account_id, row.account_limits),
    isStale: false,
  };
}

export function toIssuerRecord(row: IssuerRow): IssuerRecord {
  return {
    id: row.id,
    account: toAccountRecord(row),
    status: row.status,
    environment: row.environment,
    profile: row.profile,
    publishableScopes: row.publishable_scopes,
    plan: row.plan,
    levels: planLevels('issuer', row.id, row.limits),
    isStale: false,
  };
}

export function toOrganizationRecord(row: OrganizationRow): OrganizationRecord {
  return {
    id: row.id,
    accountId: row.account_id,
    issuerId: row.issuer_id,
    name: row.name,
    externalId: row.external_id,
    status: row.status,
    plan: row.plan,
    levels: planLevels('organization', row.id, row.limits),
    isStale: false,
  };
}

export function toKeyRecord(row: KeyRow): KeyRecord {
  const account = toAccountRecord(row);
  return {
    id: row.id,
    name: row.name,
    // Constants: of what the driver reads each row has a copy of its own, which a million keys would hold.
    kind: row.kind === 'secret' ? 'secret' : 'publishable',
    environment: row.environment === 'live' ? 'live' : 'sandbox',
    status: row.status === 'active' ? 'active' : row.status === 'disabled' ? 'disabled' : 'revoked',
    expiresAtMs: row.expires_at?.getTime() ?? null,
    scopes: row.scopes && shareTexts(row.scopes),
    origins: shareTexts(row.origins),
    browsers: row.browsers === 'deny' ? 'deny' : 'allow',
    requireOrigin: row.require_origin,
    ips: row.ips.length === 0 ? null : compileIpRanges(row.ips),
    metadata: Object.keys(row.metadata).length === 0 ? noMetadata : row.metadata,
    lineageId: row.lineage_id === row.id ? row.id : row.lineage_id,
    rotatedAtMs: row.rotated_at?.getTime() ?? null,
    isImported: row.is_imported,
    ownLevel: ownLevelOf(row),
    account,
    issuer: issuerOf(row, account),
    organization: organizationOf(row),
  };
}

function issuerOf(row: KeyRow, account: AccountRecord): IssuerRecord | null {
  if (row.issuer_id === null) return null;
  return {
    id: row.issuer_id,
    account,
    status: present(row.issuer_status),
    environment: present(row.issuer_environment),
    profile: present(row.profile),
    publishableScopes: present(row.issuer_publishable_scopes),
    plan: row.issuer_plan,
    levels: planLevels('issuer', row.issuer_id, row.issuer_limits),
    isStale: false,
  };
}

function organizationOf(row: KeyRow): OrganizationRecord | null {
  if (row.organization_id === null) return null;
  return {
    id: row.organization_id,
    accountId: row.account_id,
    issuerId: present(row.issuer_id),
    name: present(row.organization_name),
    externalId: row.organization_external_id,
    status: present(row.organization_status),
    plan: row.organization_plan,
    levels: planLevels('organization', row.organization_id, row.organization_limits),
    isStale: false,
  };
}

function shareTexts(texts: readonly string[]): readonly string[] {
  if (texts.length === 0) return none;
  const text = texts.join(' ');
  const held = sharedTexts.get(text);
  if (held !== undefined) return held;
  sharedTexts.set(text, texts, { size: text.length });
  return texts;
}

/** The key's own limits, counted for its whole line. */
function ownLevelOf({ lineage_id: id, environment, limits, quota }: KeyRow): LimitLevel | null {
  if (limits.length === 0 && quota === null) return null;
  return { kind: 'key', id, environment, limits, quota: quota && quotaOf(quota) };
}

/** Foreign keys promise that the parent's columns are there. */
function present<T>(value: T | null): T {
  if (value === null) throw new Error('an API key without its parent');
  return value;
}
