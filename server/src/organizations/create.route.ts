import { z } from 'zod';
import { defineRoute } from '../http/route.ts';
import { idPrefixes, newId } from '../ids/ids.ts';
import { requireIssuer } from '../issuers/issuer-store.ts';
import { holdPlan } from '../plans/plan-store.ts';
import { externalIdTaken } from './external-id-taken.ts';
import { toOrganizationResource } from './organization.ts';
import { createOrganizationBody, organizationResource, organizationsParams } from './organization-schema.ts';

export const createOrganization = defineRoute({
  method: 'POST',
  path: '/v1/issuers/{issuer_id}/organizations',
  operationId: 'organizations.create',
  summary: 'Create an organization',
  permission: 'gatelodge.organizations:write',
  creates: true,
  params: organizationsParams,
  body: createOrganizationBody,
  responses: { 201: { description: 'The organization.', schema: z.object({ data: organizationResource }) } },
  errors: ['external_id_taken'],
  async handler({ tx, principal, params, body, record }) {
    const issuer = await requireIssuer(tx, principal, params.issuer_id);
    await holdPlan(tx, principal.accountId, body.plan);
    const id = newId(idPrefixes.organization);
    const row = await tx
      .insertInto('organizations')
      .values({
        id,
        account_id: principal.accountId,
        issuer_id: issuer.id,
        name: body.name,
        external_id: body.external_id ?? null,
        plan: body.plan ?? null,
        metadata: JSON.stringify(body.metadata ?? {}),
      })
      .returningAll()
      .executeTakeFirstOrThrow()
      .catch(externalIdTaken);
    await record({
      type: 'organization.created',
      subject: { type: 'organization', id },
      environment: issuer.environment,
      issuerId: issuer.id,
      organizationId: id,
      data: { name: row.name, external_id: row.external_id },
    });
    return {
      status: 201,
      body: { data: toOrganizationResource(row) },
      version: row.version,
      headers: { Location: `/v1/issuers/${issuer.id}/organizations/${id}` },
    };
  },
});
