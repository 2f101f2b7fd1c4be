import { type RawBuilder, sql } from 'kysely';
import type { Transaction } from './database.ts';

/**
 * For the jobs that delete what nobody accepts any more: for the rest of the transaction, deletions tell the nodes
 * nothing. The parent's own notice has made them forget already.
 */
export async function deleteSilently(tx: Transaction): Promise<void> {
  await sql`select set_config('gatelodge.parent_is_going', 'on', true)`.execute(tx);
}

type DeletedTable =
  | 'api_keys'
  | 'organizations'
  | 'client_secrets'
  | 'clients'
  | 'users'
  | 'groups'
  | 'memberships'
  | 'group_memberships'
  | 'departed_organizations'
  | 'sessions'
  | 'refresh_tokens'
  | 'oidc_records'
  | 'logout_notices'
  | 'idempotency_records'
  | 'support_grants'
  | 'plans'
  | 'signing_keys'
  | 'mails'
  | 'issuers'
  | 'usage_buckets'
  | 'key_uses'
  | 'metered_events'
  | 'limit_windows'
  | 'otp_devices'
  | 'otp_addresses'
  | 'otp_failures'
  | 'otp_failed_events'
  | 'login_budgets';

/**
 * Deletes rows that match, at most so many, so that a statement stays far from its timeout.
 *
 * @returns how many it found; fewer than `most` when none are left
 */
export async function deleteRows(
  tx: Transaction,
  table: DeletedTable,
  matches: RawBuilder<unknown>,
  most: number,
): Promise<number> {
  // Two statements: with the rows' places as a value, Postgres goes to them straight. Were they a subquery, it might
  // look for each of them among all rows of the account, as it did where its statistics were behind.
  const found = await sql<{ place: string }>`
    select ctid::text as place from ${sql.table(table)} where ${matches} limit ${most}`.execute(tx);
  const places = found.rows.map(({ place }) => place);
  if (places.length === 0) return 0;
  // A place may hold another row by now, so the condition is asked again. A row that has moved meanwhile counts too:
  // fewer than `most` has to mean that none were left to find.
  await sql`
    delete from ${sql.table(table)} where ctid = any (${places}::tid[]) and ${matches}`.execute(tx);
  return places.length;
}
