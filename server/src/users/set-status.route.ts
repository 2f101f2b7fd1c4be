import { sql } from 'kysely';
import { z } from 'zod';
import { AppError } from '../errors.ts';
import { defineRoute } from '../http/route.ts';
import { requireIssuer } from '../issuers/issuer-store.ts';
import { endSessions } from '../sessions/session-store.ts';
import { toUserResource } from './user.ts';
import { userParams, userResource } from './user-schema.ts';
import { lockUser } from './user-store.ts';

/** Suspending and activating are one operation with two names; doing what is already done changes nothing. */
function defineStatusRoute(verb: 'suspend' | 'activate', status: 'suspended' | 'active', summary: string) {
  return defineRoute({
    method: 'POST',
    path: `/v1/issuers/{issuer_id}/users/{user_id}/${verb}`,
    operationId: `users.${verb}`,
    summary,
    permission: 'gatelodge.users:write',
    params: userParams,
    responses: { 200: { description: 'The user.', schema: z.object({ data: userResource }) } },
    async handler({ services, tx, principal, params, now, ifMatch, record, recordAll, afterCommit }) {
      const current = await lockUser(tx, principal, params, ifMatch);
      if (current.status === status)
        return { body: { data: toUserResource(current) }, version: current.version };
      if (status === 'active' && current.sessions_end_before !== null) throw stillEnding();
      const issuer = await requireIssuer(tx, principal, params.issuer_id);
      const row = await tx
        .updateTable('users')
        .set({ status, version: sql`version + 1`, updated_at: sql`now()` })
        .where('account_id', '=', principal.accountId)
        .where('id', '=', current.id)
        .returningAll()
        .executeTakeFirstOrThrow();
      await record({
        type: status === 'suspended' ? 'user.suspended' : 'user.activated',
        subject: { type: 'user', id: row.id },
        environment: issuer.environment,
        issuerId: issuer.id,
      });
      if (status === 'suspended') {
        const scope = {
          accountId: principal.accountId,
          issuerId: issuer.id,
          environment: issuer.environment,
          userId: row.id,
        };
        // For good: whoever was signed in as this user when it had to be stopped does not come back with it.
        await endSessions(tx, scope, 'user_suspended', { now, recordAll });
        afterCommit(() => services.sessionEnds.wake());
      }
      return { body: { data: toUserResource(row) }, version: row.version };
    },
  });
}

/** Of a user who is active again the sessions that are left would count again. */
function stillEnding(): AppError {
  return new AppError('unavailable', {
    detail: 'The user has very many sessions, which are still being ended. Try again shortly.',
    headers: { 'Retry-After': '2' },
  });
}

export const suspendUser = defineStatusRoute(
  'suspend',
  'suspended',
  'Suspend a user: it can’t sign in, and its sessions end',
);
export const activateUser = defineStatusRoute(
  'activate',
  'active',
  'Activate a suspended user, who has to sign in anew',
);
