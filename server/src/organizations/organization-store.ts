import { type Selectable, sql } from 'kysely';
import type { Principal } from '../authentication/principal.ts';
import { found, foundUnchanged } from '../http/found.ts';
import { nameContains, type PageRequest, paged } from '../http/listing.ts';
import type { CursorCodec } from '../http/pagination.ts';
import { isVisibleIssuer } from '../issuers/visible-issuer.ts';
import type { Transaction } from '../postgres/database.ts';
import type { OrganizationsTable } from '../postgres/schema.ts';

export type OrganizationRow = Selectable<OrganizationsTable>;

/** The organizations of one issuer that the caller can see: none of a deleted issuer, or of a live one for a sandbox key. */
function visibleOrganizations(tx: Transaction, principal: Principal, issuerId: string) {
  return tx
    .selectFrom('organizations')
    .selectAll('organizations')
    .where('organizations.account_id', '=', principal.accountId)
    .where('organizations.issuer_id', '=', issuerId)
    .where(isVisibleIssuer(principal, issuerId));
}

/** @throws not_found */
export async function requireOrganization(
  tx: Transaction,
  principal: Principal,
  params: { issuer_id: string; org_id: string },
): Promise<OrganizationRow> {
  const row = await visibleOrganizations(tx, principal, params.issuer_id)
    .where('organizations.id', '=', params.org_id)
    .executeTakeFirst();
  return found(row);
}

/**
 * As `requireOrganization`, and nobody changes it before the transaction ends.
 *
 * First of all that a transaction locks (see `enterGate`).
 *
 * @throws not_found, precondition_failed
 */
export async function lockOrganization(
  tx: Transaction,
  principal: Principal,
  params: { issuer_id: string; org_id: string },
  ifMatch: string | undefined,
): Promise<OrganizationRow> {
  await enterGate(tx, principal, params, 'alone');
  const row = await visibleOrganizations(tx, principal, params.issuer_id)
    .where('organizations.id', '=', params.org_id)
    .forUpdate('organizations')
    .executeTakeFirst();
  return foundUnchanged(row, ifMatch);
}

/**
 * As `requireOrganization`, and nobody deletes it before the transaction ends.
 *
 * First of all that a transaction locks (see `enterGate`).
 *
 * @param purpose for `members` any number may hold it at once; whoever holds it for `groups` is alone with it, so that
 *   groups are counted, and taken away, while nobody is given one
 * @throws not_found
 */
export async function holdOrganization(
  tx: Transaction,
  principal: Principal,
  params: { issuer_id: string; org_id: string },
  purpose: 'members' | 'groups',
): Promise<OrganizationRow> {
  await enterGate(tx, principal, params, purpose === 'members' ? 'together' : 'alone');
  const query = visibleOrganizations(tx, principal, params.issuer_id).where(
    'organizations.id',
    '=',
    params.org_id,
  );
  const held =
    purpose === 'members' ? query.forShare('organizations') : query.forNoKeyUpdate('organizations');
  const row = await held.executeTakeFirst();
  return found(row);
}

/**
 * The order in which transactions come to an organization's row, until they end. Who would share a row passes those who
 * wait to have it alone, so that a stream of members written by a tenant would keep its owner from suspending it; here
 * nobody passes. The row is locked all the same: others come to it by other ways, as nodes of the build before this one do.
 *
 * A transaction that holds anything else before this may stand in a circle with one that waits for that inside.
 *
 * The names of account and issuer are of the caller, who may be at home in them: so nobody holds the gate of an
 * organization elsewhere whose id it has guessed.
 */
async function enterGate(
  tx: Transaction,
  { accountId }: Principal,
  { issuer_id, org_id }: { issuer_id: string; org_id: string },
  how: 'together' | 'alone',
): Promise<void> {
  const gate = sql`hashtextextended(${`organization ${accountId} ${issuer_id} ${org_id}`}, 0)`;
  await (how === 'together'
    ? sql`select pg_advisory_xact_lock_shared(${gate})`
    : sql`select pg_advisory_xact_lock(${gate})`
  ).execute(tx);
}

interface OrganizationFilter extends PageRequest {
  status?: 'active' | 'suspended' | undefined;
  search?: string | undefined;
  external_id?: string | undefined;
  plan?: string | undefined;
}

/** One row more than the page holds. */
export function listOrganizations(
  tx: Transaction,
  principal: Principal,
  issuerId: string,
  filter: OrganizationFilter,
  cursors: CursorCodec,
): Promise<OrganizationRow[]> {
  let query = visibleOrganizations(tx, principal, issuerId);
  if (filter.status) query = query.where('organizations.status', '=', filter.status);
  if (filter.external_id) query = query.where('organizations.external_id', '=', filter.external_id);
  if (filter.plan) query = query.where('organizations.plan', '=', filter.plan);
  if (filter.search) query = query.where(nameContains('organizations', filter.search));
  return paged(query, 'organizations', filter, cursors).execute();
}
