import { z } from 'zod';
import { AppError } from '../errors.ts';
import { defineRoute } from '../http/route.ts';
import { requireIssuer } from '../issuers/issuer-store.ts';
import { holdOrganization } from '../organizations/organization-store.ts';
import { groupParams } from './group-schema.ts';
import { countMembersOfThisGroupAlone, lockGroup } from './group-store.ts';

export const deleteGroup = defineRoute({
  method: 'DELETE',
  path: '/v1/issuers/{issuer_id}/organizations/{org_id}/groups/{group_id}',
  operationId: 'organization.groups.delete',
  summary: 'Delete a group',
  description:
    'Takes it from its members. Refused where some of them have nothing else, unless forced: these stay members, without any scope.',
  permission: 'gatelodge.groups:write',
  params: groupParams,
  query: z.strictObject({
    force: z
      .enum(['true', 'false'])
      .default('false')
      .describe('Delete although members would be left without any scope.'),
  }),
  responses: { 204: { description: 'Deleted; there is no way back.' } },
  errors: ['group_in_use'],
  async handler({ services, tx, principal, params, query, ifMatch, record, afterCommit }) {
    const organization = await holdOrganization(tx, principal, params, 'groups');
    const current = await lockGroup(tx, organization, params.group_id, ifMatch);
    const issuer = await requireIssuer(tx, principal, params.issuer_id);
    if (query.force !== 'true')
      requireNobodyLeft(await countMembersOfThisGroupAlone(tx, organization, current.id));
    // The places of its members are left to the sweep, by a trigger: whoever reads them asks for the group.
    await tx
      .deleteFrom('groups')
      .where('account_id', '=', principal.accountId)
      .where('id', '=', current.id)
      .execute();
    await record({
      type: 'organization.group.deleted',
      subject: { type: 'group', id: current.id },
      environment: issuer.environment,
      issuerId: issuer.id,
      organizationId: organization.id,
      data: { name: current.name, forced: query.force === 'true' },
    });
    afterCommit(() => services.organizationSweep.wake());
    return { status: 204 };
  },
});

/** @throws group_in_use with how many there are */
function requireNobodyLeft(left: number): void {
  if (left === 0) return;
  throw new AppError('group_in_use', {
    detail: `${left} ${left === 1 ? 'member' : 'members'} would be left without any scope; give them scopes or another group first, or pass force=true.`,
  });
}
