import { z } from 'zod';
import { pageOf, pageQuery } from '../http/pagination.ts';
import { defineRoute } from '../http/route.ts';
import { usageBucketResource } from './usage-bucket.ts';
import { filterQuery, rangeQuery, usagePage } from './usage-query.ts';

export const listUsageRoute = defineRoute({
  method: 'GET',
  path: '/v1/usage',
  operationId: 'usage.list',
  summary: 'Read usage, the newest bucket first',
  description:
    'How many decisions there were about keys and how they came out, by hour, day or month (UTC), in total or by group. Empty buckets are left out. A key of an issuer or an organization sees the usage of that, of an organization its own keys alone with `group_by=key`; a sandbox key sees sandbox usage.',
  permission: 'gatelodge.usage:read',
  level: 'any',
  readsMetering: true,
  query: z.strictObject({ ...pageQuery, ...rangeQuery, ...filterQuery }),
  responses: { 200: { description: 'A page of buckets.', schema: pageOf(usageBucketResource) } },
  async handler({ tx, principal, query, cursors, now }) {
    return { body: await usagePage({ tx, principal, cursors, now }, query) };
  },
});
