import { sql } from 'kysely';
import { z } from 'zod';
import { defineRoute } from '../http/route.ts';
import { toIssuerResource } from './issuer.ts';
import { issuerParams, issuerResource } from './issuer-schema.ts';
import { lockIssuer, requireIssuer } from './issuer-store.ts';

/** Suspending and activating are one operation with two names; doing what is already done changes nothing. */
function defineStatusRoute(verb: 'suspend' | 'activate', status: 'suspended' | 'active', summary: string) {
  return defineRoute({
    method: 'POST',
    path: `/v1/issuers/{issuer_id}/${verb}`,
    operationId: `issuers.${verb}`,
    summary,
    permission: 'gatelodge.issuers:write',
    params: issuerParams,
    endsIssuer: status === 'suspended',
    responses: { 200: { description: 'The issuer.', schema: z.object({ data: issuerResource }) } },
    async handler({ services, tx, principal, params, ifMatch, record, afterCommit }) {
      const current = await lockIssuer(tx, principal, params.issuer_id, ifMatch);
      if (current.status === status)
        return { body: { data: toIssuerResource(current) }, version: current.version };
      await tx
        .updateTable('issuers')
        .set({ status, version: sql`version + 1`, updated_at: sql`now()` })
        .where('account_id', '=', principal.accountId)
        .where('id', '=', current.id)
        .execute();
      await record({
        type: status === 'suspended' ? 'issuer.suspended' : 'issuer.activated',
        subject: { type: 'issuer', id: current.id },
        environment: current.environment,
        issuerId: current.id,
      });
      afterCommit(() => services.cache.forget({ kind: 'issuer', id: current.id }));
      const row = await requireIssuer(tx, principal, current.id);
      return { body: { data: toIssuerResource(row) }, version: row.version };
    },
  });
}

export const suspendIssuer = defineStatusRoute(
  'suspend',
  'suspended',
  'Suspend an issuer: every key of it is refused',
);
export const activateIssuer = defineStatusRoute('activate', 'active', 'Activate a suspended issuer');
