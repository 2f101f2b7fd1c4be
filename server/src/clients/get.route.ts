import { z } from 'zod';
import { defineRoute } from '../http/route.ts';
import { toClientResource } from './client.ts';
import { clientParams, clientResource } from './client-schema.ts';
import { requireClient, secretsOf } from './client-store.ts';

export const getClient = defineRoute({
  method: 'GET',
  path: '/v1/issuers/{issuer_id}/clients/{client_id}',
  operationId: 'clients.get',
  summary: 'Read a client',
  permission: 'gatelodge.clients:read',
  params: clientParams,
  responses: { 200: { description: 'The client.', schema: z.object({ data: clientResource }) } },
  async handler({ tx, principal, params, now }) {
    const row = await requireClient(tx, principal, params);
    const secrets = await secretsOf(tx, row);
    return { body: { data: toClientResource(row, secrets, now) }, version: row.version };
  },
});
