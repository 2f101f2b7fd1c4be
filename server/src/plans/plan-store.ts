import { sql } from 'kysely';
import type { Principal } from '../authentication/principal.ts';
import { requireLive } from '../authentication/require-live.ts';
import { AppError, invalidField } from '../errors.ts';
import { requireMatch } from '../http/etag.ts';
import { nameContains, type PageRequest, type Sort } from '../http/listing.ts';
import type { CursorCodec, CursorPosition } from '../http/pagination.ts';
import type { Transaction } from '../postgres/database.ts';
import type { PlanRow } from './plan.ts';

/**
 * The plans of the caller's own account. They say what live traffic may do, so a sandbox key has no part in them.
 *
 * @throws wrong_environment
 */
function ownPlans(tx: Transaction, principal: Principal) {
  requireLive(principal);
  return tx.selectFrom('plans').selectAll('plans').where('plans.account_id', '=', principal.accountId);
}

/** @throws not_found, wrong_environment */
export async function requirePlan(tx: Transaction, principal: Principal, name: string): Promise<PlanRow> {
  const row = await ownPlans(tx, principal).where('plans.name', '=', name).executeTakeFirst();
  if (row === undefined) throw new AppError('not_found');
  return row;
}

/**
 * As `requirePlan`, and nobody changes it before the transaction ends.
 *
 * @param purpose to delete it waits for whoever is putting something on the plan; to change it need not
 * @throws not_found, wrong_environment, precondition_failed
 */
export async function lockPlan(
  tx: Transaction,
  principal: Principal,
  name: string,
  ifMatch: string | undefined,
  purpose: 'change' | 'delete',
): Promise<PlanRow> {
  const query = ownPlans(tx, principal).where('plans.name', '=', name);
  const row = await (purpose === 'delete' ? query.forUpdate() : query.forNoKeyUpdate()).executeTakeFirst();
  if (row === undefined) throw new AppError('not_found');
  requireMatch(ifMatch, row.version);
  return row;
}

interface PlanFilter extends PageRequest {
  search?: string | undefined;
}

/** As exact as a `Date` is, so that a cursor holds where the page ended; by name where several were made at once. */
const createdAt = sql<Date>`date_trunc('milliseconds', plans.created_at)`;

/** One row more than the page holds. A plan has no id, so these are ordered by what they have. */
export function listPlans(
  tx: Transaction,
  principal: Principal,
  filter: PlanFilter,
  cursors: CursorCodec,
): Promise<PlanRow[]> {
  const sort = filter.sort ?? '-created_at';
  const direction = sort.startsWith('-') ? 'desc' : 'asc';
  const operator = sql.raw(sort.startsWith('-') ? '<' : '>');
  const isByName = sort.endsWith('name');
  const position = filter.cursor === undefined ? null : cursors.decode(filter.cursor);
  let query = ownPlans(tx, principal).limit(filter.limit + 1);
  if (filter.search) query = query.where(nameContains('plans', filter.search));
  if (position !== null) {
    query = query.where(
      isByName
        ? sql<boolean>`plans.name ${operator} ${position[0]}`
        : sql<boolean>`(${createdAt}, plans.name) ${operator} (${position[0]}::timestamptz, ${position[1]})`,
    );
  }
  if (!isByName) query = query.orderBy(createdAt, direction);
  return query.orderBy('plans.name', direction).execute();
}

/** Where a row stands in that order. */
export function positionOfPlan(sort: Sort | undefined): (row: PlanRow) => CursorPosition {
  return ({ name, created_at }) => (sort?.endsWith('name') ? [name] : [created_at.toISOString(), name]);
}

/**
 * Makes sure that the account has the plan that an issuer or organization is being put on, and that nobody deletes it
 * before the transaction ends: whoever deletes one waits for this and then finds it in use.
 *
 * @param name null for none, and undefined for what stays as it is: then there is nothing to hold
 * @throws invalid_request (422)
 */
export async function holdPlan(
  tx: Transaction,
  accountId: string,
  name: string | null | undefined,
): Promise<void> {
  if (name == null) return;
  const row = await tx
    .selectFrom('plans')
    .select('name')
    .where('account_id', '=', accountId)
    .where('name', '=', name)
    .forKeyShare()
    .executeTakeFirst();
  if (row === undefined) throw unknownPlan();
}

/** The same for the operator's plans, which accounts are on; the account's own transaction can't see those. */
export async function holdAccountPlan(tx: Transaction, name: string | null | undefined): Promise<void> {
  if (name == null) return;
  const { rows } = await sql<{ is_held: boolean }>`select hold_account_plan(${name}) as is_held`.execute(tx);
  if (rows[0]?.is_held !== true) throw unknownPlan();
}

function unknownPlan(): AppError {
  const fix = 'make it by POST /v1/plans first, name one that is there, or give null for none';
  return invalidField('plan', `is not the name of a plan; ${fix}`, 'unknown_plan');
}

/** What is on a plan. */
export interface PlanUse {
  accounts: number;
  issuers: number;
  organizations: number;
}

/**
 * How many are on a plan of the caller's account; what a job is deleting does not count.
 *
 * For whoever deletes it: once the plan is locked for that, this sees everybody who has put something on it.
 */
export async function countUsers(tx: Transaction, principal: Principal, name: string): Promise<PlanUse> {
  const { accountId, isOperator } = principal;
  const { rows } = await sql<{ issuers: number; organizations: number }>`
    select
      (select count(*) from issuers i where i.account_id = ${accountId} and i.plan = ${name} and not i.deleting) as issuers,
      (select count(*) from organizations o join issuers i on i.id = o.issuer_id and not i.deleting
        where o.account_id = ${accountId} and o.plan = ${name}) as organizations`.execute(tx);
  const { issuers, organizations } = rows[0]!;
  if (!isOperator) return { accounts: 0, issuers, organizations };
  const counted = await sql<{
    accounts: number;
  }>`select lookup_accounts_on_plan(${name}) as accounts`.execute(tx);
  return { accounts: counted.rows[0]!.accounts, issuers, organizations };
}
