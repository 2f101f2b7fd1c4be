import { sql } from 'kysely';
import { AppError } from '../errors.ts';
import { requireMatch } from '../http/etag.ts';
import { nameContains, type PageRequest, paged } from '../http/listing.ts';
import type { CursorCodec } from '../http/pagination.ts';
import { idPrefixes, isId } from '../ids/ids.ts';
import type { PlanLimits } from '../limits/plan-limits.ts';
import type { Transaction } from '../postgres/database.ts';
import type { IncludedUsage } from '../postgres/schema.ts';
import type { AccountRow } from './account.ts';

/** The account whose transaction this is. */
export function findOwnAccount(tx: Transaction, accountId: string): Promise<AccountRow> {
  return tx.selectFrom('accounts').selectAll().where('id', '=', accountId).executeTakeFirstOrThrow();
}

interface AccountPlan {
  limits: PlanLimits;
  included: IncludedUsage;
}

/** Without a plan nothing is limited, and all is included. */
const noPlan: AccountPlan = { limits: { live: [], sandbox: [] }, included: { live: null, sandbox: null } };

/** What the plan says that an account is on: one of the operator's, of which an account sees its own alone. */
export async function findPlanOf(tx: Transaction, { plan }: AccountRow): Promise<AccountPlan> {
  if (plan === null) return noPlan;
  const { rows } = await sql<AccountPlan>`select limits, included from lookup_account_plan(${plan})`.execute(
    tx,
  );
  return rows[0] ?? noPlan;
}

/** As `findOwnAccount`, and nobody changes it before the transaction ends. @throws not_found, precondition_failed */
export async function lockOwnAccount(
  tx: Transaction,
  accountId: string,
  ifMatch: string | undefined,
): Promise<AccountRow> {
  const row = await tx
    .selectFrom('accounts')
    .selectAll()
    .where('id', '=', accountId)
    .forUpdate()
    .executeTakeFirst();
  if (row === undefined) throw new AppError('not_found');
  requireMatch(ifMatch, row.version);
  return row;
}

/** All accounts, through the look-up that answers the operator only. */
function allAccounts(tx: Transaction, operatorAccountId: string) {
  return tx
    .selectFrom(sql<AccountRow>`lookup_accounts(${operatorAccountId})`.as('accounts'))
    .selectAll('accounts');
}

/** Any account, for the operator. @throws not_found */
export async function requireAccount(
  tx: Transaction,
  operatorAccountId: string,
  accountId: string,
): Promise<AccountRow> {
  const row = await allAccounts(tx, operatorAccountId)
    .where('accounts.id', '=', accountId)
    .executeTakeFirst();
  if (row === undefined) throw new AppError('not_found');
  return row;
}

interface AccountFilter extends PageRequest {
  status?: AccountRow['status'] | undefined;
  plan?: string | undefined;
  search?: string | undefined;
}

/** One row more than the page holds. */
export function listAccounts(
  tx: Transaction,
  operatorAccountId: string,
  filter: AccountFilter,
  cursors: CursorCodec,
): Promise<AccountRow[]> {
  let query = allAccounts(tx, operatorAccountId);
  if (filter.status) query = query.where('accounts.status', '=', filter.status);
  if (filter.plan) query = query.where('accounts.plan', '=', filter.plan);
  if (filter.search) query = query.where(nameContains('accounts', filter.search));
  return paged(query as never, 'accounts', filter, cursors).execute() as Promise<AccountRow[]>;
}

/**
 * Turns the rest of the transaction, or the rest up to the next turn, to another account: row-level security shows
 * that one's rows from here on. For the operator's account API alone, which works on the account itself.
 */
export async function turnToAccount(tx: Transaction, accountId: string): Promise<void> {
  if (!isId(idPrefixes.account, accountId)) throw new TypeError('not the id of an account');
  await sql`select set_config('gatelodge.account_id', ${accountId}, true)`.execute(tx);
}
