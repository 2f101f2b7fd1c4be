import { sql } from 'kysely';
import { z } from 'zod';
import { AppError, invalidField } from '../errors.ts';
import { nameField } from '../http/fields.ts';
import { defineRoute } from '../http/route.ts';
import { countRowsBelow } from './account-rows.ts';
import { accountParams, accountResource } from './account-schema.ts';
import { changeAccount } from './change-account.ts';

export const deleteAccount = defineRoute({
  method: 'DELETE',
  path: '/v1/accounts/{account_id}',
  operationId: 'accounts.delete',
  summary: 'Delete an account with everything in it',
  description:
    'Its keys are refused at once; a job then deletes what it holds. Read the account to see how far it has come; it is gone when that answers 404.',
  permission: 'gatelodge.accounts:write',
  level: 'operator',
  params: accountParams,
  query: z.strictObject({
    name: nameField.meta({
      description: 'The account’s name, to show that this is the one you mean.',
      examples: ['Globex Corporation'],
    }),
    force: z
      .enum(['true', 'false'])
      .default('false')
      .describe('Delete although live issuers are still active.'),
  }),
  responses: { 202: { description: 'The deletion has begun.', schema: z.object({ data: accountResource }) } },
  errors: ['conflict', 'issuers_still_live'],
  async handler(context) {
    const { services, tx, params, query, now, afterCommit } = context;
    const answer = await changeAccount(context, async (current) => {
      if (query.name !== current.name) {
        throw invalidField(
          'query.name',
          'is not the name of this account; give the name exactly',
          'name_mismatch',
        );
      }
      if (current.status === 'deleting') return { set: {}, event: 'account.deletion_requested' };
      const { rows } = await sql<{ live_issuers: number }>`
        select count(*)::int as live_issuers from issuers
         where account_id = ${params.account_id} and environment = 'live' and status = 'active' and not deleting`.execute(
        tx,
      );
      if (rows[0]!.live_issuers > 0 && query.force !== 'true') throw new AppError('issuers_still_live');
      const total = await countRowsBelow(tx, params.account_id);
      const deletion = { requested_at: now.toISOString(), total, deleted: 0 };
      return {
        set: { status: 'deleting', deletion: JSON.stringify(deletion) },
        event: 'account.deletion_requested',
        data: { name: current.name },
      };
    });
    afterCommit(() => services.accountDeletion.wake());
    return { ...answer, status: 202 };
  },
});
