import { z } from 'zod';
import { defineRoute } from '../http/route.ts';
import { requireIssuer } from '../issuers/issuer-store.ts';
import { holdOrganization } from '../organizations/organization-store.ts';
import { toGroupResource } from './group.ts';
import { createGroupBody, groupResource, groupsParams, maxGroups } from './group-schema.ts';
import { insertGroup } from './group-store.ts';

export const createGroup = defineRoute({
  method: 'POST',
  path: '/v1/issuers/{issuer_id}/organizations/{org_id}/groups',
  operationId: 'organization.groups.create',
  summary: 'Create a group of an organization',
  description: `A named set of scopes for members. An organization has at most ${maxGroups} groups.`,
  permission: 'gatelodge.groups:write',
  creates: true,
  params: groupsParams,
  body: createGroupBody,
  responses: { 201: { description: 'The group.', schema: z.object({ data: groupResource }) } },
  errors: ['group_name_taken', 'limit_reached'],
  async handler({ tx, principal, params, body, record }) {
    const organization = await holdOrganization(tx, principal, params, 'groups');
    const issuer = await requireIssuer(tx, principal, params.issuer_id);
    const row = await insertGroup(tx, organization, body);
    await record({
      type: 'organization.group.created',
      subject: { type: 'group', id: row.id },
      environment: issuer.environment,
      issuerId: issuer.id,
      organizationId: organization.id,
      data: { name: row.name, scopes: row.scopes },
    });
    return {
      status: 201,
      body: { data: toGroupResource(row) },
      version: row.version,
      headers: {
        Location: `/v1/issuers/${issuer.id}/organizations/${organization.id}/groups/${row.id}`,
      },
    };
  },
});
