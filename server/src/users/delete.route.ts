import { defineRoute } from '../http/route.ts';
import { requireIssuer } from '../issuers/issuer-store.ts';
import { leaveOrganizations } from '../members/leave-organizations.ts';
import { abandonSessions } from '../sessions/abandoned-sessions.ts';
import { userParams } from './user-schema.ts';
import { lockUser } from './user-store.ts';

export const deleteUser = defineRoute({
  method: 'DELETE',
  path: '/v1/issuers/{issuer_id}/users/{user_id}',
  operationId: 'users.delete',
  summary: 'Delete a user with its sessions',
  description:
    'Its memberships go along, with an event in the trail of each organization. A user who is made later under the same username has another id and nothing of this one.',
  permission: 'gatelodge.users:write',
  params: userParams,
  responses: { 204: { description: 'Deleted; there is no way back.' } },
  async handler({ tx, principal, params, now, ifMatch, record, recordAll }) {
    const current = await lockUser(tx, principal, params, ifMatch);
    const issuer = await requireIssuer(tx, principal, params.issuer_id);
    const left = await leaveOrganizations(tx, current, issuer.environment);
    await tx
      .deleteFrom('users')
      .where('account_id', '=', principal.accountId)
      .where('id', '=', current.id)
      .execute();
    const scope = { accountId: principal.accountId, issuerId: issuer.id, userId: current.id };
    await abandonSessions(tx, scope, now);
    await record({
      type: 'user.deleted',
      subject: { type: 'user', id: current.id },
      environment: issuer.environment,
      issuerId: issuer.id,
      data: { username_type: current.username_type },
    });
    await recordAll(left);
    return { status: 204 };
  },
});
