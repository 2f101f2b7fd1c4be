import { z } from 'zod';
import { requireNamedGroups } from '../groups/group-store.ts';
import { defineRoute } from '../http/route.ts';
import { requireIssuer } from '../issuers/issuer-store.ts';
import { holdOrganization } from '../organizations/organization-store.ts';
import { maxScopeBytesOfMember } from '../scopes/product-scopes.ts';
import { toWrittenMember } from './member.ts';
import {
  createMemberBody,
  maxGroupsOfUser,
  maxMembershipsOfUser,
  membersParams,
  writtenMember,
} from './member-schema.ts';
import { requireMember } from './member-store.ts';
import { insertMembership } from './membership-writes.ts';

export const createMember = defineRoute({
  method: 'POST',
  path: '/v1/issuers/{issuer_id}/organizations/{org_id}/members',
  operationId: 'organization.members.create',
  summary: 'Make a user a member of an organization',
  description: `A user is a member of at most ${maxMembershipsOfUser.toLocaleString('en')} organizations, and in at most ${maxGroupsOfUser.toLocaleString('en')} of their groups. What a member has by itself and by its groups has at most ${maxScopeBytesOfMember / 1024} KiB.`,
  permission: 'gatelodge.members:write',
  creates: true,
  params: membersParams,
  body: createMemberBody,
  responses: { 201: { description: 'The member.', schema: z.object({ data: writtenMember }) } },
  errors: ['member_exists', 'limit_reached'],
  async handler({ tx, principal, params, body, record }) {
    const organization = await holdOrganization(tx, principal, params, 'members');
    const issuer = await requireIssuer(tx, principal, params.issuer_id);
    const { scopes = [], groups: groupIds = [], member_id: userId } = body;
    const groups = await requireNamedGroups(tx, organization, groupIds);
    const { version } = await insertMembership(tx, organization, userId, { scopes, groups });
    await record({
      type: 'organization.membership.created',
      subject: { type: 'member', id: userId },
      environment: issuer.environment,
      issuerId: issuer.id,
      organizationId: organization.id,
      data: { scopes, groups: groupIds },
    });
    return {
      status: 201,
      body: { data: toWrittenMember(principal, await requireMember(tx, organization, userId)) },
      version,
      headers: {
        Location: `/v1/issuers/${issuer.id}/organizations/${organization.id}/members/${userId}`,
      },
    };
  },
});
