import { isDeepStrictEqual } from 'node:util';
import { sql } from 'kysely';
import { z } from 'zod';
import { shownNameField } from '../http/fields.ts';
import { mergePatch } from '../http/merge-patch.ts';
import { defineRoute } from '../http/route.ts';
import { parseInput } from '../http/validation.ts';
import { requireIssuer } from '../issuers/issuer-store.ts';
import { holdPlan } from '../plans/plan-store.ts';
import type { Json } from '../postgres/schema.ts';
import { externalIdTaken } from './external-id-taken.ts';
import { toOrganizationResource } from './organization.ts';
import {
  organizationMembers,
  organizationParams,
  organizationResource,
  patchOrganizationBody,
} from './organization-schema.ts';
import { lockOrganization } from './organization-store.ts';

export const updateOrganization = defineRoute({
  method: 'PATCH',
  path: '/v1/issuers/{issuer_id}/organizations/{org_id}',
  operationId: 'organizations.update',
  summary: 'Change an organization',
  permission: 'gatelodge.organizations:write',
  level: 'issuer',
  params: organizationParams,
  body: patchOrganizationBody,
  isMergePatch: true,
  responses: { 200: { description: 'The organization.', schema: z.object({ data: organizationResource }) } },
  errors: ['external_id_taken'],
  async handler({ services, tx, principal, params, body, ifMatch, record, afterCommit }) {
    const current = await lockOrganization(tx, principal, params, ifMatch);
    const { name, external_id, plan, metadata } = current;
    const before = { name, external_id, plan, metadata };
    const after = parseInput(organizationMembers, mergePatch(before, body as Json));
    const changed = (['name', 'external_id', 'plan', 'metadata'] as const).filter(
      (member) => !isDeepStrictEqual(after[member], before[member]),
    );
    if (changed.length === 0)
      return { body: { data: toOrganizationResource(current) }, version: current.version };
    if (after.name !== name) parseInput(shownNameField, after.name, 'name');
    if (after.plan !== plan) await holdPlan(tx, principal.accountId, after.plan);
    const issuer = await requireIssuer(tx, principal, params.issuer_id);
    const row = await tx
      .updateTable('organizations')
      .set({
        ...after,
        metadata: JSON.stringify(after.metadata),
        version: sql`version + 1`,
        updated_at: sql`now()`,
      })
      .where('account_id', '=', principal.accountId)
      .where('id', '=', current.id)
      .returningAll()
      .executeTakeFirstOrThrow()
      .catch(externalIdTaken);
    await record({
      type: 'organization.updated',
      subject: { type: 'organization', id: row.id },
      environment: issuer.environment,
      issuerId: issuer.id,
      organizationId: row.id,
      data: { changed },
    });
    afterCommit(() => services.cache.forget({ kind: 'organization', id: row.id }));
    return { body: { data: toOrganizationResource(row) }, version: row.version };
  },
});
