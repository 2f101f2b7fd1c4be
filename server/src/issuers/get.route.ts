import { z } from 'zod';
import { defineRoute } from '../http/route.ts';
import { toIssuerResource } from './issuer.ts';
import { issuerParams, issuerResource } from './issuer-schema.ts';
import { requireIssuer } from './issuer-store.ts';

export const getIssuer = defineRoute({
  method: 'GET',
  path: '/v1/issuers/{issuer_id}',
  operationId: 'issuers.get',
  summary: 'Read an issuer',
  permission: 'gatelodge.issuers:read',
  params: issuerParams,
  responses: { 200: { description: 'The issuer.', schema: z.object({ data: issuerResource }) } },
  async handler({ tx, principal, params }) {
    const row = await requireIssuer(tx, principal, params.issuer_id);
    return { body: { data: toIssuerResource(row) }, version: row.version };
  },
});
