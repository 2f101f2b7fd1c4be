import { defineRoute } from '../http/route.ts';
import { requireIssuer } from '../issuers/issuer-store.ts';
import { organizationParams } from './organization-schema.ts';
import { lockOrganization } from './organization-store.ts';
import { leaveRestBehind } from './organization-sweep.ts';

export const deleteOrganization = defineRoute({
  method: 'DELETE',
  path: '/v1/issuers/{issuer_id}/organizations/{org_id}',
  operationId: 'organizations.delete',
  summary: 'Delete an organization with its keys, members and groups',
  permission: 'gatelodge.organizations:write',
  level: 'issuer',
  params: organizationParams,
  responses: { 204: { description: 'Deleted; there is no way back.' } },
  async handler({ services, tx, principal, params, ifMatch, record, afterCommit }) {
    const current = await lockOrganization(tx, principal, params, ifMatch);
    const issuer = await requireIssuer(tx, principal, params.issuer_id);
    await tx
      .deleteFrom('organizations')
      .where('account_id', '=', principal.accountId)
      .where('id', '=', current.id)
      .execute();
    await leaveRestBehind(tx, current);
    await record({
      type: 'organization.deleted',
      subject: { type: 'organization', id: current.id },
      environment: issuer.environment,
      issuerId: issuer.id,
      organizationId: current.id,
      data: { name: current.name, external_id: current.external_id },
    });
    afterCommit(() => {
      services.cache.forget({ kind: 'organization', id: current.id });
      services.organizationSweep.wake();
    });
    return { status: 204 };
  },
});
