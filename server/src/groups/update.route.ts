import { isDeepStrictEqual } from 'node:util';
import { sql } from 'kysely';
import { z } from 'zod';
import { mergePatch } from '../http/merge-patch.ts';
import { defineRoute } from '../http/route.ts';
import { parseInput } from '../http/validation.ts';
import { requireIssuer } from '../issuers/issuer-store.ts';
import { holdOrganization } from '../organizations/organization-store.ts';
import type { Json } from '../postgres/schema.ts';
import { bytesOfScopes } from '../scopes/product-scopes.ts';
import { toGroupResource } from './group.ts';
import { groupNameKey } from './group-name.ts';
import { groupNameTaken } from './group-name-taken.ts';
import { groupMembers, groupParams, groupResource, patchGroupBody } from './group-schema.ts';
import { lockGroup, requireRoomOfMembers } from './group-store.ts';

export const updateGroup = defineRoute({
  method: 'PATCH',
  path: '/v1/issuers/{issuer_id}/organizations/{org_id}/groups/{group_id}',
  operationId: 'organization.groups.update',
  summary: 'Change a group',
  description: 'Other scopes hold for its members from the next request on, and in the next tokens.',
  permission: 'gatelodge.groups:write',
  params: groupParams,
  body: patchGroupBody,
  isMergePatch: true,
  responses: { 200: { description: 'The group.', schema: z.object({ data: groupResource }) } },
  errors: ['group_name_taken'],
  async handler({ tx, principal, params, body, ifMatch, record }) {
    // Alone: nobody becomes its member while what its members come to is summed up.
    const organization = await holdOrganization(tx, principal, params, 'groups');
    const current = await lockGroup(tx, organization, params.group_id, ifMatch);
    const { name, scopes } = current;
    const wanted = parseInput(groupMembers, mergePatch({ name, scopes }, body as Json));
    const changed = (['name', 'scopes'] as const).filter(
      (member) => !isDeepStrictEqual(wanted[member], current[member]),
    );
    if (changed.length === 0) return { body: { data: toGroupResource(current) }, version: current.version };
    const bytes = bytesOfScopes(wanted.scopes);
    if (bytes > current.scopes_bytes) await requireRoomOfMembers(tx, current, bytes);
    const issuer = await requireIssuer(tx, principal, params.issuer_id);
    const row = await tx
      .updateTable('groups')
      .set({
        name: wanted.name,
        name_key: groupNameKey(wanted.name),
        scopes: wanted.scopes,
        scopes_bytes: bytes,
        version: sql`version + 1`,
        updated_at: sql`now()`,
      })
      .where('account_id', '=', principal.accountId)
      .where('id', '=', current.id)
      .returningAll()
      .executeTakeFirstOrThrow()
      .catch(groupNameTaken);
    await record({
      type: 'organization.group.updated',
      subject: { type: 'group', id: row.id },
      environment: issuer.environment,
      issuerId: issuer.id,
      organizationId: organization.id,
      data: { changed, name: row.name, scopes: row.scopes },
    });
    return { body: { data: toGroupResource(row) }, version: row.version };
  },
});
