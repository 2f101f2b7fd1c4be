import { z } from 'zod';
import { createdBy } from '../api-keys/create-api-key.ts';
import { insertEvent } from '../events/event-store.ts';
import { defineRoute } from '../http/route.ts';
import { holdAccountPlan } from '../plans/plan-store.ts';
import { toAccountResource } from './account.ts';
import { createAccountBody, createdAccountResource } from './account-schema.ts';
import { findOwnAccount, turnToAccount } from './account-store.ts';
import { insertAccount } from './create-account.ts';

export const createAccount = defineRoute({
  method: 'POST',
  path: '/v1/accounts',
  operationId: 'accounts.create',
  summary: 'Create an account for a customer',
  description:
    'For the operator. The answer shows the secret of the account’s first key, and no other answer does.',
  permission: 'gatelodge.accounts:write',
  level: 'operator',
  creates: true,
  body: createAccountBody,
  responses: {
    201: {
      description: 'The account and its first key.',
      schema: z.object({ data: createdAccountResource }),
    },
  },
  async handler({ services, tx, principal, body, now, record, request }) {
    await holdAccountPlan(tx, body.plan);
    const { accountId, key } = await insertAccount(
      tx,
      services.secrets,
      {
        name: body.name,
        ownerEmail: body.owner_email,
        plan: body.plan,
        isOperator: false,
        createdBy: createdBy(principal),
      },
      now,
    );
    const event = {
      type: 'account.created',
      subject: { type: 'account', id: accountId },
      environment: 'live',
      data: { name: body.name, plan: body.plan },
    } as const;
    // The customer's own trail begins with how the account came to be, without the operator's address.
    await insertEvent(
      tx,
      {
        accountId,
        actor: { type: 'system', id: 'operator', ip: null, user_agent: null },
        requestId: request.id,
      },
      event,
    );
    const row = await findOwnAccount(tx, accountId);
    await turnToAccount(tx, principal.accountId);
    await record(event);
    return {
      status: 201,
      body: { data: { ...toAccountResource(row), api_key: { id: key.id, secret_plain: key.secret } } },
      version: row.version,
      headers: { Location: `/v1/accounts/${accountId}` },
    };
  },
});
