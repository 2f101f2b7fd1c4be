import { type Selectable, sql } from 'kysely';
import { AppError } from '../errors.ts';
import type { GroupRow, OrganizationPlace } from '../groups/group-store.ts';
import { requireMatch } from '../http/etag.ts';
import { contains, type PageRequest, paged, type Sort } from '../http/listing.ts';
import type { CursorCodec, CursorPosition } from '../http/pagination.ts';
import type { Transaction } from '../postgres/database.ts';
import type { MembershipsTable } from '../postgres/schema.ts';
import { searchedOfUser, type UserRow } from '../users/user-store.ts';

export type MembershipRow = Selectable<MembershipsTable>;

/** What of its user a member is answered with. */
type OfUser = Pick<UserRow, 'username_type' | 'username' | 'profile'> & { user_status: UserRow['status'] };

/** A group as members and explanations tell it. */
export type GroupOfMember = Pick<GroupRow, 'id' | 'name' | 'scopes'>;

/** The same as lists tell it. */
export type NamedGroup = Pick<GroupRow, 'id' | 'name'>;

/** A membership with its user. */
export type MemberRow = MembershipRow & OfUser;

/** The same with its groups, by name. */
export type Member = MemberRow & { groups: GroupOfMember[] };

function membersOf(tx: Transaction, organization: OrganizationPlace) {
  return tx
    .selectFrom('memberships')
    .innerJoin('users', 'users.id', 'memberships.user_id')
    .selectAll('memberships')
    .select(['users.username_type', 'users.username', 'users.profile', 'users.status as user_status'])
    .where('memberships.account_id', '=', organization.account_id)
    .where('memberships.issuer_id', '=', organization.issuer_id)
    .where('memberships.organization_id', '=', organization.id);
}

/** null where the user is no member of the organization. */
export async function findMember(
  tx: Transaction,
  organization: OrganizationPlace,
  userId: string,
): Promise<Member | null> {
  const row = await membersOf(tx, organization).where('memberships.user_id', '=', userId).executeTakeFirst();
  return row === undefined ? null : withGroups(tx, row);
}

/** @throws not_found */
export async function requireMember(
  tx: Transaction,
  organization: OrganizationPlace,
  userId: string,
): Promise<Member> {
  const member = await findMember(tx, organization, userId);
  if (member === null) throw new AppError('not_found');
  return member;
}

/** As `requireMember`, and nobody changes it before the transaction ends. @throws not_found, precondition_failed */
export async function lockMember(
  tx: Transaction,
  organization: OrganizationPlace,
  userId: string,
  ifMatch: string | undefined,
): Promise<Member> {
  const row = await membersOf(tx, organization)
    .where('memberships.user_id', '=', userId)
    .forUpdate('memberships')
    .executeTakeFirst();
  if (row === undefined) throw new AppError('not_found');
  requireMatch(ifMatch, row.version);
  return withGroups(tx, row);
}

interface MemberFilter extends PageRequest {
  search?: string | undefined;
  group?: string | undefined;
}

/** One row more than the page holds. */
export async function listMembers(
  tx: Transaction,
  organization: OrganizationPlace,
  filter: MemberFilter,
  cursors: CursorCodec,
): Promise<(MemberRow & { groups: NamedGroup[] })[]> {
  let query = membersOf(tx, organization);
  if (filter.search) query = query.where(contains(searchedOfUser, filter.search));
  const { group } = filter;
  if (group !== undefined) {
    const places = await placesOf(tx, organization, group, manyPlaces + 1);
    if (places.length === 0) return [];
    query = query.where(
      places.length > manyPlaces
        ? isIn(organization, group)
        : sql<boolean>`memberships.id = any (${places}::text[])`,
    );
  }
  const rows = await paged(query, 'memberships', filter, cursors, 'users.username').execute();
  return addGroups(tx, rows);
}

/**
 * Groups of more members than this are found by looking at the organization's members one by one, which are to a good part
 * theirs; smaller ones by their own places. So neither hangs on how many Postgres takes a group for: where its statistics are
 * behind, it would read all places for each member.
 */
const manyPlaces = 10_000;

