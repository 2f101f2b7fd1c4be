import { z } from 'zod';
import { defineRoute } from '../http/route.ts';
import { toOrganizationResource } from './organization.ts';
import { organizationParams, organizationResource } from './organization-schema.ts';
import { requireOrganization } from './organization-store.ts';

export const getOrganization = defineRoute({
  method: 'GET',
  path: '/v1/issuers/{issuer_id}/organizations/{org_id}',
  operationId: 'organizations.get',
  summary: 'Read an organization',
  permission: 'gatelodge.organizations:read',
  params: organizationParams,
  responses: { 200: { description: 'The organization.', schema: z.object({ data: organizationResource }) } },
  async handler({ tx, principal, params }) {
    const row = await requireOrganization(tx, principal, params);
    return { body: { data: toOrganizationResource(row) }, version: row.version };
  },
});
