import { sql } from 'kysely';
import { AppError } from '../errors.ts';
import type { EventType } from '../events/event.ts';
import { insertEvent } from '../events/event-store.ts';
import type { RouteContext } from '../http/route.ts';
import type { JsonObject } from '../postgres/schema.ts';
import { type AccountRow, toAccountResource } from './account.ts';
import { lockOwnAccount, requireAccount, turnToAccount } from './account-store.ts';

type OperatorContext = RouteContext<{ account_id: string }, unknown, unknown>;

/** What a change of an account writes. Nothing in `set`: the account is as asked for already. */
interface AccountChange {
  set: Partial<Pick<AccountRow, 'name' | 'plan' | 'status'>> & { deletion?: string };
  event: EventType;
  data?: JsonObject;
}

/**
 * Changes an account for the operator: locks it, writes the change, and tells it in both trails, the operator's and
 * the account's own (there without the operator's key and address).
 *
 * @param decide what to change, given the account as it is; may throw
 * @throws not_found, precondition_failed, and conflict for the operator's own account
 */
export async function changeAccount(
  context: OperatorContext,
  decide: (current: AccountRow) => AccountChange | Promise<AccountChange>,
) {
  const { services, tx, principal, params, ifMatch, record, afterCommit, request } = context;
  await requireAccount(tx, principal.accountId, params.account_id);
  if (params.account_id === principal.accountId) {
    throw new AppError('conflict', {
      detail: 'The operator’s own account can’t be changed here; see /v1/account.',
    });
  }
  await turnToAccount(tx, params.account_id);
  const current = await lockOwnAccount(tx, params.account_id, ifMatch);
  const { set, event, data } = await decide(current);
  if (Object.keys(set).length === 0) {
    await turnToAccount(tx, principal.accountId);
    return { body: { data: toAccountResource(current) }, version: current.version };
  }
  const row = await tx
    .updateTable('accounts')
    .set({ ...set, version: sql`version + 1`, updated_at: sql`now()` })
    .where('id', '=', current.id)
    .returningAll()
    .executeTakeFirstOrThrow();
  const told = {
    type: event,
    subject: { type: 'account' as const, id: current.id },
    environment: 'live' as const,
    ...(data && { data }),
  };
  const actor = { type: 'system' as const, id: 'operator', ip: null, user_agent: null };
  await insertEvent(tx, { accountId: current.id, actor, requestId: request.id }, told);
  await turnToAccount(tx, principal.accountId);
  await record(told);
  afterCommit(() => services.cache.forget({ kind: 'account', id: current.id }));
  return { body: { data: toAccountResource(row) }, version: row.version };
}
