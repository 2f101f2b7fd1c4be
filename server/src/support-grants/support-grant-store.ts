import { sql } from 'kysely';
import type { Principal } from '../authentication/principal.ts';
import { requireLive } from '../authentication/require-live.ts';
import { AppError } from '../errors.ts';
import { requireMatch } from '../http/etag.ts';
import { type PageRequest, paged } from '../http/listing.ts';
import type { CursorCodec } from '../http/pagination.ts';
import type { Database, Transaction } from '../postgres/database.ts';
import type { SupportGrantRow, SupportGrantStatus } from './support-grant.ts';

const hourMs = 3_600_000;

/**
 * The grants of the caller's account. They open live data, so a sandbox key has no part in them.
 *
 * @throws wrong_environment
 */
function ownGrants(tx: Transaction, principal: Principal) {
  requireLive(principal);
  return tx
    .selectFrom('support_grants')
    .selectAll('support_grants')
    .where('support_grants.account_id', '=', principal.accountId);
}

/** @throws not_found, wrong_environment */
export async function requireSupportGrant(
  tx: Transaction,
  principal: Principal,
  id: string,
): Promise<SupportGrantRow> {
  const row = await ownGrants(tx, principal).where('support_grants.id', '=', id).executeTakeFirst();
  if (row === undefined) throw new AppError('not_found');
  return row;
}

/**
 * As `requireSupportGrant`, and nobody changes it before the transaction ends.
 *
 * @throws not_found, wrong_environment, precondition_failed
 */
export async function lockSupportGrant(
  tx: Transaction,
  principal: Principal,
  id: string,
  ifMatch: string | undefined,
): Promise<SupportGrantRow> {
  const row = await ownGrants(tx, principal)
    .where('support_grants.id', '=', id)
    .forUpdate()
    .executeTakeFirst();
  if (row === undefined) throw new AppError('not_found');
  requireMatch(ifMatch, row.version);
  return row;
}

interface GrantFilter extends PageRequest {
  status?: SupportGrantStatus | undefined;
}

/** Newest first, one row more than the page holds. @throws wrong_environment */
export function listSupportGrants(
  tx: Transaction,
  principal: Principal,
  filter: GrantFilter,
  now: Date,
  cursors: CursorCodec,
): Promise<SupportGrantRow[]> {
  let query = ownGrants(tx, principal);
  if (filter.status === 'revoked') query = query.where('support_grants.revoked_at', 'is not', null);
  else if (filter.status !== undefined) {
    query = query
      .where('support_grants.revoked_at', 'is', null)
      .where('support_grants.expires_at', filter.status === 'active' ? '>' : '<=', now);
  }
  return paged(query, 'support_grants', filter, cursors).execute();
}

/** A grant by which the operator may read at this moment. */
export interface ActiveGrant {
  id: string;
  accountId: string;
}

/**
 * The grant by which the operator may read in an account, if there is one. `accountId` may be any text: what is no id
 * is looked up all the same, so that nothing tells it from an account without a grant.
 */
export async function findActiveGrant(
  database: Database,
  operatorAccountId: string,
  accountId: string,
  now: Date,
): Promise<ActiveGrant | null> {
  const { rows } = await sql<{ id: string; account_id: string }>`
    select id, account_id from lookup_support_grant(${operatorAccountId}, ${accountId}, ${now})`.execute(
    database.lookups,
  );
  const row = rows[0];
  return row === undefined ? null : { id: row.id, accountId: row.account_id };
}

/**
 * Says whether this is the grant's first use in its hour (UTC). One guarded statement: of reads that come at once the
 * first to commit is told so, the others wait for it and are not. It waits for a revocation under way as well, and then
 * there is nothing left to use: no use is told of after the revocation.
 *
 * @throws not_found when the grant has ended since it was found
 */
export async function isFirstUseOfHour(tx: Transaction, grant: ActiveGrant, now: Date): Promise<boolean> {
  const hour = new Date(Math.floor(now.getTime() / hourMs) * hourMs);
  const row = await tx
    .updateTable('support_grants')
    .set({ last_used_hour: hour })
    .where('account_id', '=', grant.accountId)
    .where('id', '=', grant.id)
    .where('revoked_at', 'is', null)
    .where('expires_at', '>', now)
    .where((eb) => eb.or([eb('last_used_hour', 'is', null), eb('last_used_hour', '<', hour)]))
    .returning('id')
    .executeTakeFirst();
  if (row !== undefined) return true;
  // A statement of its own, so that it sees what the one before may have waited for.
  const active = await tx
    .selectFrom('support_grants')
    .select('id')
    .where('account_id', '=', grant.accountId)
    .where('id', '=', grant.id)
    .where('revoked_at', 'is', null)
    .where('expires_at', '>', now)
    .executeTakeFirst();
  if (active === undefined) throw new AppError('not_found');
  return false;
}
