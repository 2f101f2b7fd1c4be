import { type RawBuilder, type Selectable, sql } from 'kysely';
import { AppError, invalidField, invalidFields } from '../errors.ts';
import { requireMatch } from '../http/etag.ts';
import { nameContains, type PageRequest, paged } from '../http/listing.ts';
import type { CursorCodec } from '../http/pagination.ts';
import { idPrefixes, newId } from '../ids/ids.ts';
import type { OrganizationRow } from '../organizations/organization-store.ts';
import type { Transaction } from '../postgres/database.ts';
import type { GroupsTable } from '../postgres/schema.ts';
import { bytesOfScopes, maxBytesOfList, maxScopeBytesOfMember } from '../scopes/product-scopes.ts';
import { groupNameKey } from './group-name.ts';
import { groupNameTaken } from './group-name-taken.ts';
import { maxGroups } from './group-schema.ts';

export type GroupRow = Selectable<GroupsTable>;

/** The organization that a path names, which the caller has been found to see. */
export type OrganizationPlace = Pick<OrganizationRow, 'id' | 'account_id' | 'issuer_id'>;

function groupsOf(tx: Transaction, organization: OrganizationPlace) {
  return tx
    .selectFrom('groups')
    .selectAll('groups')
    .where('groups.account_id', '=', organization.account_id)
    .where('groups.issuer_id', '=', organization.issuer_id)
    .where('groups.organization_id', '=', organization.id);
}

/** @throws not_found */
export async function requireGroup(
  tx: Transaction,
  organization: OrganizationPlace,
  groupId: string,
): Promise<GroupRow> {
  const row = await groupsOf(tx, organization).where('groups.id', '=', groupId).executeTakeFirst();
  if (row === undefined) throw new AppError('not_found');
  return row;
}

/** As `requireGroup`, and nobody changes it before the transaction ends. @throws not_found, precondition_failed */
export async function lockGroup(
  tx: Transaction,
  organization: OrganizationPlace,
  groupId: string,
  ifMatch: string | undefined,
): Promise<GroupRow> {
  const row = await groupsOf(tx, organization)
    .where('groups.id', '=', groupId)
    .forUpdate()
    .executeTakeFirst();
  if (row === undefined) throw new AppError('not_found');
  requireMatch(ifMatch, row.version);
  return row;
}

/**
 * The groups that a body names, in its order.
 *
 * @throws invalid_request (422) at each that is no group of the organization
 */
export async function requireNamedGroups(
  tx: Transaction,
  organization: OrganizationPlace,
  groupIds: readonly string[],
): Promise<GroupRow[]> {
  if (groupIds.length === 0) return [];
  const rows = await groupsOf(tx, organization)
    .where('groups.id', 'in', [...groupIds])
    .execute();
  const byId = new Map(rows.map((row) => [row.id, row]));
  const errors = groupIds.flatMap((id, index) =>
    byId.has(id)
      ? []
      : [
          {
            path: `groups[${index}]`,
            message: 'is not the id of a group of this organization; make the group first, or leave it out',
            code: 'unknown_group',
          },
        ],
  );
  if (errors.length > 0) throw invalidFields(errors);
  return groupIds.map((id) => byId.get(id)!);
}

interface GroupFilter extends PageRequest {
  search?: string | undefined;
}

/** One row more than the page holds. */
export function listGroups(
  tx: Transaction,
  organization: OrganizationPlace,
  filter: GroupFilter,
  cursors: CursorCodec,
): Promise<GroupRow[]> {
  let query = groupsOf(tx, organization);
  if (filter.search) query = query.where(nameContains('groups', filter.search));
  return paged(query, 'groups', filter, cursors).execute();
}

/**
 * Makes a group where the organization has room for one.
 *
 * @param organization held for its groups (`holdOrganization`), so that those who come at the same time count each other
 * @throws group_name_taken, limit_reached
 */
export async function insertGroup(
  tx: Transaction,
  organization: OrganizationPlace,
  { name, scopes }: { name: string; scopes: readonly string[] },
): Promise<GroupRow> {
  const { account_id: accountId, issuer_id: issuerId, id: organizationId } = organization;
  const { rows } = await sql<GroupRow>`
    insert into groups (id, account_id, issuer_id, organization_id, name, name_key, scopes, scopes_bytes)
    select ${newId(idPrefixes.group)}, ${accountId}, ${issuerId}, ${organizationId}, ${name}, ${groupNameKey(name)},
      ${[...scopes]}::text[], ${bytesOfScopes(scopes)}::integer
    where (select count(*) from groups g where g.account_id = ${accountId} and g.issuer_id = ${issuerId}
      and g.organization_id = ${organizationId}) < ${maxGroups}::integer
    returning *`
    .execute(tx)
    .catch(groupNameTaken);
  const row = rows[0];
  if (row === undefined) {
    throw new AppError('limit_reached', {
      detail: `An organization has at most ${maxGroups} groups; delete one first.`,
    });
  }
  return row;
}

/**
 * How many members have nothing but this group: without it they would have no scopes.
 *
 * @param organization held for its groups, so that nobody becomes one of them meanwhile
 */
