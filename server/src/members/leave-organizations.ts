import { sql } from 'kysely';
import type { NewEvent } from '../events/event.ts';
import type { Environment } from '../key-profiles/key-profile.ts';
import type { Transaction } from '../postgres/database.ts';
import type { UserRow } from '../users/user-store.ts';

interface LeftOrganization {
  organization_id: string;
  scopes: string[];
  groups: string[];
}

/**
 * Takes a user out of all its organizations, for the transaction that deletes it.
 *
 * Takes no lock of the organizations: whoever makes the user a member or changes what it has there holds the user first
 * (`holdUser`), and whoever suspends or deletes one of them touches no membership.
 *
 * @param user locked for its deletion
 * @returns an event for the trail of each organization that is there; at most `maxMembershipsOfUser`
 */
export async function leaveOrganizations(
  tx: Transaction,
  { id, account_id: accountId, issuer_id: issuerId }: Pick<UserRow, 'id' | 'account_id' | 'issuer_id'>,
  environment: Environment,
): Promise<NewEvent[]> {
  // What deleted organizations and groups have left is nobody's. `offset 0` keeps each question one of its own: joined,
  // where statistics are behind, all places of the issuer are read for each membership.
  const { rows } = await sql<LeftOrganization>`
    with gone as (
      delete from memberships
      where account_id = ${accountId} and issuer_id = ${issuerId} and user_id = ${id}
      returning id, organization_id, scopes
    )
    select gone.organization_id, gone.scopes, array(
      select x.group_id from group_memberships x
      where x.account_id = ${accountId} and x.issuer_id = ${issuerId}
        and x.organization_id = gone.organization_id and x.membership_id = gone.id
        and exists (
          select from groups g
          where g.account_id = ${accountId} and g.issuer_id = ${issuerId}
            and g.organization_id = x.organization_id and g.id = x.group_id
          offset 0)
      order by x.group_id
    ) as groups
    from gone
    where exists (
      select from organizations o
      where o.account_id = ${accountId} and o.issuer_id = ${issuerId} and o.id = gone.organization_id
      offset 0)
    order by gone.id`.execute(tx);
  return rows.map(({ organization_id: organizationId, scopes, groups }) => ({
    type: 'organization.membership.deleted',
    subject: { type: 'member', id },
    environment,
    issuerId,
    organizationId,
    data: { scopes, groups, reason: 'user_deleted' },
  }));
}
