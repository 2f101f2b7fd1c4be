import type { Selectable } from 'kysely';
import type { SupportGrantsTable } from '../postgres/schema.ts';

export type SupportGrantRow = Selectable<SupportGrantsTable>;

export const supportGrantStatuses = ['active', 'expired', 'revoked'] as const;
export type SupportGrantStatus = (typeof supportGrantStatuses)[number];

/** Revoking is what somebody did, so it outranks the passing of time. */
export function statusOf(
  row: Pick<SupportGrantRow, 'revoked_at' | 'expires_at'>,
  now: Date,
): SupportGrantStatus {
  if (row.revoked_at !== null) return 'revoked';
  return row.expires_at <= now ? 'expired' : 'active';
}

/** A grant as it is answered. */
export function toSupportGrantResource(row: SupportGrantRow, now: Date) {
  return {
    id: row.id,
    account_id: row.account_id,
    reason: row.reason,
    status: statusOf(row, now),
    created_by: row.created_by,
    created_at: row.created_at.toISOString(),
    expires_at: row.expires_at.toISOString(),
    revoked_at: row.revoked_at?.toISOString() ?? null,
    last_used_hour: row.last_used_hour?.toISOString() ?? null,
  };
}
