import type { OrganizationRow } from './organization-store.ts';

/** An organization as it is answered. */
export function toOrganizationResource(row: OrganizationRow) {
  return {
    id: row.id,
    issuer_id: row.issuer_id,
    name: row.name,
    external_id: row.external_id,
    plan: row.plan,
    metadata: row.metadata,
    status: row.status,
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
  };
}
