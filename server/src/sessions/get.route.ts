import { z } from 'zod';
import { defineRoute } from '../http/route.ts';
import { toSessionResource } from './session.ts';
import { sessionParams, sessionResource } from './session-schema.ts';
import { requireSession } from './session-store.ts';

export const getSession = defineRoute({
  method: 'GET',
  path: '/v1/issuers/{issuer_id}/sessions/{session_id}',
  operationId: 'sessions.get',
  summary: 'Read a session',
  permission: 'gatelodge.sessions:read',
  params: sessionParams,
  responses: { 200: { description: 'The session.', schema: z.object({ data: sessionResource }) } },
  async handler({ tx, principal, params, now }) {
    const row = await requireSession(tx, principal, params);
    return { body: { data: toSessionResource(row, now) }, version: row.version };
  },
});
