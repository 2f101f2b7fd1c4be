import type { GroupRow } from './group-store.ts';

/** A group as it is answered. */
export function toGroupResource(row: GroupRow) {
  return {
    id: row.id,
    issuer_id: row.issuer_id,
    organization_id: row.organization_id,
    name: row.name,
    scopes: row.scopes,
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
  };
}
