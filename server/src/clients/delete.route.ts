import { sql } from 'kysely';
import { defineRoute } from '../http/route.ts';
import { requireIssuer } from '../issuers/issuer-store.ts';
import { clientParams } from './client-schema.ts';
import { lockClient } from './client-store.ts';

export const deleteClient = defineRoute({
  method: 'DELETE',
  path: '/v1/issuers/{issuer_id}/clients/{client_id}',
  operationId: 'clients.delete',
  summary: 'Delete a client and end its sessions',
  description:
    'Its secrets, tokens and sessions are refused from now on. The sessions are marked as ended in the background.',
  permission: 'gatelodge.clients:write',
  params: clientParams,
  responses: { 204: { description: 'Deleted; there is no way back.' } },
  async handler({ services, tx, principal, params, ifMatch, record, afterCommit }) {
    const current = await lockClient(tx, principal, params, ifMatch);
    const issuer = await requireIssuer(tx, principal, params.issuer_id);
    await tx
      .deleteFrom('client_secrets')
      .where('account_id', '=', principal.accountId)
      .where('issuer_id', '=', issuer.id)
      .where('client_id', '=', current.id)
      .execute();
    await tx
      .updateTable('clients')
      .set({ deleting: true, version: sql`version + 1`, updated_at: sql`now()` })
      .where('account_id', '=', principal.accountId)
      .where('id', '=', current.id)
      .execute();
    await record({
      type: 'client.deleted',
      subject: { type: 'client', id: current.id },
      environment: issuer.environment,
      issuerId: issuer.id,
      data: { name: current.name },
    });
    afterCommit(() => {
      services.cache.forget({ kind: 'client', id: current.id });
      services.clientDeletion.wake();
    });
    return { status: 204 };
  },
});
