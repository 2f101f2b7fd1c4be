import { isDeepStrictEqual } from 'node:util';
import { sql } from 'kysely';
import { z } from 'zod';
import { invalidField } from '../errors.ts';
import { mergePatch } from '../http/merge-patch.ts';
import { defineRoute } from '../http/route.ts';
import { parseInput } from '../http/validation.ts';
import { requireIssuer } from '../issuers/issuer-store.ts';
import type { Json } from '../postgres/schema.ts';
import { toUserResource } from './user.ts';
import { patchUserBody, userMembers, userParams, userResource } from './user-schema.ts';
import { lockUser } from './user-store.ts';
import { normalizeUsername } from './username.ts';
import { usernameTaken } from './username-taken.ts';

export const updateUser = defineRoute({
  method: 'PATCH',
  path: '/v1/issuers/{issuer_id}/users/{user_id}',
  operationId: 'users.update',
  summary: 'Change a user',
  description: 'Under another username it is the same user: its sessions and all else of it stay.',
  permission: 'gatelodge.users:write',
  params: userParams,
  body: patchUserBody,
  isMergePatch: true,
  responses: { 200: { description: 'The user.', schema: z.object({ data: userResource }) } },
  errors: ['username_taken'],
  async handler({ tx, principal, params, body, now, ifMatch, record }) {
    const current = await lockUser(tx, principal, params, ifMatch);
    const { username_type: type, username, profile, metadata } = current;
    const before = { username, profile, metadata };
    const wanted = parseInput(userMembers, mergePatch(before, body as Json));
    const name = normalizeUsername(type, wanted.username);
    if (!name.ok) throw invalidField('username', name.message);
    const after = { ...wanted, username: name.address };
    const changed = (['username', 'profile', 'metadata'] as const).filter(
      (member) => !isDeepStrictEqual(after[member], before[member]),
    );
    if (changed.length === 0) return { body: { data: toUserResource(current) }, version: current.version };
    const issuer = await requireIssuer(tx, principal, params.issuer_id);
    const row = await tx
      .updateTable('users')
      .set({
        username: name.address,
        username_key: name.key,
        // In other letters it is the same address.
        ...(name.key !== current.username_key && { username_changed_at: now }),
        profile: JSON.stringify(after.profile),
        metadata: JSON.stringify(after.metadata),
        version: sql`version + 1`,
        updated_at: sql`now()`,
      })
      .where('account_id', '=', principal.accountId)
      .where('id', '=', current.id)
      .returningAll()
      .executeTakeFirstOrThrow()
      .catch(usernameTaken);
    await record({
      type: 'user.updated',
      subject: { type: 'user', id: row.id },
      environment: issuer.environment,
      issuerId: issuer.id,
      data: { changed },
    });
    return { body: { data: toUserResource(row) }, version: row.version };
  },
});
