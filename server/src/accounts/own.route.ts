import { sql } from 'kysely';
import { z } from 'zod';
import { requireLive } from '../authentication/require-live.ts';
import { defineRoute } from '../http/route.ts';
import type { Transaction } from '../postgres/database.ts';
import { monthAt } from '../usage/statement.ts';
import { usedByAccount } from '../usage/statement-store.ts';
import { type AccountRow, toAccountResource } from './account.ts';
import { ownAccountResource, patchOwnAccountBody } from './account-schema.ts';
import { findOwnAccount, findPlanOf, lockOwnAccount } from './account-store.ts';

export const getOwnAccount = defineRoute({
  method: 'GET',
  path: '/v1/account',
  operationId: 'account.get',
  summary: 'Read your own account',
  permission: 'gatelodge.account:read',
  readsMetering: true,
  responses: { 200: { description: 'The account.', schema: z.object({ data: ownAccountResource }) } },
  errors: ['wrong_environment'],
  async handler({ tx, principal, now }) {
    // Its name is what live users see, and its members are people: none of it is for the key of a test bench.
    requireLive(principal);
    const row = await findOwnAccount(tx, principal.accountId);
    return { body: { data: await withPlanAndMembers(tx, row, now) }, version: row.version };
  },
});

export const updateOwnAccount = defineRoute({
  method: 'PATCH',
  path: '/v1/account',
  operationId: 'account.update',
  summary: 'Change your own account',
  permission: 'gatelodge.account:write',
  body: patchOwnAccountBody,
  isMergePatch: true,
  responses: { 200: { description: 'The account.', schema: z.object({ data: ownAccountResource }) } },
  errors: ['wrong_environment'],
  async handler({ services, tx, principal, body, ifMatch, now, record, afterCommit }) {
    requireLive(principal);
    const current = await lockOwnAccount(tx, principal.accountId, ifMatch);
    const set = changesOf(current, body);
    if (Object.keys(set).length === 0)
      return { body: { data: await withPlanAndMembers(tx, current, now) }, version: current.version };
    const row = await tx
      .updateTable('accounts')
      .set({
        ...set,
        version: sql`version + 1`,
        updated_at: sql`now()`,
      })
      .where('id', '=', current.id)
      .returningAll()
      .executeTakeFirstOrThrow();
    await record({
      type: 'account.updated',
      subject: { type: 'account', id: row.id },
      environment: principal.environment,
      data: { changed: Object.keys(set) },
    });
    afterCommit(() => services.cache.forget({ kind: 'account', id: row.id }));
    return { body: { data: await withPlanAndMembers(tx, row, now) }, version: row.version };
  },
});

type OwnChange = Partial<Pick<AccountRow, 'name' | 'leak_revocation_delay_seconds'>>;

/** What a patch says otherwise than it is. */
function changesOf(current: AccountRow, patch: z.output<typeof patchOwnAccountBody>): OwnChange {
  const { name, leak_revocation_delay_seconds } = patch;
  const isOther = <T>(value: T | undefined, present: T) => value !== undefined && value !== present;
  return {
    ...(isOther(name, current.name) && { name: name! }),
    ...(isOther(leak_revocation_delay_seconds, current.leak_revocation_delay_seconds) && {
      leak_revocation_delay_seconds: leak_revocation_delay_seconds!,
    }),
  };
}

async function withPlanAndMembers(tx: Transaction, row: AccountRow, now: Date) {
  const members = await tx
    .selectFrom('account_members')
    .select(['email', 'role'])
    .where('account_id', '=', row.id)
    .orderBy('created_at')
    .execute();
  const { leak_revocation_delay_seconds } = row;
  const { limits, included } = await findPlanOf(tx, row);
  return {
    ...toAccountResource(row),
    limits,
    included,
    used_this_month: await usedByAccount(tx, row.id, monthAt(now)),
    leak_revocation_delay_seconds,
    customer_id: row.id,
    members,
  };
}
