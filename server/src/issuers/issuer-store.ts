import { type Selectable, sql } from 'kysely';
import type { Principal } from '../authentication/principal.ts';
import { AppError } from '../errors.ts';
import { found, foundUnchanged } from '../http/found.ts';
import { nameContains, type PageRequest, paged } from '../http/listing.ts';
import type { CursorCodec } from '../http/pagination.ts';
import type { Environment } from '../key-profiles/key-profile.ts';
import type { Transaction } from '../postgres/database.ts';
import type { IssuersTable } from '../postgres/schema.ts';

/** An issuer with the id of its sandbox twin. */
export type IssuerRow = Selectable<IssuersTable> & { sandbox_issuer_id: string | null };

/** The issuers a caller can see: all of the account but deleted ones, the sandbox ones only for a sandbox key. */
function visibleIssuers(tx: Transaction, principal: Principal) {
  const query = tx
    .selectFrom('issuers')
    .selectAll('issuers')
    .select((from) =>
      from
        .selectFrom('issuers as twin')
        .select('twin.id')
        .whereRef('twin.twin_of', '=', 'issuers.id')
        .whereRef('twin.account_id', '=', 'issuers.account_id')
        .as('sandbox_issuer_id'),
    )
    .where('issuers.account_id', '=', principal.accountId)
    .where('issuers.deleting', '=', false);
  return principal.environment === 'sandbox' ? query.where('issuers.environment', '=', 'sandbox') : query;
}

/** @throws not_found */
export async function requireIssuer(
  tx: Transaction,
  principal: Principal,
  issuerId: string,
): Promise<IssuerRow> {
  const row = await visibleIssuers(tx, principal).where('issuers.id', '=', issuerId).executeTakeFirst();
  return found(row);
}

/**
 * As `requireIssuer`, and nobody changes it before the transaction ends.
 *
 * @throws not_found, precondition_failed; issuer_suspended for a key of the issuer that has waited for its suspension:
 *   it must not lift that
 */
export async function lockIssuer(
  tx: Transaction,
  principal: Principal,
  issuerId: string,
  ifMatch: string | undefined,
): Promise<IssuerRow> {
  const row = await visibleIssuers(tx, principal)
    .where('issuers.id', '=', issuerId)
    .forUpdate('issuers')
    .executeTakeFirst();
  if (row?.status === 'suspended' && principal.issuerId === row.id) throw new AppError('issuer_suspended');
  return foundUnchanged(row, ifMatch);
}

/** For a live issuer whose twin comes or goes: its answer tells the twin's id, so its ETag has to change. */
export async function raiseVersion(tx: Transaction, accountId: string, issuerId: string): Promise<void> {
  await tx
    .updateTable('issuers')
    .set({ version: sql`version + 1`, updated_at: sql`now()` })
    .where('account_id', '=', accountId)
    .where('id', '=', issuerId)
    .execute();
}

interface IssuerFilter extends PageRequest {
  environment?: Environment | undefined;
  status?: 'active' | 'suspended' | undefined;
  plan?: string | undefined;
  search?: string | undefined;
}

/** One row more than the page holds. */
export function listIssuers(
  tx: Transaction,
  principal: Principal,
  filter: IssuerFilter,
  cursors: CursorCodec,
): Promise<IssuerRow[]> {
  let query = visibleIssuers(tx, principal);
  if (filter.environment) query = query.where('issuers.environment', '=', filter.environment);
  if (filter.status) query = query.where('issuers.status', '=', filter.status);
  if (filter.plan) query = query.where('issuers.plan', '=', filter.plan);
  if (filter.search) query = query.where(nameContains('issuers', filter.search));
  return paged(query, 'issuers', filter, cursors).execute();
}
