import { z } from 'zod';
import { idField } from '../http/fields.ts';
import { pageOf, toPage } from '../http/pagination.ts';
import { defineRoute } from '../http/route.ts';
import { idPrefixes } from '../ids/ids.ts';
import { requireIssuer } from '../issuers/issuer-store.ts';
import { requireUser } from '../users/user-store.ts';
import { toSessionResource } from './session.ts';
import { sessionResource, sessionsParams, sessionsQuery, userSessionsParams } from './session-schema.ts';
import { listSessions } from './session-store.ts';

const responses = { 200: { description: 'A page of sessions.', schema: pageOf(sessionResource) } };
const description =
  'Newest first. A session that is over stays in the list for a week, and in the trail of events for as long as that is kept.';

export const listSessionsRoute = defineRoute({
  method: 'GET',
  path: '/v1/issuers/{issuer_id}/sessions',
  operationId: 'sessions.list',
  summary: 'List the sessions of an issuer’s users',
  description,
  permission: 'gatelodge.sessions:read',
  params: sessionsParams,
  query: z.strictObject({ ...sessionsQuery, user_id: idField(idPrefixes.user, 'a user').optional() }),
  responses,
  async handler({ tx, principal, params, query, now, cursors }) {
    const issuer = await requireIssuer(tx, principal, params.issuer_id);
    const rows = await listSessions(tx, principal, issuer.id, query, now, cursors);
    return {
      body: toPage(
        rows,
        query.limit,
        cursors,
        ({ id }) => [id],
        (row) => toSessionResource(row, now),
      ),
    };
  },
});

export const listUserSessions = defineRoute({
  method: 'GET',
  path: '/v1/issuers/{issuer_id}/users/{user_id}/sessions',
  operationId: 'user.sessions.list',
  summary: 'List the sessions of a user',
  description,
  permission: 'gatelodge.sessions:read',
  params: userSessionsParams,
  query: z.strictObject(sessionsQuery),
  responses,
  async handler({ tx, principal, params, query, now, cursors }) {
    const user = await requireUser(tx, principal, params);
    const filter = { ...query, user_id: user.id };
    const rows = await listSessions(tx, principal, user.issuer_id, filter, now, cursors);
    return {
      body: toPage(
        rows,
        query.limit,
        cursors,
        ({ id }) => [id],
        (row) => toSessionResource(row, now),
      ),
    };
  },
});
