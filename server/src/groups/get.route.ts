import { z } from 'zod';
import { defineRoute } from '../http/route.ts';
import { requireOrganization } from '../organizations/organization-store.ts';
import { toGroupResource } from './group.ts';
import { groupParams, groupResource } from './group-schema.ts';
import { requireGroup } from './group-store.ts';

export const getGroup = defineRoute({
  method: 'GET',
  path: '/v1/issuers/{issuer_id}/organizations/{org_id}/groups/{group_id}',
  operationId: 'organization.groups.get',
  summary: 'Read a group',
  permission: 'gatelodge.groups:read',
  params: groupParams,
  responses: { 200: { description: 'The group.', schema: z.object({ data: groupResource }) } },
  async handler({ tx, principal, params }) {
    const organization = await requireOrganization(tx, principal, params);
    const row = await requireGroup(tx, organization, params.group_id);
    return { body: { data: toGroupResource(row) }, version: row.version };
  },
});
