import type { Selectable } from 'kysely';
import type { StoredQuota } from '../limits/quota.ts';
import type { ApiKeysTable } from '../postgres/schema.ts';

export type ApiKeyRow = Selectable<ApiKeysTable>;

export type ApiKeyStatus = 'active' | 'disabled' | 'revoked' | 'expired';

/** Disabling and revoking are what somebody did, so they outrank the passing of time. */
export function statusOf(
  row: Pick<ApiKeyRow, 'status' | 'expires_at' | 'retires_at'>,
  now: Date,
): ApiKeyStatus {
  const endsAt = endOf(row);
  const hasExpired = endsAt !== null && endsAt <= now;
  return row.status === 'active' && hasExpired ? 'expired' : row.status;
}

/** When the key stops working by itself: its expiry, or the end of the grace after its rotation; null for never. */
export function endOf({ expires_at, retires_at }: Pick<ApiKeyRow, 'expires_at' | 'retires_at'>): Date | null {
  if (expires_at === null || retires_at === null) return expires_at ?? retires_at;
  return expires_at < retires_at ? expires_at : retires_at;
}

/** A key as it is answered: everything but the secret, which nobody has any more. */
export function toApiKeyResource(row: ApiKeyRow, now: Date) {
  return {
    id: row.id,
    type: 'api_key',
    account_id: row.account_id,
    issuer_id: row.issuer_id,
    organization_id: row.organization_id,
    name: row.name,
    description: row.description,
    kind: row.kind,
    environment: row.environment,
    status: statusOf(row, now),
    hint: row.hint,
    restrictions: restrictionsOf(row),
    limits: row.limits,
    quota: termsOf(row.quota),
    metadata: row.metadata,
    expires_at: row.expires_at?.toISOString() ?? null,
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
    created_by: row.created_by,
    last_used_at: row.last_used_at?.toISOString() ?? null,
    rotation_due_at: row.rotation_due_at?.toISOString() ?? null,
    revoked_at: row.revoked_at?.toISOString() ?? null,
    imported: row.import_batch !== null,
    lineage_id: row.lineage_id ?? row.id,
    predecessor_id: row.predecessor_id,
    successor_id: row.successor_id,
    rotated_at: row.rotated_at?.toISOString() ?? null,
    retires_at: row.retires_at?.toISOString() ?? null,
    retire: row.retire,
  };
}

/** What a key may do and where from, as it is answered. */
export function restrictionsOf(row: ApiKeyRow) {
  return {
    scopes: row.scopes,
    origins: row.origins,
    browsers: row.browsers,
    require_origin: row.require_origin,
    ips: row.ips,
  };
}

/** A quota as it is answered: since when it counts is the limiter's affair. */
export function termsOf(quota: StoredQuota | null): Pick<StoredQuota, 'credits' | 'refill'> | null {
  return quota && { credits: quota.credits, refill: quota.refill };
}
