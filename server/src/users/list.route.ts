import { z } from 'zod';
import { text } from '../http/fields.ts';
import { usernameSortQuery } from '../http/listing.ts';
import { pageOf, pageQuery, toPage } from '../http/pagination.ts';
import { defineRoute } from '../http/route.ts';
import { requireIssuer } from '../issuers/issuer-store.ts';
import { toUserResource } from './user.ts';
import { usernameTypeField, userResource, usersParams } from './user-schema.ts';
import { listUsers, positionOfUser } from './user-store.ts';
import { maxUsernameLength } from './username.ts';

export const listUsersRoute = defineRoute({
  method: 'GET',
  path: '/v1/issuers/{issuer_id}/users',
  operationId: 'users.list',
  summary: 'List users',
  permission: 'gatelodge.users:read',
  params: usersParams,
  query: z.strictObject({
    ...pageQuery,
    sort: usernameSortQuery,
    search: text(1, 200)
      .optional()
      .describe('Part of the username, the first or the last name, in any case.'),
    username_type: usernameTypeField.optional(),
    username: text(1, maxUsernameLength)
      .optional()
      .describe('The whole username, in whichever spelling; of any type unless `username_type` says which.'),
    status: z.enum(['active', 'suspended']).optional(),
  }),
  responses: { 200: { description: 'A page of users.', schema: pageOf(userResource) } },
  async handler({ tx, principal, params, query, cursors }) {
    const issuer = await requireIssuer(tx, principal, params.issuer_id);
    const rows = await listUsers(tx, principal, issuer.id, query, cursors);
    return { body: toPage(rows, query.limit, cursors, positionOfUser(query.sort), toUserResource) };
  },
});
