import { type RawBuilder, sql } from 'kysely';
import { findOwnAccount, findPlanOf } from '../accounts/account-store.ts';
import type { Transaction } from '../postgres/database.ts';
import type { IncludedUsage } from '../postgres/schema.ts';
import type { BilledCustomer, Month } from './statement.ts';
import { endOfBucket } from './usage-range.ts';

interface BilledRow {
  id: string;
  name: string | null;
  plan: string | null;
  included: IncludedUsage | null;
  live: number;
  sandbox: number;
}

/** The account itself, with what the operator's plan that it is on includes. */
export async function billedAccount(
  tx: Transaction,
  accountId: string,
  month: Month,
): Promise<BilledCustomer> {
  const account = await findOwnAccount(tx, accountId);
  const { id, name, plan } = account;
  const { included } = await findPlanOf(tx, account);
  return { type: 'account', id, name, plan, included, used: await usedByAccount(tx, accountId, month) };
}

/** What the valid decisions of a month have cost the account so far. */
export async function usedByAccount(
  tx: Transaction,
  accountId: string,
  month: Month,
): Promise<BilledCustomer['used']> {
  const { rows } = await sql<BilledCustomer['used']>`
    select live, sandbox from ${usedOf('account', accountId, sql`${accountId}`, month)}`.execute(tx);
  return rows[0]!;
}

/**
 * The account's organizations, the newest first: those that there were in the month, and those that were deleted since
 * and used something in it.
 *
 * @param upTo the newest to be told, itself included; null for all
 */
export async function billedOrganizations(
  tx: Transaction,
  accountId: string,
  month: Month,
  upTo: string | null,
  limit: number,
): Promise<BilledCustomer[]> {
  const days: Date[] = [];
  for (let day = month.start; day < month.end; day = endOfBucket('day', day)) days.push(day);
  const upToOf = (column: string) =>
    upTo === null ? sql`` : sql`and ${sql.ref(column)} <= ${upTo} collate "C"`;
  // Those that used something in the month are among those that did so in each of its days.
  const { rows } = await sql<BilledRow>`
    select c.id, o.name, o.plan, p.included, used.live, used.sandbox
    from (
      (select o.id from organizations o
       where o.account_id = ${accountId} and o.created_at < ${month.end} ${upToOf('o.id')}
       order by o.id desc limit ${limit})
      union
      (select distinct of_day.subject_id from unnest(${days}::timestamptz[]) as day (start_at)
       cross join lateral (
         select distinct u.subject_id from usage_buckets u
         where u.account_id = ${accountId} and u.level = 'organization' and u.grain = 'day'
           and u.start_at = day.start_at ${upToOf('u.subject_id')}
         order by u.subject_id desc limit ${limit}
       ) as of_day)
      order by id desc limit ${limit}
    ) as c
    left join organizations o on o.account_id = ${accountId} and o.id = c.id
    left join plans p on p.account_id = ${accountId} and p.name = o.plan
    cross join lateral (select * from ${usedOf('organization', accountId, sql.ref('c.id'), month)}) as used
    order by c.id desc`.execute(tx);
  return rows.map((row) => toCustomer('organization', row));
}

/** All other accounts, the newest first, through the look-up that answers the operator only, and totals only. */
export async function billedAccounts(
  tx: Transaction,
  operatorAccountId: string,
  month: Month,
  upTo: string | null,
  limit: number,
): Promise<BilledCustomer[]> {
  const { rows } = await sql<BilledRow>`
    select * from lookup_statement_accounts(${operatorAccountId}, ${month.start}, ${month.end}, ${upTo}, ${limit})`.execute(
    tx,
  );
  return rows.map((row) => toCustomer('account', row));
}

/** What the valid decisions of a month cost, in one row. */
function usedOf(
  level: 'account' | 'organization',
  accountId: string,
  subject: RawBuilder<unknown>,
  month: Month,
): RawBuilder<unknown> {
  const most = sql`${Number.MAX_SAFE_INTEGER}::bigint`;
  const inEnvironment = (environment: string) =>
    sql`least(coalesce(sum(u.cost) filter (where u.environment = ${environment}), 0), ${most})::bigint`;
  return sql`(
    select ${inEnvironment('live')} as live, ${inEnvironment('sandbox')} as sandbox from usage_buckets u
    where u.account_id = ${accountId} and u.level = ${level} and u.subject_id = ${subject} and u.grain = 'day'
      and u.start_at >= ${month.start} and u.start_at < ${month.end} and u.code = 'VALID' and not u.is_management
  ) as used`;
}

function toCustomer(type: BilledCustomer['type'], { live, sandbox, ...row }: BilledRow): BilledCustomer {
  return { type, ...row, used: { live, sandbox } };
}
