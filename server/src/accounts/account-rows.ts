import { sql } from 'kysely';
import type { Transaction } from '../postgres/database.ts';
import { deleteRows } from '../postgres/delete-rows.ts';

/** Of each table at most so many rows are counted: a count has to end within its request. */
const mostCounted = 500_000;

/**
 * What an account can have many of, those that hang below others first, each with the order in which an index has it. Events
 * are forgotten by a function.
 */
export const leftByAccounts = [
  ['otp_devices', sql`account_id`],
  ['otp_addresses', sql`account_id`],
  ['otp_failures', sql`account_id`],
  ['otp_failed_events', sql`id`],
  ['login_budgets', sql`kind, subject`],
  ['group_memberships', sql`issuer_id, organization_id, group_id, membership_id`],
  ['memberships', sql`issuer_id, organization_id, id`],
  ['groups', sql`issuer_id, organization_id, id`],
  ['departed_organizations', sql`issuer_id`],
  ['departed_groups', sql`issuer_id`],
  ['api_keys', sql`account_id`],
  ['organizations', sql`issuer_id, id`],
  ['oidc_records', sql`issuer_id`],
  ['logout_notices', sql`issuer_id`],
  ['refresh_tokens', sql`issuer_id, session_id`],
  ['sessions', sql`issuer_id, id`],
  ['client_secrets', sql`issuer_id, client_id, id desc`],
  ['clients', sql`issuer_id, id`],
  ['oidc_consents', sql`issuer_id, user_id`],
  ['users', sql`issuer_id, id`],
  ['events', sql`id desc`],
  ['idempotency_records', sql`id`],
  ['support_grants', sql`id desc`],
  ['plans', sql`name`],
  ['signing_keys', sql`issuer_id, id desc`],
  ['mails', sql`issuer_id, id desc`],
  ['issuers', sql`id`],
  ['usage_buckets', sql`level, grain, start_at, subject_id`],
  ['key_uses', sql`account_id`],
  ['metered_events', sql`id`],
  ['limit_windows', sql`kind, subject_id, environment, name, period`],
] as const;

/** How many rows the deletion of this transaction's account has to delete one by one, counting at most 500,000 a table. */
export async function countRowsBelow(tx: Transaction, accountId: string): Promise<number> {
  // Of each table by itself: a statement for all would have to count them all within one timeout.
  // One more than there are: the event that tells of the deletion is still to come.
  let total = 1;
  for (const [table] of leftByAccounts) {
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
  for (const [table, order] of leftByAccounts) {
    const rest = most - deleted;
    if (rest === 0) break;
    deleted +=
      table === 'events'
        ? await forgetEvents(tx, accountId, rest)
        : await deleteRows(tx, table, sql`account_id = ${accountId}`, rest, order);
  }
  return deleted;
}

/** The service can't delete events; a function can that looks at the account's status itself. */
async function forgetEvents(tx: Transaction, accountId: string, most: number): Promise<number> {
  const { rows } = await sql<{ deleted: number }>`
    select forget_events(${accountId}, ${most}::int) as deleted`.execute(tx);
  return Number(rows[0]?.deleted ?? 0);
}
