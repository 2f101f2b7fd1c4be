import { z } from 'zod';
import { defineRoute } from '../http/route.ts';
import { holdAccountPlan } from '../plans/plan-store.ts';
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
    changeAccount(context, async (current) => {
      const { tx, body } = context;
      if (body.plan !== current.plan) await holdAccountPlan(tx, body.plan);
      return {
        set: {
          ...(body.name !== undefined && { name: body.name }),
          ...(body.plan !== undefined && { plan: body.plan }),
        },
        event: 'account.updated',
        data: { changed: Object.keys(body) },
      };
    }),
});
