import { z } from 'zod';
import { searchField } from '../http/fields.ts';
import { positionOf, sortQuery } from '../http/listing.ts';
import { pageOf, pageQuery, toPage } from '../http/pagination.ts';
import { defineRoute } from '../http/route.ts';
import { requireOrganization } from '../organizations/organization-store.ts';
import { toGroupResource } from './group.ts';
import { groupResource, groupsParams } from './group-schema.ts';
import { listGroups } from './group-store.ts';

export const listGroupsRoute = defineRoute({
  method: 'GET',
  path: '/v1/issuers/{issuer_id}/organizations/{org_id}/groups',
  operationId: 'organization.groups.list',
  summary: 'List the groups of an organization',
  permission: 'gatelodge.groups:read',
  params: groupsParams,
  query: z.strictObject({ ...pageQuery, sort: sortQuery, search: searchField.optional() }),
  responses: { 200: { description: 'A page of groups.', schema: pageOf(groupResource) } },
  async handler({ tx, principal, params, query, cursors }) {
    const organization = await requireOrganization(tx, principal, params);
    const rows = await listGroups(tx, organization, query, cursors);
    return { body: toPage(rows, query.limit, cursors, positionOf(query.sort), toGroupResource) };
  },
});
