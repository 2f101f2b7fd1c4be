import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { requireNamedGroups } from '../groups/group-store.ts';
import { mergePatch } from '../http/merge-patch.ts';
import { defineRoute } from '../http/route.ts';
import { parseInput } from '../http/validation.ts';
import { requireIssuer } from '../issuers/issuer-store.ts';
import { holdOrganization } from '../organizations/organization-store.ts';
import type { Json } from '../postgres/schema.ts';
import { toWrittenMember } from './member.ts';
import { memberMembers, memberParams, patchMemberBody, writtenMember } from './member-schema.ts';
import { lockMember, requireMember } from './member-store.ts';
import { holdUser, updateMembership } from './membership-writes.ts';

export const updateMember = defineRoute({
  method: 'PATCH',
  path: '/v1/issuers/{issuer_id}/organizations/{org_id}/members/{member_id}',
  operationId: 'organization.members.update',
  summary: 'Change what a member may do',
  description: 'Holds from the next request on, and in the next tokens.',
  permission: 'gatelodge.members:write',
  params: memberParams,
  body: patchMemberBody,
  isMergePatch: true,
  responses: { 200: { description: 'The member.', schema: z.object({ data: writtenMember }) } },
  errors: ['limit_reached'],
  async handler({ tx, principal, params, body, ifMatch, record }) {
    const organization = await holdOrganization(tx, principal, params, 'members');
    await holdUser(tx, organization, params.member_id);
    const current = await lockMember(tx, organization, params.member_id, ifMatch);
    const before = { scopes: current.scopes, groups: current.groups.map(({ id }) => id) };
    const after = parseInput(memberMembers, mergePatch(before, body as Json));
    const changed = (['scopes', 'groups'] as const).filter(
      (member) => !isDeepStrictEqual(after[member].toSorted(), before[member].toSorted()),
    );
    if (changed.length === 0)
      return { body: { data: toWrittenMember(principal, current) }, version: current.version };
    const groups = await requireNamedGroups(tx, organization, after.groups);
    const issuer = await requireIssuer(tx, principal, params.issuer_id);
    const { version } = await updateMembership(tx, current, { scopes: after.scopes, groups });
    await record({
      type: 'organization.membership.updated',
      subject: { type: 'member', id: current.user_id },
      environment: issuer.environment,
      issuerId: issuer.id,
      organizationId: organization.id,
      data: { changed, ...after },
    });
    const member = await requireMember(tx, organization, current.user_id);
    return { body: { data: toWrittenMember(principal, member) }, version };
  },
});
