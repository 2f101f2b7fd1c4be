import { z } from 'zod';
import { defineRoute } from '../http/route.ts';
import { requireIssuer } from '../issuers/issuer-store.ts';
import { lockUser } from '../users/user-store.ts';
import { toSessionResource } from './session.ts';
import { sessionParams, sessionResource, userSessionsParams } from './session-schema.ts';
import { endSessions, lockSession, requireSession } from './session-store.ts';

export const revokeSession = defineRoute({
  method: 'POST',
  path: '/v1/issuers/{issuer_id}/sessions/{session_id}/revoke',
  operationId: 'sessions.revoke',
  summary: 'End a session',
  description:
    'Its tokens are refused from the next request on. Where a JWT of it is verified without asking us, it is good until its `exp`. Ending what is over already changes nothing.',
  permission: 'gatelodge.sessions:write',
  params: sessionParams,
  responses: { 200: { description: 'The session.', schema: z.object({ data: sessionResource }) } },
  async handler({ tx, principal, params, now, ifMatch, recordAll }) {
    const current = await lockSession(tx, principal, params, ifMatch);
    const issuer = await requireIssuer(tx, principal, params.issuer_id);
    const scope = {
      accountId: principal.accountId,
      issuerId: issuer.id,
      environment: issuer.environment,
      sessionId: current.id,
    };
    await endSessions(tx, scope, 'revoked', { now, recordAll });
    const row = await requireSession(tx, principal, params);
    return { body: { data: toSessionResource(row, now) }, version: row.version };
  },
});

export const revokeUserSessions = defineRoute({
  method: 'POST',
  path: '/v1/issuers/{issuer_id}/users/{user_id}/sessions/revoke',
  operationId: 'user.sessions.revoke',
  summary: 'End every session of a user',
  description:
    'The user may sign in anew at once; to keep it out, suspend it. Of more than 1,000 sessions the newest end at once and the others within seconds. If-Match takes the user’s ETag.',
  permission: 'gatelodge.sessions:write',
  params: userSessionsParams,
  responses: {
    200: {
      description: 'How many were ended, or are about to be.',
      schema: z.object({ data: z.object({ revoked: z.int() }) }).meta({ id: 'SessionsRevoked' }),
      isReport: true,
    },
  },
  async handler({ services, tx, principal, params, now, ifMatch, recordAll, afterCommit }) {
    const user = await lockUser(tx, principal, params, ifMatch);
    const issuer = await requireIssuer(tx, principal, params.issuer_id);
    const scope = {
      accountId: principal.accountId,
      issuerId: issuer.id,
      environment: issuer.environment,
      userId: user.id,
    };
    const revoked = await endSessions(tx, scope, 'revoked', { now, recordAll });
    afterCommit(() => services.sessionEnds.wake());
    return { body: { data: { revoked } } };
  },
});