/** Of a group that is there; what a deleted one has left is nobody's place. No more than `limit`. */
async function placesOf(
  tx: Transaction,
  organization: OrganizationPlace,
  groupId: string,
  limit: number,
): Promise<string[]> {
  const rows = await tx
    .selectFrom('group_memberships')
    .select('membership_id')
    .where('account_id', '=', organization.account_id)
    .where('issuer_id', '=', organization.issuer_id)
    .where('organization_id', '=', organization.id)
    .where('group_id', '=', groupId)
    .where((eb) =>
      eb.exists(
        eb
          .selectFrom('groups')
          .select('groups.id')
          .where('groups.account_id', '=', organization.account_id)
          .where('groups.issuer_id', '=', organization.issuer_id)
          .where('groups.organization_id', '=', organization.id)
          .where('groups.id', '=', groupId),
      ),
    )
    .limit(limit)
    .execute();
  return rows.map(({ membership_id }) => membership_id);
}

/** Whether a member has a place in a group, asked of each by itself: `offset 0` keeps it from becoming a join. */
function isIn(organization: OrganizationPlace, groupId: string) {
  return sql<boolean>`exists (
    select from group_memberships x
    where x.account_id = ${organization.account_id} and x.issuer_id = ${organization.issuer_id}
      and x.organization_id = ${organization.id} and x.group_id = ${groupId} and x.membership_id = memberships.id
    offset 0)`;
}

/** Where a member stands in that order. */
export function positionOfMember(sort: Sort | undefined): (member: MemberRow) => CursorPosition {
  return ({ id, username }) => (sort?.endsWith('username') ? [username, id] : [id]);
}

/** A membership with its organization, for whoever looks from the user's side. */
export type UserOrganization = MembershipRow & {
  name: string;
  external_id: string | null;
  status: 'active' | 'suspended';
  groups: NamedGroup[];
};

/** One row more than the page holds. The caller has been found to see the user. */
export async function listOrganizationsOfUser(
  tx: Transaction,
  user: Pick<UserRow, 'id' | 'account_id' | 'issuer_id'>,
  page: PageRequest,
  cursors: CursorCodec,
): Promise<UserOrganization[]> {
  const query = tx
    .selectFrom('memberships')
    .innerJoin('organizations', 'organizations.id', 'memberships.organization_id')
    .selectAll('memberships')
    .select(['organizations.name', 'organizations.external_id', 'organizations.status'])
    .where('memberships.account_id', '=', user.account_id)
    .where('memberships.issuer_id', '=', user.issuer_id)
    .where('memberships.user_id', '=', user.id);
  const rows = await paged(query, 'memberships', page, cursors, 'organizations.name').execute();
  return addGroups(tx, rows);
}

async function withGroups(tx: Transaction, row: MemberRow): Promise<Member> {
  const groups = await groupsOf(tx, [row]).select('g.scopes').execute();
  return { ...row, groups: groups.map(({ id, name, scopes }) => ({ id, name, scopes })) };
}

/** Of all at once: one statement for a page. */
async function addGroups<Row extends MembershipRow>(
  tx: Transaction,
  rows: readonly Row[],
): Promise<(Row & { groups: NamedGroup[] })[]> {
  if (!isSome(rows)) return [];
  const found = await groupsOf(tx, rows).execute();
  const groups = Map.groupBy(found, ({ membership_id }) => membership_id);
  return rows.map((row) => ({
    ...row,
    groups: (groups.get(row.id) ?? []).map(({ id, name }) => ({ id, name })),
  }));
}

function isSome<Row>(rows: readonly Row[]): rows is [Row, ...Row[]] {
  return rows.length > 0;
}

/** By name. */
function groupsOf(tx: Transaction, rows: readonly [MembershipRow, ...MembershipRow[]]) {
  const [{ account_id: accountId, issuer_id: issuerId }] = rows;
  return tx
    .selectFrom('group_memberships as x')
    .innerJoin('groups as g', 'g.id', 'x.group_id')
    .select(['x.membership_id', 'g.id', 'g.name'])
    .where('x.account_id', '=', accountId)
    .where('x.issuer_id', '=', issuerId)
    .where('x.organization_id', 'in', [...new Set(rows.map((row) => row.organization_id))])
    .where(
      'x.membership_id',
      'in',
      rows.map(({ id }) => id),
    )
    .orderBy(sql`g.name collate "C"`)
    .orderBy('g.id');
}
