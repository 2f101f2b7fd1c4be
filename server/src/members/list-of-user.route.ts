import { z } from 'zod';
import { positionOf, sortQuery } from '../http/listing.ts';
import { pageOf, pageQuery, toPage } from '../http/pagination.ts';
import { defineRoute } from '../http/route.ts';
import { userParams } from '../users/user-schema.ts';
import { requireUser } from '../users/user-store.ts';
import { toUserOrganizationResource } from './member.ts';
import { userOrganizationResource } from './member-schema.ts';
import { listOrganizationsOfUser } from './member-store.ts';

export const listUserOrganizations = defineRoute({
  method: 'GET',
  path: '/v1/issuers/{issuer_id}/users/{user_id}/organizations',
  operationId: 'user.organizations.list',
  summary: 'List the organizations that a user is a member of',
  description: 'By `created_at`: in the order in which the user became a member of them.',
  permission: 'gatelodge.members:read',
  params: userParams,
  query: z.strictObject({ ...pageQuery, sort: sortQuery }),
  responses: { 200: { description: 'A page of organizations.', schema: pageOf(userOrganizationResource) } },
  async handler({ tx, principal, params, query, cursors }) {
    const user = await requireUser(tx, principal, params);
    const rows = await listOrganizationsOfUser(tx, user, query, cursors);
    return { body: toPage(rows, query.limit, cursors, positionOf(query.sort), toUserOrganizationResource) };
  },
});
