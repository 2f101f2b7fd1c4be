import { sql } from 'kysely';
import type { Transaction } from '../postgres/database.ts';
import { deleteRows } from '../postgres/delete-rows.ts';

/** Of each table at most so many rows are counted: a count has to end within its request. */
const mostCounted = 500_000;

/** What an account can have many of, those that hang below others first. */
const tables = [
  'otp_devices',
  'otp_addresses',
  'otp_failures',
  'otp_failed_events',
  'login_budgets',
  'group_memberships',
  'memberships',
  'groups',
  'departed_organizations',
  'departed_groups',
  'api_keys',
  'organizations',
  'oidc_records',
  'logout_notices',
  'refresh_tokens',
  'sessions',
  'client_secrets',
  'clients',
  'users',
  'events',
  'idempotency_records',
  'support_grants',
  'plans',
  'signing_keys',
  'mails',
  'issuers',
  'usage_buckets',
  'key_uses',
  'metered_events',
  'limit_windows',
] as const;

/** How many rows the deletion of this transaction's account has to delete one by one, counting at most 500,000 a table. */
export async function countRowsBelow(tx: Transaction, accountId: string): Promise<number> {
  // Of each table by itself: a statement for all would have to count them all within one timeout.
  // One more than there are: the event that tells of the deletion is still to come.
  let total = 1;
  for (const table of tables) {
    const { rows } = await sql<{ count: number }>`
      select count(*)::int as count
      from (select from ${sql.table(table)} where account_id = ${accountId} limit ${mostCounted}) counted`.execute(
      tx,
    );
    total += rows[0]!.count;
  }
  return total;
}

/** Deletes at most so many rows of an account that is being deleted. Answers how many; fewer when none are left. */
export async function deleteRowsBelow(tx: Transaction, accountId: string, most: number): Promise<number> {
  let deleted = 0;
  for (const table of tables) {
    const rest = most - deleted;
    if (rest === 0) break;
    deleted +=
      table === 'events'
        ? await forgetEvents(tx, accountId, rest)
        : await deleteRows(tx, table, sql`account_id = ${accountId}`, rest);
  }
  return deleted;
}

/** The service can't delete events; a function can that looks at the account's status itself. */
async function forgetEvents(tx: Transaction, accountId: string, most: number): Promise<number> {
  const { rows } = await sql<{ deleted: number }>`
    select forget_events(${accountId}, ${most}::int) as deleted`.execute(tx);
  return Number(rows[0]?.deleted ?? 0);
}
