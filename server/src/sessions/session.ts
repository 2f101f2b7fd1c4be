import type { SessionRow } from './session-store.ts';

/** A session as it is answered at this moment. */
export function toSessionResource(row: SessionRow, now: Date) {
  return {
    id: row.id,
    issuer_id: row.issuer_id,
    user_id: row.user_id,
    client_id: row.client_id,
    amr: row.amr,
    status: statusOf(row, now),
    end_reason: row.end_reason,
    ip: row.ip,
    user_agent: row.user_agent,
    created_at: row.created_at.toISOString(),
    last_used_at: row.last_used_at.toISOString(),
    expires_at: row.expires_at.toISOString(),
    ended_at: row.ended_at?.toISOString() ?? null,
  };
}

function statusOf({ ended_at: endedAt, expires_at: expiresAt }: SessionRow, now: Date) {
  if (endedAt !== null) return 'ended';
  return expiresAt <= now ? 'expired' : 'active';
}
