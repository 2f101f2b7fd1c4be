import { type Selectable, sql } from 'kysely';
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
  // Where statistics are behind, a table that has just grown looks so small that it is read whole for each member.
  await sql`select set_config('enable_seqscan', 'off', true)`.execute(tx);
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
      select from group_memberships other
      join groups g on g.id = other.group_id
      where other.account_id = ${accountId} and other.issuer_id = ${issuerId}
        and other.organization_id = ${organizationId} and other.membership_id = bare.membership_id
        and other.group_id <> ${groupId})`.execute(tx);
  await sql`select set_config('enable_seqscan', 'on', true)`.execute(tx);
  return rows[0]!.count;
}

/**
 * Checks that a group may grow to so many bytes of scopes: no member of it may come to more than a member may have.
 *
 * @param group of an organization that is held for its groups
 * @throws invalid_request (422) at `scopes`
 */
export async function requireRoomOfMembers(
  tx: Transaction,
  { id, account_id: accountId, issuer_id: issuerId, organization_id: organizationId, scopes_bytes }: GroupRow,
  bytes: number,
): Promise<void> {
  const { rows } = await sql<{ has_room: boolean }>`
    with all_groups as materialized (
      select id, scopes_bytes from groups
      where account_id = ${accountId} and issuer_id = ${issuerId} and organization_id = ${organizationId}
    )
    -- Most organizations have so few scopes in all that no member has to be looked at.
    select (select sum(scopes_bytes) from all_groups) + ${bytes - scopes_bytes + maxBytesOfList}::integer
        <= ${maxScopeBytesOfMember}::integer
      or not exists (
        select from group_memberships mine
        join memberships m on m.id = mine.membership_id
        join group_memberships x on x.account_id = mine.account_id and x.issuer_id = mine.issuer_id
          and x.organization_id = mine.organization_id and x.membership_id = mine.membership_id
        join all_groups g on g.id = x.group_id
        where mine.account_id = ${accountId} and mine.issuer_id = ${issuerId}
          and mine.organization_id = ${organizationId} and mine.group_id = ${id}
        group by m.id
        having sum(g.scopes_bytes) + max(m.scopes_bytes) + ${bytes - scopes_bytes}::integer
          > ${maxScopeBytesOfMember}::integer
      ) as has_room`.execute(tx);
  if (rows[0]!.has_room) return;
  throw invalidField(
    'scopes',
    `a member of the group would come to more than ${maxScopeBytesOfMember} bytes of scopes; name fewer or shorter ones, or take the member out of other groups`,
    'too_many_scopes',
  );
}
