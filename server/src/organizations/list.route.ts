import { z } from 'zod';
import { searchField, text } from '../http/fields.ts';
import { positionOf, sortQuery } from '../http/listing.ts';
import { pageOf, pageQuery, toPage } from '../http/pagination.ts';
import { defineRoute } from '../http/route.ts';
import { requireIssuer } from '../issuers/issuer-store.ts';
import { toOrganizationResource } from './organization.ts';
import { organizationResource, organizationsParams } from './organization-schema.ts';
import { listOrganizations } from './organization-store.ts';

export const listOrganizationsRoute = defineRoute({
  method: 'GET',
  path: '/v1/issuers/{issuer_id}/organizations',
  operationId: 'organizations.list',
  summary: 'List organizations',
  permission: 'gatelodge.organizations:read',
  params: organizationsParams,
  query: z.strictObject({
    ...pageQuery,
    sort: sortQuery,
    search: searchField.optional(),
    external_id: text(1, 128).optional(),
    status: z.enum(['active', 'suspended']).optional(),
    plan: text(1, 64).optional(),
  }),
  responses: { 200: { description: 'A page of organizations.', schema: pageOf(organizationResource) } },
  async handler({ tx, principal, params, query, cursors }) {
    const issuer = await requireIssuer(tx, principal, params.issuer_id);
    const rows = await listOrganizations(tx, principal, issuer.id, query, cursors);
    return { body: toPage(rows, query.limit, cursors, positionOf(query.sort), toOrganizationResource) };
  },
});
