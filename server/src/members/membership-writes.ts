import { sql } from 'kysely';
import { AppError, invalidField } from '../errors.ts';
import type { GroupRow, OrganizationPlace } from '../groups/group-store.ts';
import { idPrefixes, newId } from '../ids/ids.ts';
import { brokenConstraint } from '../postgres/constraint.ts';
import type { Transaction } from '../postgres/database.ts';
import { bytesOfScopes, maxScopeBytesOfMember } from '../scopes/product-scopes.ts';
import { maxGroupsOfUser, maxMembershipsOfUser } from './member-schema.ts';
import type { MembershipRow } from './member-store.ts';

/** What a member is given: scopes of its own, and groups that the organization, held for its members, has been found to have. */
export interface Given {
  scopes: readonly string[];
  groups: readonly Pick<GroupRow, 'id' | 'scopes_bytes'>[];
}

/**
 * Whoever gives the same user something at the same time takes turns from here on, and so they count each other. Before
 * the membership is locked: a deletion of the user takes its rows in that order.
 *
 * @returns whether there is such a user
 */
export async function holdUser(
  tx: Transaction,
  { account_id: accountId, issuer_id: issuerId }: OrganizationPlace,
  userId: string,
): Promise<boolean> {
  const user = await tx
    .selectFrom('users')
    .select('id')
    .where('account_id', '=', accountId)
    .where('issuer_id', '=', issuerId)
    .where('id', '=', userId)
    .forNoKeyUpdate()
    .executeTakeFirst();
  return user !== undefined;
}

/**
 * Makes a user a member where it may have one membership more.
 *
 * @param organization held for its members (`holdOrganization`)
 * @throws invalid_request at `member_id` where the issuer has no such user, at `groups` where they come to too much;
 *   member_exists, limit_reached
 */
export async function insertMembership(
  tx: Transaction,
  organization: OrganizationPlace,
  userId: string,
  given: Given,
): Promise<MembershipRow> {
  const { scopes, groups } = given;
  const { account_id: accountId, issuer_id: issuerId, id: organizationId } = organization;
  requireRoomForScopes(given);
  if (!(await holdUser(tx, organization, userId))) {
    throw invalidField(
      'member_id',
      'is not the id of a user of this issuer; make the user first',
      'unknown_user',
    );
  }
  const { rows } = await sql<MembershipRow>`
    insert into memberships (id, account_id, issuer_id, organization_id, user_id, scopes, scopes_bytes)
    select ${newId(idPrefixes.member)}, ${accountId}, ${issuerId}, ${organizationId}, ${userId},
      ${[...scopes]}::text[], ${bytesOfScopes(scopes)}::integer
    where (
      select count(*) from memberships m join organizations o on o.id = m.organization_id
      where m.account_id = ${accountId} and m.issuer_id = ${issuerId} and m.user_id = ${userId}
    ) < ${maxMembershipsOfUser}::integer
    returning *`
    .execute(tx)
    .catch(memberExists);
  const row = rows[0];
  if (row === undefined) {
    throw new AppError('limit_reached', {
      detail: `A user is a member of at most ${maxMembershipsOfUser} organizations; take it out of one first.`,
    });
  }
  await insertGroups(tx, row, groups);
  return row;
}

/**
 * Gives a member, whose user is held and whose row is locked, these scopes and groups in place of those that it has.
 *
 * @throws invalid_request at `groups` where they come to too much; limit_reached
 */
export async function updateMembership(
  tx: Transaction,
  current: MembershipRow,
  given: Given,
): Promise<MembershipRow> {
  requireRoomForScopes(given);
  const { scopes, groups } = given;
  const row = await tx
    .updateTable('memberships')
    .set({
      scopes: [...scopes],
      scopes_bytes: bytesOfScopes(scopes),
      version: sql`version + 1`,
      updated_at: sql`now()`,
    })
    .where('account_id', '=', current.account_id)
    .where('id', '=', current.id)
    .returningAll()
    .executeTakeFirstOrThrow();
  await tx
    .deleteFrom('group_memberships')
    .where('account_id', '=', current.account_id)
    .where('issuer_id', '=', current.issuer_id)
    .where('organization_id', '=', current.organization_id)
    .where('membership_id', '=', current.id)
    .execute();
  await insertGroups(tx, row, groups);
  return row;
}

async function insertGroups(
  tx: Transaction,
  membership: MembershipRow,
  groups: Given['groups'],
): Promise<void> {
  if (groups.length === 0) return;
  const { id, account_id: accountId, issuer_id: issuerId, organization_id: organizationId } = membership;
  const { numAffectedRows } = await sql`
    insert into group_memberships (group_id, membership_id, account_id, issuer_id, organization_id)
    select given.id, ${id}, ${accountId}, ${issuerId}, ${organizationId}
    from unnest(${groups.map((group) => group.id)}::text[]) as given (id)
    where (
      select count(*) from memberships m
      -- offset 0 keeps each question one of its own: joined, where statistics are behind, all places of the issuer are read for
      -- each membership.
      cross join lateral (
        select x.group_id from group_memberships x
        where x.account_id = ${accountId} and x.issuer_id = ${issuerId} and x.organization_id = m.organization_id
          and x.membership_id = m.id
        offset 0
      ) place
      where m.account_id = ${accountId} and m.issuer_id = ${issuerId} and m.user_id = ${membership.user_id}
        -- What a deleted organization or group has left is nobody's place.
        and exists (
          select from organizations o
          where o.account_id = ${accountId} and o.issuer_id = ${issuerId} and o.id = m.organization_id
          offset 0)
        and exists (
          select from groups g
          where g.account_id = ${accountId} and g.issuer_id = ${issuerId} and g.organization_id = m.organization_id
            and g.id = place.group_id
          offset 0)
    ) <= ${maxGroupsOfUser - groups.length}::integer`.execute(tx);
  if (numAffectedRows === BigInt(groups.length)) return;
  throw new AppError('limit_reached', {
    detail: `A user is in at most ${maxGroupsOfUser} groups of all its organizations; take it out of some first.`,
  });
}

function requireRoomForScopes({ scopes, groups }: Given): void {
  const bytes = groups.reduce((sum, group) => sum + group.scopes_bytes, bytesOfScopes(scopes));
  if (bytes <= maxScopeBytesOfMember) return;
  throw invalidField(
    'groups',
    `with the member’s own scopes they come to ${bytes} bytes of scopes; name fewer, or groups with fewer scopes, up to ${maxScopeBytesOfMember}`,
    'too_many_scopes',
  );
}

/** For `catch`: the unique index decides, so two at once can't both make a member of one user. */
function memberExists(error: unknown): never {
  if (brokenConstraint(error) === 'memberships_user') throw new AppError('member_exists', { cause: error });
  throw error;
}
