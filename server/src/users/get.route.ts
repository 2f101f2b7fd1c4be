import { z } from 'zod';
import { defineRoute } from '../http/route.ts';
import { toUserResource } from './user.ts';
import { userParams, userResource } from './user-schema.ts';
import { requireUser } from './user-store.ts';

export const getUser = defineRoute({
  method: 'GET',
  path: '/v1/issuers/{issuer_id}/users/{user_id}',
  operationId: 'users.get',
  summary: 'Read a user',
  permission: 'gatelodge.users:read',
  params: userParams,
  responses: { 200: { description: 'The user.', schema: z.object({ data: userResource }) } },
  async handler({ tx, principal, params }) {
    const row = await requireUser(tx, principal, params);
    return { body: { data: toUserResource(row) }, version: row.version };
  },
});
