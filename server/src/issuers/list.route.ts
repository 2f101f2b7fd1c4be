import { z } from 'zod';
import { environmentField, searchField, text } from '../http/fields.ts';
import { positionOf, sortQuery } from '../http/listing.ts';
import { pageOf, pageQuery, toPage } from '../http/pagination.ts';
import { defineRoute } from '../http/route.ts';
import { toIssuerResource } from './issuer.ts';
import { issuerResource } from './issuer-schema.ts';
import { listIssuers } from './issuer-store.ts';

export const listIssuersRoute = defineRoute({
  method: 'GET',
  path: '/v1/issuers',
  operationId: 'issuers.list',
  summary: 'List issuers',
  permission: 'gatelodge.issuers:read',
  query: z.strictObject({
    ...pageQuery,
    sort: sortQuery,
    search: searchField.optional(),
    environment: environmentField.optional(),
    status: z.enum(['active', 'suspended']).optional(),
    plan: text(1, 64).optional(),
  }),
  responses: { 200: { description: 'A page of issuers.', schema: pageOf(issuerResource) } },
  async handler({ tx, principal, query, cursors }) {
    const rows = await listIssuers(tx, principal, query, cursors);
    return { body: toPage(rows, query.limit, cursors, positionOf(query.sort), toIssuerResource) };
  },
});
