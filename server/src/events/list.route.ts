import { z } from 'zod';
import { environmentField, idField, instantField, timestampField } from '../http/fields.ts';
import { pageOf, pageQuery, toPage } from '../http/pagination.ts';
import { defineRoute } from '../http/route.ts';
import { idPrefixes } from '../ids/ids.ts';
import { listEvents, toEventResource } from './event-list.ts';

export const eventResource = z
  .object({
    id: z.string(),
    type: z.string().describe('Dotted, in the past tense, such as `api-key.created`.'),
    created_at: timestampField.describe('Of what is counted: when the first of them was.'),
    account_id: z.string(),
    issuer_id: z.string().nullable(),
    organization_id: z.string().nullable(),
    environment: environmentField,
    actor: z.object({
      type: z.enum(['api_key', 'user', 'system']),
      id: z.string(),
      ip: z.string().nullable(),
      user_agent: z.string().nullable(),
    }),
    subject: z.object({ type: z.string(), id: z.string() }),
    request_id: z.string().nullable(),
    data: z
      .record(z.string(), z.json())
      .describe('Of `api-key.verified` and `api-key.rejected`: `code`, as a verification answers it.'),
    count: z
      .int()
      .nullable()
      .describe(
        'How often it happened in its minute; for `api-key.verified` and `api-key.rejected`, which are one event for each key, code and minute, and `otp.failed`, one for each issuer, key and minute, growing until the minute is over. null for any other, which happened once.',
      ),
    last_at: timestampField.nullable().describe('When the last of them was; null where `count` is.'),
  })
  .meta({ id: 'Event' });

/** Ids, the names of jobs (an actor) and of plans (a subject). */
const nameOrId = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/, 'must be an id, such as key_…');

export const listEventsRoute = defineRoute({
  method: 'GET',
  path: '/v1/events',
  operationId: 'events.list',
  summary: 'List events, newest first',
  description:
    'What was done by way of this API, and the traffic of keys: `api-key.verified` and `api-key.rejected`, one for each key, code and minute. `otp.failed` is one for each issuer, key and minute, and tells where the first guess came from. A key of an issuer or an organization sees what happened there; a sandbox key what happened in sandbox.',
  permission: 'gatelodge.events:read',
  level: 'any',
  readsMetering: true,
  query: z.strictObject({
    ...pageQuery,
    type: z
      .string()
      .max(100)
      .regex(/^[a-z-]+(\.[a-z_-]+)+$/, 'must be the type of an event, such as api-key.created')
      .optional()
      .describe('Exactly one type, such as `api-key.created`.'),
    issuer_id: idField(idPrefixes.issuer, 'an issuer').optional(),
    organization_id: idField(idPrefixes.organization, 'an organization').optional(),
    actor: nameOrId.optional().describe('Id of who did it: of a key, or the name of a job.'),
    subject: nameOrId.optional().describe('Id of what it was done to.'),
    after: instantField.optional().describe('What happened after this moment.'),
    before: instantField.optional().describe('What happened before this moment.'),
  }),
  responses: { 200: { description: 'A page of events.', schema: pageOf(eventResource) } },
  async handler({ tx, principal, query, cursors }) {
    const rows = await listEvents(tx, principal, query, cursors);
    return { body: toPage(rows, query.limit, cursors, (row) => [row.id], toEventResource) };
  },
});
