import { sql } from 'kysely';
import { z } from 'zod';
import { defineRoute } from '../http/route.ts';
import { requireIssuer } from '../issuers/issuer-store.ts';
import { toOrganizationResource } from './organization.ts';
import { organizationParams, organizationResource } from './organization-schema.ts';
import { lockOrganization } from './organization-store.ts';

/** Suspending and activating are one operation with two names; doing what is already done changes nothing. */
function defineStatusRoute(verb: 'suspend' | 'activate', status: 'suspended' | 'active', summary: string) {
  return defineRoute({
    method: 'POST',
    path: `/v1/issuers/{issuer_id}/organizations/{org_id}/${verb}`,
    operationId: `organizations.${verb}`,
    summary,
    permission: 'gatelodge.organizations:write',
    level: 'issuer',
    params: organizationParams,
    responses: {
      200: { description: 'The organization.', schema: z.object({ data: organizationResource }) },
    },
    async handler({ services, tx, principal, params, ifMatch, record, afterCommit }) {
      const current = await lockOrganization(tx, principal, params, ifMatch);
      if (current.status === status)
        return { body: { data: toOrganizationResource(current) }, version: current.version };
      const issuer = await requireIssuer(tx, principal, params.issuer_id);
      const row = await tx
        .updateTable('organizations')
        .set({ status, version: sql`version + 1`, updated_at: sql`now()` })
        .where('account_id', '=', principal.accountId)
        .where('id', '=', current.id)
        .returningAll()
        .executeTakeFirstOrThrow();
      await record({
        type: status === 'suspended' ? 'organization.suspended' : 'organization.activated',
        subject: { type: 'organization', id: row.id },
        environment: issuer.environment,
        issuerId: issuer.id,
        organizationId: row.id,
      });
      afterCommit(() => services.cache.forget({ kind: 'organization', id: row.id }));
      return { body: { data: toOrganizationResource(row) }, version: row.version };
    },
  });
}

export const suspendOrganization = defineStatusRoute(
  'suspend',
  'suspended',
  'Suspend an organization: its keys are refused, and issuer keys may not act for it',
);
export const activateOrganization = defineStatusRoute(
  'activate',
  'active',
  'Activate a suspended organization',
);
