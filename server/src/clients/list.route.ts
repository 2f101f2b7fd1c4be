import { z } from 'zod';
import { searchField } from '../http/fields.ts';
import { positionOf, sortQuery } from '../http/listing.ts';
import { pageOf, pageQuery, toPage } from '../http/pagination.ts';
import { defineRoute } from '../http/route.ts';
import { requireIssuer } from '../issuers/issuer-store.ts';
import { toClientResource } from './client.ts';
import { clientResource, clientsParams } from './client-schema.ts';
import { clientTypes } from './client-settings.ts';
import { listClients, secretsOfEach } from './client-store.ts';

export const listClientsRoute = defineRoute({
  method: 'GET',
  path: '/v1/issuers/{issuer_id}/clients',
  operationId: 'clients.list',
  summary: 'List clients',
  permission: 'gatelodge.clients:read',
  params: clientsParams,
  query: z.strictObject({
    ...pageQuery,
    sort: sortQuery,
    search: searchField.optional(),
    type: z.enum(clientTypes).optional(),
    status: z.enum(['active', 'suspended']).optional(),
    confidential: z.enum(['true', 'false']).optional(),
  }),
  responses: { 200: { description: 'A page of clients.', schema: pageOf(clientResource) } },
  async handler({ tx, principal, params, query, cursors, now }) {
    const issuer = await requireIssuer(tx, principal, params.issuer_id);
    const rows = await listClients(tx, principal, issuer.id, query, cursors);
    const secrets = await secretsOfEach(tx, rows);
    return {
      body: toPage(rows, query.limit, cursors, positionOf(query.sort), (row) =>
        toClientResource(row, secrets.get(row.id) ?? [], now),
      ),
    };
  },
});
