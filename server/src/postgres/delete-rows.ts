import { type RawBuilder, sql } from 'kysely';
import type { Transaction } from './database.ts';

/**
 * For the jobs that delete what nobody accepts any more: for the rest of the transaction, deletions tell the nodes
 * nothing. The parent's own notice has made them forget already.
 */
export async function deleteSilently(tx: Transaction): Promise<void> {
  await sql`select set_config('gatelodge.parent_is_going', 'on', true)`.execute(tx);
}

/** What jobs delete rows of. */
export type DeletedTable =
  | 'api_keys'
  | 'organizations'
  | 'client_secrets'
  | 'clients'
  | 'users'
  | 'groups'
  | 'memberships'
  | 'group_memberships'
  | 'departed_organizations'
  | 'departed_groups'
  | 'sessions'
  | 'refresh_tokens'
  | 'oidc_records'
  | 'oidc_consents'
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
 * @param inOrderOf columns in which an index has the rows that match, for what takes many steps. Without, Postgres may read for
 *   each of them all that match, or all that the steps before have deleted, as it does where its statistics are behind
 * @returns how many it found; fewer than `most` when none are left
 */
export async function deleteRows(
  tx: Transaction,
  table: DeletedTable,
  matches: RawBuilder<unknown>,
  most: number,
  inOrderOf?: RawBuilder<unknown>,
): Promise<number> {
  const isOrdered = inOrderOf !== undefined;
  if (isOrdered) await planOnly(tx, 'index scans');
  // Two statements: with the rows' places as a value, Postgres goes to them straight. Were they a subquery, it might
  // look for each of them among all rows of the account, as it did where its statistics were behind.
  const found = await sql<{ place: string }>`
    select ctid::text as place from ${sql.table(table)} where ${matches}
    ${isOrdered ? sql`order by ${inOrderOf}` : sql``} limit ${most}`.execute(tx);
  const places = found.rows.map(({ place }) => place);
  if (places.length > 0) {
    if (isOrdered) await planOnly(tx, 'places');
    // A place may hold another row by now, so the condition is asked again. A row that has moved meanwhile counts too:
    // fewer than `most` has to mean that none were left to find.
    await sql`
      delete from ${sql.table(table)} where ctid = any (${places}::tid[]) and ${matches}`.execute(tx);
  }
  if (isOrdered) await planOnly(tx, 'what is cheapest');
  return places.length;
}

/** How the statements that follow in the transaction come to their rows, wherever there is such a way. */
async function planOnly(tx: Transaction, by: 'index scans' | 'places' | 'what is cheapest'): Promise<void> {
  const others = by === 'what is cheapest' ? 'on' : 'off';
  const indexes = by === 'places' ? 'off' : 'on';
  await sql`
    select set_config('enable_indexscan', ${indexes}, true), set_config('enable_seqscan', ${others}, true),
      set_config('enable_bitmapscan', ${others}, true), set_config('enable_sort', ${others}, true)`.execute(
    tx,
  );
}
