import { z } from 'zod';
import { requireApiKey, requirePlace } from '../api-keys/api-key-store.ts';
import { itemParams, keyLevels } from '../api-keys/levels.ts';
import { pageOf, pageQuery } from '../http/pagination.ts';
import { defineRoute } from '../http/route.ts';
import { usageBucketResource } from './usage-bucket.ts';
import { rangeQuery, usagePage } from './usage-query.ts';

export const keyUsageRoutes = keyLevels.map((level) =>
  defineRoute({
    method: 'GET',
    path: `${level.path}/{key_id}/usage`,
    operationId: `${level.operations}.usage`,
    summary: `Read the usage of an API key of ${level.owner}`,
    description: 'As `GET /v1/usage` with its `key_id`.',
    permission: 'gatelodge.usage:read',
    readsMetering: true,
    params: itemParams(level),
    query: z.strictObject({
      ...pageQuery,
      ...rangeQuery,
      group_by: z.enum(['organization', 'code']).optional().describe('Makes a bucket for each.'),
    }),
    responses: { 200: { description: 'A page of buckets.', schema: pageOf(usageBucketResource) } },
    async handler({ tx, principal, params, query, cursors, now }) {
      const place = await requirePlace(tx, principal, params);
      const { id } = await requireApiKey(tx, principal, place, params);
      return { body: await usagePage({ tx, principal, cursors, now }, { ...query, key_id: id }) };
    },
  }),
);
