import { z } from 'zod';
import { invalidField } from '../errors.ts';
import { defineRoute } from '../http/route.ts';
import { requireIssuer } from '../issuers/issuer-store.ts';
import { toUserResource } from './user.ts';
import { createUserBody, userResource, usersParams } from './user-schema.ts';
import { insertUser } from './user-store.ts';
import { normalizeUsername } from './username.ts';

export const createUser = defineRoute({
  method: 'POST',
  path: '/v1/issuers/{issuer_id}/users',
  operationId: 'users.create',
  summary: 'Create a user',
  description:
    'The username is kept in its normal form. A user who is made here signs in like one who came by itself.',
  permission: 'gatelodge.users:write',
  creates: true,
  params: usersParams,
  body: createUserBody,
  responses: { 201: { description: 'The user.', schema: z.object({ data: userResource }) } },
  errors: ['username_taken'],
  async handler({ tx, principal, params, body, record }) {
    const issuer = await requireIssuer(tx, principal, params.issuer_id);
    const username = normalizeUsername(body.username_type, body.username);
    if (!username.ok) throw invalidField('username', username.message);
    const row = await insertUser(
      tx,
      {
        accountId: principal.accountId,
        issuerId: issuer.id,
        environment: issuer.environment,
        type: body.username_type,
        username,
        profile: body.profile,
        metadata: body.metadata,
      },
      record,
    );
    return {
      status: 201,
      body: { data: toUserResource(row) },
      version: row.version,
      headers: { Location: `/v1/issuers/${issuer.id}/users/${row.id}` },
    };
  },
});
