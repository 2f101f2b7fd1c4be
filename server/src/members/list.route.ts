import { z } from 'zod';
import { groupParams } from '../groups/group-schema.ts';
import { requireGroup } from '../groups/group-store.ts';
import { idField, text } from '../http/fields.ts';
import { usernameSortQuery } from '../http/listing.ts';
import { pageOf, pageQuery, toPage } from '../http/pagination.ts';
import { defineRoute } from '../http/route.ts';
import { idPrefixes } from '../ids/ids.ts';
import { requireOrganization } from '../organizations/organization-store.ts';
import { toListedMember } from './member.ts';
import { listedMember, membersParams } from './member-schema.ts';
import { listMembers, positionOfMember } from './member-store.ts';

const memberQuery = {
  ...pageQuery,
  sort: usernameSortQuery,
  search: text(1, 200).optional().describe('Part of the username, the first or the last name, in any case.'),
};

const responses = { 200: { description: 'A page of members.', schema: pageOf(listedMember) } };

export const listMembersRoute = defineRoute({
  method: 'GET',
  path: '/v1/issuers/{issuer_id}/organizations/{org_id}/members',
  operationId: 'organization.members.list',
  summary: 'List the members of an organization',
  description: 'By `created_at`: in the order in which they became members.',
  permission: 'gatelodge.members:read',
  params: membersParams,
  query: z.strictObject({
    ...memberQuery,
    group: idField(idPrefixes.group, 'a group').optional().describe('Those who are in this group.'),
  }),
  responses,
  async handler({ tx, principal, params, query, cursors }) {
    const organization = await requireOrganization(tx, principal, params);
    const rows = await listMembers(tx, organization, query, cursors);
    return { body: toPage(rows, query.limit, cursors, positionOfMember(query.sort), toListedMember) };
  },
});

export const listMembersOfGroup = defineRoute({
  method: 'GET',
  path: '/v1/issuers/{issuer_id}/organizations/{org_id}/groups/{group_id}/members',
  operationId: 'organization.groups.listMembers',
  summary: 'List the members who are in a group',
  permission: 'gatelodge.members:read',
  params: groupParams,
  query: z.strictObject(memberQuery),
  responses,
  async handler({ tx, principal, params, query, cursors }) {
    const organization = await requireOrganization(tx, principal, params);
    const group = await requireGroup(tx, organization, params.group_id);
    const rows = await listMembers(tx, organization, { ...query, group: group.id }, cursors);
    return { body: toPage(rows, query.limit, cursors, positionOfMember(query.sort), toListedMember) };
  },
});