export async function countMembersOfThisGroupAlone(
  tx: Transaction,
  { account_id: accountId, issuer_id: issuerId, id: organizationId }: OrganizationPlace,
  groupId: string,
): Promise<number> {
  // Where statistics are behind, Postgres would read all places of the organization for each member: `offset 0` has it look
  // for the member's own.
  const { rows } = await sql<{ count: number }>`
    with bare as materialized (
      select x.membership_id
      from group_memberships x
      join memberships m on m.id = x.membership_id
      where x.account_id = ${accountId} and x.issuer_id = ${issuerId} and x.organization_id = ${organizationId}
        and x.group_id = ${groupId} and cardinality(m.scopes) = 0
    )
    select count(*)::int as count
    from bare
    where not exists (
      select from (
        select x.group_id from group_memberships x
        where x.account_id = ${accountId} and x.issuer_id = ${issuerId} and x.organization_id = ${organizationId}
          and x.membership_id = bare.membership_id and x.group_id <> ${groupId}
        offset 0
      ) other
      -- What a deleted group has left is nobody's place.
      where other.group_id = any (array(
        select g.id from groups g
        where g.account_id = ${accountId} and g.issuer_id = ${issuerId} and g.organization_id = ${organizationId})))`.execute(
    tx,
  );
  return rows[0]!.count;
}

/**
 * Groups of more members than this are summed up in one pass over all places of the organization, which are to a good part
 * theirs; smaller ones member by member.
 */
const manyPlaces = 10_000;

/**
 * Checks that a group may grow to so many bytes of scopes: no member of it may come to more than a member may have.
 *
 * @param group of an organization that is held for its groups
 * @throws invalid_request (422) at `scopes`
 */
export async function requireRoomOfMembers(tx: Transaction, group: GroupRow, bytes: number): Promise<void> {
  const growth = bytes - group.scopes_bytes;
  const { total, sizes } = await sizesOfGroups(tx, group);
  // Most organizations have so few scopes in all that no member has to be looked at.
  if (total + growth + maxBytesOfList <= maxScopeBytesOfMember) return;
  const places = await placesOf(tx, group, manyPlaces + 1);
  const isFull =
    places.length > manyPlaces
      ? await isAnyFull(tx, group, sizes, growth)
      : await isOneFull(tx, group, sizes, growth, places);
  if (!isFull) return;
  throw invalidField(
    'scopes',
    `a member of the group would come to more than ${maxScopeBytesOfMember} bytes of scopes; name fewer or shorter ones, or take the member out of other groups`,
    'too_many_scopes',
  );
}

/** The bytes of each group by its id, as JSON, and of all together. */
async function sizesOfGroups(
  tx: Transaction,
  { account_id: accountId, issuer_id: issuerId, organization_id: organizationId }: GroupRow,
): Promise<{ total: number; sizes: string }> {
  const rows = await groupsOf(tx, { id: organizationId, account_id: accountId, issuer_id: issuerId })
    .clearSelect()
    .select(['groups.id', 'groups.scopes_bytes'])
    .execute();
  return {
    total: rows.reduce((sum, { scopes_bytes: size }) => sum + size, 0),
    sizes: JSON.stringify(Object.fromEntries(rows.map(({ id, scopes_bytes: size }) => [id, size]))),
  };
}

async function placesOf(tx: Transaction, group: GroupRow, limit: number): Promise<string[]> {
  const rows = await tx
    .selectFrom('group_memberships')
    .select('membership_id')
    .where('account_id', '=', group.account_id)
    .where('issuer_id', '=', group.issuer_id)
    .where('organization_id', '=', group.organization_id)
    .where('group_id', '=', group.id)
    .limit(limit)
    .execute();
  return rows.map(({ membership_id }) => membership_id);
}

/*
 * Neither of these joins anything: where statistics are behind, Postgres would read all there is of the organization for each
 * member. A group that `sizes` doesn't have is deleted, and what it has left counts for nothing.
 */

async function isOneFull(
  tx: Transaction,
  group: GroupRow,
  sizes: string,
  growth: number,
  places: readonly string[],
): Promise<boolean> {
  const { account_id: accountId, issuer_id: issuerId, organization_id: organizationId } = group;
  const { rows } = await sql<{ is_full: boolean }>`
    with sizes as materialized (select ${sizes}::jsonb as of_group)
    select exists (
      select from unnest(${places}::text[]) as mine (id)
      where ${ownBytes(group, sql`mine.id`)} + ${growth}::integer + (
        select sum(((select of_group from sizes) ->> x.group_id)::integer)
        from group_memberships x
        where x.account_id = ${accountId} and x.issuer_id = ${issuerId} and x.organization_id = ${organizationId}
          and x.membership_id = mine.id
      ) > ${maxScopeBytesOfMember}::integer
    ) as is_full`.execute(tx);
  return rows[0]!.is_full;
}

async function isAnyFull(tx: Transaction, group: GroupRow, sizes: string, growth: number): Promise<boolean> {
  const { id, account_id: accountId, issuer_id: issuerId, organization_id: organizationId } = group;
  const { rows } = await sql<{ is_full: boolean }>`
    with sizes as materialized (select ${sizes}::jsonb as of_group)
    select exists (
      select from (
        select x.membership_id, sum(((select of_group from sizes) ->> x.group_id)::integer) as bytes
        from group_memberships x
        where x.account_id = ${accountId} and x.issuer_id = ${issuerId} and x.organization_id = ${organizationId}
        group by x.membership_id
        having bool_or(x.group_id = ${id})
      ) mine
      -- Only of those who might come to too much is the membership looked at.
      where mine.bytes + ${growth + maxBytesOfList}::integer > ${maxScopeBytesOfMember}::integer
        and mine.bytes + ${growth}::integer + ${ownBytes(group, sql`mine.membership_id`)}
          > ${maxScopeBytesOfMember}::integer
    ) as is_full`.execute(tx);
  return rows[0]!.is_full;
}

/** What the member of a membership has of its own. */
function ownBytes(
  { account_id: accountId, issuer_id: issuerId, organization_id: organizationId }: GroupRow,
  membershipId: RawBuilder<unknown>,
): RawBuilder<number> {
  return sql<number>`(
    select m.scopes_bytes from memberships m
    where m.account_id = ${accountId} and m.issuer_id = ${issuerId} and m.organization_id = ${organizationId}
      and m.id = ${membershipId})`;
}
