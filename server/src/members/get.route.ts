import { z } from 'zod';
import { defineRoute } from '../http/route.ts';
import { requireOrganization } from '../organizations/organization-store.ts';
import { toMemberResource } from './member.ts';
import { memberParams, memberResource } from './member-schema.ts';
import { requireMember } from './member-store.ts';

export const getMember = defineRoute({
  method: 'GET',
  path: '/v1/issuers/{issuer_id}/organizations/{org_id}/members/{member_id}',
  operationId: 'organization.members.get',
  summary: 'Read a member',
  description: 'The ETag is of the membership; what it names, its user and its groups, have their own.',
  permission: 'gatelodge.members:read',
  params: memberParams,
  responses: { 200: { description: 'The member.', schema: z.object({ data: memberResource }) } },
  async handler({ tx, principal, params }) {
    const organization = await requireOrganization(tx, principal, params);
    const member = await requireMember(tx, organization, params.member_id);
    return { body: { data: toMemberResource(member) }, version: member.version };
  },
});
