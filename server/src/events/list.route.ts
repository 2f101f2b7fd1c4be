import { z } from 'zod';
import { environmentField, timestampField } from '../http/fields.ts';
import { pageOf, pageQuery, toPage } from '../http/pagination.ts';
import { defineRoute } from '../http/route.ts';
import { idPrefixes, isId } from '../ids/ids.ts';
import { listEvents, toEventResource } from './event-list.ts';

export const eventResource = z
  .object({
    id: z.string(),
    type: z.string().describe('Dotted, in the past tense, such as `api-key.created`.'),
    created_at: timestampField,
    account_id: z.string(),
    issuer_id: z.string().nullable(),
    organization_id: z.string().nullable(),
    environment: environmentField,
    actor: z.object({
      type: z.enum(['api_key', 'system']),
      id: z.string(),
      ip: z.string().nullable(),
      user_agent: z.string().nullable(),
    }),
    subject: z.object({ type: z.string(), id: z.string() }),
    request_id: z.string().nullable(),
    data: z.record(z.string(), z.json()),
  })
  .meta({ id: 'Event' });

export const listEventsRoute = defineRoute({
  method: 'GET',
  path: '/v1/events',
  operationId: 'events.list',
  summary: 'List events, newest first',
  description:
    'A key of an issuer or an organization sees what happened there; a sandbox key what happened in sandbox.',
  permission: 'gatelodge.events:read',
  level: 'any',
  query: z.strictObject({
    ...pageQuery,
    issuer_id: z
      .string()
      .refine((value) => isId(idPrefixes.issuer, value), 'must be the id of an issuer, i_…')
      .optional(),
    type: z
      .string()
      .max(100)
      .regex(/^[a-z-]+(\.[a-z_-]+)+$/, 'must be the type of an event, such as api-key.created')
      .optional()
      .describe('Exactly one type, such as `api-key.created`.'),
  }),
  responses: { 200: { description: 'A page of events.', schema: pageOf(eventResource) } },
  async handler({ tx, principal, query, cursors }) {
    const rows = await listEvents(tx, principal, query, cursors);
    return { body: toPage(rows, query.limit, cursors, (row) => [row.id], toEventResource) };
  },
});
