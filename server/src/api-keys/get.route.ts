import { z } from 'zod';
import { defineRoute } from '../http/route.ts';
import { toApiKeyResource } from './api-key.ts';
import { apiKeyWithTrafficResource } from './api-key-schema.ts';
import { requireApiKey, requirePlace } from './api-key-store.ts';
import { itemParams, keyLevels } from './levels.ts';
import { trafficOfRotation } from './rotation-traffic.ts';

export const getApiKeyRoutes = keyLevels.map((level) =>
  defineRoute({
    method: 'GET',
    path: `${level.path}/{key_id}`,
    operationId: `${level.operations}.get`,
    summary: `Read an API key of ${level.owner}`,
    permission: 'gatelodge.api-keys:read',
    readsMetering: true,
    params: itemParams(level),
    responses: { 200: { description: 'The key.', schema: z.object({ data: apiKeyWithTrafficResource }) } },
    async handler({ tx, principal, params, now }) {
      const place = await requirePlace(tx, principal, params);
      const row = await requireApiKey(tx, principal, place, params);
      const traffic = await trafficOfRotation(tx, row, now);
      const resource = { ...toApiKeyResource(row, now), ...(traffic !== null && { traffic }) };
      return { body: { data: resource }, version: row.version };
    },
  }),
);
