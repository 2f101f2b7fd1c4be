import { z } from 'zod';
import { searchField, text } from '../http/fields.ts';
import { positionOf, sortQuery } from '../http/listing.ts';
import { pageOf, pageQuery, toPage } from '../http/pagination.ts';
import { defineRoute } from '../http/route.ts';
import { toAccountResource } from './account.ts';
import { accountResource } from './account-schema.ts';
import { listAccounts } from './account-store.ts';

export const listAccountsRoute = defineRoute({
  method: 'GET',
  path: '/v1/accounts',
  operationId: 'accounts.list',
  summary: 'List the accounts of the installation',
  permission: 'gatelodge.accounts:read',
  level: 'operator',
  query: z.strictObject({
    ...pageQuery,
    sort: sortQuery,
    search: searchField.optional(),
    status: z.enum(['active', 'suspended', 'deleting']).optional(),
    plan: text(1, 64).optional(),
  }),
  responses: { 200: { description: 'A page of accounts.', schema: pageOf(accountResource) } },
  async handler({ tx, principal, query, cursors }) {
    const rows = await listAccounts(tx, principal.accountId, query, cursors);
    return { body: toPage(rows, query.limit, cursors, positionOf(query.sort), toAccountResource) };
  },
});
