import { defineRoute } from '../http/route.ts';
import { issuerParams } from './issuer-schema.ts';
import { lockIssuer } from './issuer-store.ts';

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
    await tx
      .deleteFrom('issuers')
      .where('account_id', '=', principal.accountId)
      .where('id', '=', current.id)
      .execute();
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
    });
    return { status: 204 };
  },
});
