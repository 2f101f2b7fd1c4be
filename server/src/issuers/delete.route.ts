import { sql } from 'kysely';
import type { NewEvent } from '../events/event.ts';
import { defineRoute } from '../http/route.ts';
import type { Transaction } from '../postgres/database.ts';
import type { JsonObject } from '../postgres/schema.ts';
import { issuerParams } from './issuer-schema.ts';
import { type IssuerRow, lockIssuer, raiseVersion } from './issuer-store.ts';

export const deleteIssuer = defineRoute({
  method: 'DELETE',
  path: '/v1/issuers/{issuer_id}',
  operationId: 'issuers.delete',
  summary: 'Delete an issuer with its organizations, keys and sandbox twin',
  permission: 'gatelodge.issuers:write',
  params: issuerParams,
  endsIssuer: true,
  responses: { 204: { description: 'Deleted; there is no way back.' } },
  async handler({ services, tx, principal, params, ifMatch, recordAll, afterCommit }) {
    const current = await lockIssuer(tx, principal, params.issuer_id, ifMatch);
    const twin = await markDeleted(tx, current);
    await recordAll([deleted(current), ...(twin === null ? [] : [deleted(twin, { twin_of: current.id })])]);
    afterCommit(() => {
      services.cache.forget({ kind: 'issuer', id: current.id });
      if (twin !== null) services.cache.forget({ kind: 'issuer', id: twin.id });
      services.issuerDeletion.wake();
    });
    return { status: 204 };
  },
});

type Doomed = Pick<IssuerRow, 'id' | 'name' | 'environment'>;

/** Each has a trail of its own, and whoever reads with a sandbox key sees that of the twin alone. */
function deleted({ id, name, environment }: Doomed, more: JsonObject = {}): NewEvent {
  return {
    type: 'issuer.deleted',
    subject: { type: 'issuer', id },
    environment,
    issuerId: id,
    data: { name, ...more },
  };
}

/**
 * From the commit on nobody finds the issuer or its twin any more, nor a key of theirs: a million rows below them can't
 * be deleted within one request, so a job does that (`createIssuerDeletion`).
 *
 * @returns the sandbox twin that goes along; null where there was none
 */
async function markDeleted(tx: Transaction, issuer: IssuerRow): Promise<Doomed | null> {
  const marked = await tx
    .updateTable('issuers')
    // No twin any more: a live issuer that stays may have another at once.
    .set({ deleting: true, twin_of: null, version: sql`version + 1`, updated_at: sql`now()` })
    .where('account_id', '=', issuer.account_id)
    .where((eb) => eb.or([eb('id', '=', issuer.id), eb('twin_of', '=', issuer.id)]))
    .returning(['id', 'name', 'environment'])
    .execute();
  if (issuer.twin_of !== null) await raiseVersion(tx, issuer.account_id, issuer.twin_of);
  return marked.find(({ id }) => id !== issuer.id) ?? null;
}
