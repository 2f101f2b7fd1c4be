import { z } from 'zod';
import { defineRoute } from '../http/route.ts';
import { toSupportGrantResource } from './support-grant.ts';
import { supportGrantParams, supportGrantResource } from './support-grant-schema.ts';
import { requireSupportGrant } from './support-grant-store.ts';

export const getSupportGrant = defineRoute({
  method: 'GET',
  path: '/v1/account/support-grants/{grant_id}',
  operationId: 'supportGrants.get',
  summary: 'Read a support grant',
  permission: 'gatelodge.support-grants:read',
  params: supportGrantParams,
  responses: { 200: { description: 'The grant.', schema: z.object({ data: supportGrantResource }) } },
  errors: ['wrong_environment'],
  async handler({ tx, principal, params, now }) {
    const row = await requireSupportGrant(tx, principal, params.grant_id);
    return { body: { data: toSupportGrantResource(row, now) }, version: row.version };
  },
});
