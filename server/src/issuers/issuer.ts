import type { IssuerRow } from './issuer-store.ts';

/** An issuer as it is answered. */
export function toIssuerResource(row: IssuerRow) {
  return {
    id: row.id,
    account_id: row.account_id,
    name: row.name,
    environment: row.environment,
    status: row.status,
    publishable_scopes: row.publishable_scopes,
    plan: row.plan,
    sandbox_issuer_id: row.sandbox_issuer_id,
    sandbox_of: row.twin_of,
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
  };
}
