import { sql } from 'kysely';
import { z } from 'zod';
import { defineRoute } from '../http/route.ts';
import { toSupportGrantResource } from './support-grant.ts';
import { supportGrantParams, supportGrantResource } from './support-grant-schema.ts';
import { lockSupportGrant } from './support-grant-store.ts';

export const revokeSupportGrant = defineRoute({
  method: 'POST',
  path: '/v1/account/support-grants/{grant_id}/revoke',
  operationId: 'supportGrants.revoke',
  summary: 'Revoke a support grant, at once and for good',
  description: 'Revoking a revoked grant changes nothing.',
  permission: 'gatelodge.support-grants:write',
  params: supportGrantParams,
  responses: { 200: { description: 'The grant.', schema: z.object({ data: supportGrantResource }) } },
  errors: ['wrong_environment'],
  async handler({ tx, principal, params, ifMatch, now, record }) {
    const current = await lockSupportGrant(tx, principal, params.grant_id, ifMatch);
    if (current.revoked_at !== null)
      return { body: { data: toSupportGrantResource(current, now) }, version: current.version };
    const row = await tx
      .updateTable('support_grants')
      .set({ revoked_at: now, version: sql`version + 1` })
      .where('account_id', '=', principal.accountId)
      .where('id', '=', current.id)
      .returningAll()
      .executeTakeFirstOrThrow();
    await record({
      type: 'support-grant.revoked',
      subject: { type: 'support_grant', id: row.id },
      environment: 'live',
    });
    return { body: { data: toSupportGrantResource(row, now) }, version: row.version };
  },
});
