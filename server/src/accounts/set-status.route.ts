import { z } from 'zod';
import { AppError } from '../errors.ts';
import { defineRoute } from '../http/route.ts';
import { accountParams, accountResource } from './account-schema.ts';
import { changeAccount } from './change-account.ts';

/** Suspending and activating are one operation with two names; doing what is already done changes nothing. */
function defineStatusRoute(verb: 'suspend' | 'activate', status: 'suspended' | 'active', summary: string) {
  return defineRoute({
    method: 'POST',
    path: `/v1/accounts/{account_id}/${verb}`,
    operationId: `accounts.${verb}`,
    summary,
    permission: 'gatelodge.accounts:write',
    level: 'operator',
    params: accountParams,
    responses: { 200: { description: 'The account.', schema: z.object({ data: accountResource }) } },
    errors: ['conflict'],
    handler: (context) =>
      changeAccount(context, (current) => {
        if (current.status === 'deleting')
          throw new AppError('conflict', { detail: 'The account is being deleted.' });
        return {
          set: current.status === status ? {} : { status },
          event: status === 'suspended' ? 'account.suspended' : 'account.activated',
        };
      }),
  });
}

export const suspendAccount = defineStatusRoute(
  'suspend',
  'suspended',
  'Suspend an account: every key of it is refused',
);
export const activateAccount = defineStatusRoute('activate', 'active', 'Activate a suspended account');
