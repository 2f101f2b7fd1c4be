import type { Selectable } from 'kysely';
import type { AccountsTable } from '../postgres/schema.ts';

export type AccountRow = Selectable<AccountsTable>;

/** An account as it is answered. */
export function toAccountResource(row: AccountRow) {
  return {
    id: row.id,
    name: row.name,
    plan: row.plan,
    status: row.status,
    operator: row.is_operator,
    deletion: row.deletion,
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
  };
}
