import { z } from 'zod';
import { defineRoute } from '../http/route.ts';
import { toAccountResource } from './account.ts';
import { accountParams, accountResource } from './account-schema.ts';
import { requireAccount } from './account-store.ts';

export const getAccount = defineRoute({
  method: 'GET',
  path: '/v1/accounts/{account_id}',
  operationId: 'accounts.get',
  summary: 'Read an account',
  permission: 'gatelodge.accounts:read',
  level: 'operator',
  params: accountParams,
  responses: { 200: { description: 'The account.', schema: z.object({ data: accountResource }) } },
  async handler({ tx, principal, params }) {
    const row = await requireAccount(tx, principal.accountId, params.account_id);
    return { body: { data: toAccountResource(row) }, version: row.version };
  },
});
