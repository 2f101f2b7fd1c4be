import type { UserRow } from './user-store.ts';

/** A user as it is answered. */
export function toUserResource(row: UserRow) {
  return {
    id: row.id,
    issuer_id: row.issuer_id,
    username_type: row.username_type,
    username: row.username,
    profile: row.profile,
    metadata: row.metadata,
    status: row.status,
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
  };
}

/** Where mail for this user goes; null for one who is not known by an address. */
export function emailOf({ username_type: type, username }: Pick<UserRow, 'username_type' | 'username'>) {
  return type === 'email' ? username : null;
}
