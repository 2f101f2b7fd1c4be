import { sql } from 'kysely';
import { z } from 'zod';
import { defineRoute } from '../http/route.ts';
import { requireIssuer } from '../issuers/issuer-store.ts';
import { toClientResource } from './client.ts';
import { clientParams, clientResource } from './client-schema.ts';
import { lockClient, secretsOf } from './client-store.ts';

/** Suspending and activating are one operation with two names; doing what is already done changes nothing. */
function defineStatusRoute(verb: 'suspend' | 'activate', status: 'suspended' | 'active', summary: string) {
  return defineRoute({
    method: 'POST',
    path: `/v1/issuers/{issuer_id}/clients/{client_id}/${verb}`,
    operationId: `clients.${verb}`,
    summary,
    permission: 'gatelodge.clients:write',
    params: clientParams,
    responses: { 200: { description: 'The client.', schema: z.object({ data: clientResource }) } },
    async handler({ services, tx, principal, params, ifMatch, now, record, afterCommit }) {
      const current = await lockClient(tx, principal, params, ifMatch);
      const secrets = await secretsOf(tx, current);
      if (current.status === status)
        return { body: { data: toClientResource(current, secrets, now) }, version: current.version };
      const issuer = await requireIssuer(tx, principal, params.issuer_id);
      const row = await tx
        .updateTable('clients')
        .set({ status, version: sql`version + 1`, updated_at: sql`now()` })
        .where('account_id', '=', principal.accountId)
        .where('id', '=', current.id)
        .returningAll()
        .executeTakeFirstOrThrow();
      await record({
        type: status === 'suspended' ? 'client.suspended' : 'client.activated',
        subject: { type: 'client', id: row.id },
        environment: issuer.environment,
        issuerId: issuer.id,
      });
      afterCommit(() => services.cache.forget({ kind: 'client', id: row.id }));
      return { body: { data: toClientResource(row, secrets, now) }, version: row.version };
    },
  });
}

export const suspendClient = defineStatusRoute(
  'suspend',
  'suspended',
  'Suspend a client: nobody signs in with it, and its tokens are refused',
);
export const activateClient = defineStatusRoute('activate', 'active', 'Activate a suspended client');
