import { z } from 'zod';
import { defineRoute } from '../http/route.ts';
import { accountParams, accountResource, patchAccountBody } from './account-schema.ts';
import { changeAccount } from './change-account.ts';

export const updateAccount = defineRoute({
  method: 'PATCH',
  path: '/v1/accounts/{account_id}',
  operationId: 'accounts.update',
  summary: 'Change the name or the plan of an account',
  permission: 'gatelodge.accounts:write',
  level: 'operator',
  params: accountParams,
  body: patchAccountBody,
  isMergePatch: true,
  responses: { 200: { description: 'The account.', schema: z.object({ data: accountResource }) } },
  errors: ['conflict'],
  handler: (context) =>
    changeAccount(context, () => ({
      set: {
        ...(context.body.name !== undefined && { name: context.body.name }),
        ...(context.body.plan !== undefined && { plan: context.body.plan }),
      },
      event: 'account.updated',
      data: { changed: Object.keys(context.body) },
    })),
});
