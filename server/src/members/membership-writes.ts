import { sql } from 'kysely';
import { AppError, invalidField } from '../errors.ts';
import type { OrganizationPlace } from '../groups/group-store.ts';
import { idPrefixes, newId } from '../ids/ids.ts';
import { brokenConstraint } from '../postgres/constraint.ts';
import type { Transaction } from '../postgres/database.ts';
import { bytesOfScopes } from '../scopes/product-scopes.ts';
import { maxMembershipsOfUser } from './member-schema.ts';
import type { MembershipRow } from './member-store.ts';

/** What a member is given: scopes of its own, and groups that the organization has been found to have. */
export interface Given {
  scopes: readonly string[];
  groupIds: readonly string[];
}

/**
 * Makes a user a member where it may have one membership more.
 *
 * @param organization held for its members (`holdOrganization`)
 * @throws invalid_request at `member_id` where the issuer has no such user; member_exists, limit_reached
 */
export async function insertMembership(
  tx: Transaction,
  organization: OrganizationPlace,
  userId: string,
  { scopes, groupIds }: Given,
): Promise<MembershipRow> {
  const { account_id: accountId, issuer_id: issuerId, id: organizationId } = organization;
  // Those who make the same user a member at the same time take turns, and so count each other.
  const user = await tx
    .selectFrom('users')
    .select('id')
    .where('account_id', '=', accountId)
    .where('issuer_id', '=', issuerId)
    .where('id', '=', userId)
    .forNoKeyUpdate()
    .executeTakeFirst();
  if (user === undefined) {
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
  await insertGroups(tx, row, groupIds);
  return row;
}

/** Gives a member, whose row is locked, these scopes and groups in place of those that it has. */
export async function updateMembership(
  tx: Transaction,
  current: MembershipRow,
  { scopes, groupIds }: Given,
): Promise<MembershipRow> {
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
  await insertGroups(tx, row, groupIds);
  return row;
}

async function insertGroups(
  tx: Transaction,
  membership: MembershipRow,
  groupIds: readonly string[],
): Promise<void> {
  if (groupIds.length === 0) return;
  const { id: membership_id, account_id, issuer_id, organization_id } = membership;
  await tx
    .insertInto('group_memberships')
    .values(groupIds.map((group_id) => ({ group_id, membership_id, account_id, issuer_id, organization_id })))
    .execute();
}

/** For `catch`: the unique index decides, so two at once can't both make a member of one user. */
function memberExists(error: unknown): never {
  if (brokenConstraint(error) === 'memberships_user') throw new AppError('member_exists', { cause: error });
  throw error;
}
