import { sql } from 'kysely';
import { defineRoute } from '../http/route.ts';
import type { Transaction } from '../postgres/database.ts';
import { issuerParams } from './issuer-schema.ts';
import { type IssuerRow, lockIssuer, raiseVersion } from './issuer-store.ts';

export const deleteIssuer = defineRoute({
  method: 'DELETE',
  path: '/v1/issuers/{issuer_id}',
  operationId: 'issuers.delete',
  summary: 'Delete an issuer with its organizations, keys and sandbox twin',
  permission: 'gatelodge.issuers:write',
  params: issuerParams,
  responses: { 204: { description: 'Deleted; there is no way back.' } },
  async handler({ services, tx, principal, params, ifMatch, record, afterCommit }) {
    const current = await lockIssuer(tx, principal, params.issuer_id, ifMatch);
    await markDeleted(tx, current);
    await record({
      type: 'issuer.deleted',
      subject: { type: 'issuer', id: current.id },
      environment: current.environment,
      issuerId: current.id,
      data: { name: current.name },
    });
    afterCommit(() => {
      services.cache.forget({ kind: 'issuer', id: current.id });
      if (current.sandbox_issuer_id !== null)
        services.cache.forget({ kind: 'issuer', id: current.sandbox_issuer_id });
      services.issuerDeletion.wake();
    });
    return { status: 204 };
  },
});

/**
 * From the commit on nobody finds the issuer or its twin any more, nor a key of theirs: a million rows below them can't
 * be deleted within one request, so a job does that (`createIssuerDeletion`).
 */
async function markDeleted(tx: Transaction, issuer: IssuerRow): Promise<void> {
  await tx
    .updateTable('issuers')
    // No twin any more: a live issuer that stays may have another at once.
    .set({ deleting: true, twin_of: null, version: sql`version + 1`, updated_at: sql`now()` })
    .where('account_id', '=', issuer.account_id)
    .where((eb) => eb.or([eb('id', '=', issuer.id), eb('twin_of', '=', issuer.id)]))
    .execute();
  if (issuer.twin_of !== null) await raiseVersion(tx, issuer.account_id, issuer.twin_of);
}
