import { defineRoute } from '../http/route.ts';
import { requireIssuer } from '../issuers/issuer-store.ts';
import { requireOrganization } from '../organizations/organization-store.ts';
import { memberParams } from './member-schema.ts';
import { lockMember } from './member-store.ts';

export const deleteMember = defineRoute({
  method: 'DELETE',
  path: '/v1/issuers/{issuer_id}/organizations/{org_id}/members/{member_id}',
  operationId: 'organization.members.delete',
  summary: 'Take a member out of an organization',
  description: 'The user stays, and so do its memberships elsewhere and its sessions.',
  permission: 'gatelodge.members:write',
  params: memberParams,
  responses: { 204: { description: 'No member any more.' } },
  async handler({ tx, principal, params, ifMatch, record }) {
    const organization = await requireOrganization(tx, principal, params);
    const current = await lockMember(tx, organization, params.member_id, ifMatch);
    const issuer = await requireIssuer(tx, principal, params.issuer_id);
    await tx
      .deleteFrom('memberships')
      .where('account_id', '=', principal.accountId)
      .where('id', '=', current.id)
      .execute();
    await record({
      type: 'organization.membership.deleted',
      subject: { type: 'member', id: current.user_id },
      environment: issuer.environment,
      issuerId: issuer.id,
      organizationId: organization.id,
      data: { scopes: current.scopes, groups: current.groups.map(({ id }) => id) },
    });
    return { status: 204 };
  },
});
