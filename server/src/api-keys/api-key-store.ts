import { sql } from 'kysely';
import { z } from 'zod';
import type { Principal } from '../authentication/principal.ts';
import { AppError } from '../errors.ts';
import { foundUnchanged } from '../http/found.ts';
import { nameContains, type PageRequest, paged, positionOf, type Sort, sortQuery } from '../http/listing.ts';
import type { CursorCodec, CursorPosition } from '../http/pagination.ts';
import { requireIssuer } from '../issuers/issuer-store.ts';
import type { KeyProfile } from '../key-profiles/key-profile.ts';
import { findKeyProfile } from '../key-profiles/key-profile-store.ts';
import { requireOrganization } from '../organizations/organization-store.ts';
import type { Transaction } from '../postgres/database.ts';
import type { ApiKeyRow, ApiKeyStatus } from './api-key.ts';
import type { KeyPlace } from './key-rules.ts';
import type { KeyItemParams, KeyPathParams } from './levels.ts';

/** Where a path says that its keys stand, with the profile that makes their looks. @throws not_found */
export async function requirePlace(
  tx: Transaction,
  principal: Principal,
  { issuer_id, org_id }: KeyPathParams,
): Promise<KeyPlace & { profile: KeyProfile | null }> {
  const { accountId } = principal;
  if (issuer_id === undefined) return { accountId, issuer: null, organizationId: null, profile: null };
  const {
    id,
    environment,
    publishable_scopes: publishableScopes,
  } = await requireIssuer(tx, principal, issuer_id);
  const { profile } = await findKeyProfile(tx, accountId, id);
  const organization =
    org_id === undefined ? null : await requireOrganization(tx, principal, { issuer_id, org_id });
  return {
    accountId,
    issuer: { id, environment, publishableScopes },
    organizationId: organization?.id ?? null,
    profile,
  };
}

/**
 * The keys at exactly one place that the caller can see: the sandbox ones only for a sandbox key. When they were last
 * used stands apart from them, so that a key in use is not a key that changes.
 */
function visibleKeys(tx: Transaction, principal: Principal, place: KeyPlace) {
  const query = tx
    .selectFrom('api_keys')
    .leftJoin('key_uses', (join) =>
      join
        .onRef('key_uses.key_id', '=', 'api_keys.id')
        .onRef('key_uses.account_id', '=', 'api_keys.account_id'),
    )
    .selectAll('api_keys')
    .select('key_uses.last_used_at as last_used_at')
    .where('api_keys.account_id', '=', place.accountId)
    .where('api_keys.issuer_id', place.issuer === null ? 'is' : '=', place.issuer?.id ?? null)
    .where('api_keys.organization_id', place.organizationId === null ? 'is' : '=', place.organizationId);
  return principal.environment === 'sandbox' ? query.where('api_keys.environment', '=', 'sandbox') : query;
}

/** null where there is no such key at exactly this place, or none that the caller can see. */
export async function findApiKey(
  tx: Transaction,
  principal: Principal,
  place: KeyPlace,
  keyId: string,
): Promise<ApiKeyRow | null> {
  const row = await visibleKeys(tx, principal, place).where('api_keys.id', '=', keyId).executeTakeFirst();
  return row ?? null;
}

/** @throws not_found */
export async function requireApiKey(
  tx: Transaction,
  principal: Principal,
  place: KeyPlace,
  params: KeyItemParams,
): Promise<ApiKeyRow> {
  const row = await findApiKey(tx, principal, place, params.key_id);
  if (row === null) throw new AppError('not_found');
  return row;
}

/** As `requireApiKey`, and nobody changes it before the transaction ends. @throws not_found, precondition_failed */
export async function lockApiKey(
  tx: Transaction,
  principal: Principal,
  place: KeyPlace,
  params: KeyItemParams,
  ifMatch: string | undefined,
): Promise<ApiKeyRow> {
  const row = await visibleKeys(tx, principal, place)
    .where('api_keys.id', '=', params.key_id)
    .forUpdate('api_keys')
    .executeTakeFirst();
  return foundUnchanged(row, ifMatch);
}

/** The orders of a list of keys. */
export const keySortQuery = z
  .enum([...sortQuery.unwrap().options, '-last_used_at', 'last_used_at'])
  .default('-created_at')
  .describe(
    'Order of the keys; a leading minus is descending. `-last_used_at` has those that were never used at its end.',
  );

type KeySort = z.output<typeof keySortQuery>;

interface KeyFilter extends Omit<PageRequest, 'sort'> {
  sort?: KeySort | undefined;
  status?: ApiKeyStatus | undefined;
  kind?: 'secret' | 'publishable' | undefined;
  environment?: 'live' | 'sandbox' | undefined;
  search?: string | undefined;
}

/** One row more than the page holds. */
export function listApiKeys(
  tx: Transaction,
  principal: Principal,
  place: KeyPlace,
  filter: KeyFilter,
  now: Date,
  cursors: CursorCodec,
): Promise<ApiKeyRow[]> {
  let query = visibleKeys(tx, principal, place);
  if (filter.kind) query = query.where('api_keys.kind', '=', filter.kind);
  if (filter.environment) query = query.where('api_keys.environment', '=', filter.environment);
  if (filter.search) query = query.where(nameContains('api_keys', filter.search));
  // As `endOf` has it; least() passes over nulls.
  const end = sql<Date>`least(api_keys.expires_at, api_keys.retires_at)`;
  if (filter.status === 'expired') {
    query = query.where('api_keys.status', '=', 'active').where(end, '<=', now);
  } else if (filter.status === 'active') {
    query = query
      .where('api_keys.status', '=', 'active')
      .where((eb) => eb.or([eb(end, 'is', null), eb(end, '>', now)]));
  } else if (filter.status) query = query.where('api_keys.status', '=', filter.status);
  const { sort } = filter;
  if (!isByUse(sort)) return paged(query, 'api_keys', { ...filter, sort }, cursors).execute();
  const direction = sort.startsWith('-') ? 'desc' : 'asc';
  // To the millisecond, as a cursor has it.
  const usedAt = sql<Date>`coalesce(date_trunc('milliseconds', key_uses.last_used_at), '-infinity')`;
  if (filter.cursor !== undefined) {
    const [at, id] = cursors.decode(filter.cursor);
    const operator = sql.raw(direction === 'desc' ? '<' : '>');
    query = query.where(sql<boolean>`(${usedAt}, api_keys.id) ${operator} (${at}::timestamptz, ${id})`);
  }
  return query
    .orderBy(usedAt, direction)
    .orderBy('api_keys.id', direction)
    .limit(filter.limit + 1)
    .execute();
}

/** Where a key stands in that order. */
export function keyPositionOf(sort: KeySort | undefined): (row: ApiKeyRow) => CursorPosition {
  if (!isByUse(sort)) return positionOf(sort);
  return ({ id, last_used_at }) => [last_used_at?.toISOString() ?? '-infinity', id];
}

function isByUse(sort: KeySort | undefined): sort is Exclude<KeySort, Sort> {
  return sort?.endsWith('last_used_at') === true;
}
