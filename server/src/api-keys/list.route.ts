import { z } from 'zod';
import { environmentField, searchField } from '../http/fields.ts';
import { pageOf, pageQuery, toPage } from '../http/pagination.ts';
import { defineRoute } from '../http/route.ts';
import { toApiKeyResource } from './api-key.ts';
import { apiKeyResource, apiKeyStatusField } from './api-key-schema.ts';
import { keyPositionOf, keySortQuery, listApiKeys, requirePlace } from './api-key-store.ts';
import { keyLevels } from './levels.ts';

export const listApiKeyRoutes = keyLevels.map((level) =>
  defineRoute({
    method: 'GET',
    path: level.path,
    operationId: `${level.operations}.list`,
    summary: `List the API keys of ${level.owner}`,
    description: 'Those of this level only, not the ones of issuers or organizations below it.',
    permission: 'gatelodge.api-keys:read',
    params: level.params,
    query: z.strictObject({
      ...pageQuery,
      sort: keySortQuery,
      search: searchField.optional(),
      status: apiKeyStatusField.optional(),
      kind: z.enum(['secret', 'publishable']).optional(),
      environment: environmentField.optional(),
    }),
    responses: { 200: { description: 'A page of keys.', schema: pageOf(apiKeyResource) } },
    async handler({ tx, principal, params, query, now, cursors }) {
      const place = await requirePlace(tx, principal, params);
      const rows = await listApiKeys(tx, principal, place, query, now, cursors);
      const render = (row: (typeof rows)[number]) => toApiKeyResource(row, now);
      return { body: toPage(rows, query.limit, cursors, keyPositionOf(query.sort), render) };
    },
  }),
);
