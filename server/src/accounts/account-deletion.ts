import { sql } from 'kysely';
import { insertEvent } from '../events/event-store.ts';
import { Periodic } from '../jobs/periodic.ts';
import type { Log } from '../logs/log.ts';
import type { Database, Transaction } from '../postgres/database.ts';
import { turnToAccount } from './account-store.ts';

const everyMs = 5000;
const keysAtOnce = 1000;

/**
 * The job that carries out the deletion of accounts. What there is to do stands in the accounts themselves, so it goes
 * on after a crash and on whichever node gets there first; a lock keeps two nodes off the same account.
 */
export function createAccountDeletion(database: Database, log: Log): Periodic {
  return new Periodic({
    name: 'account deletion',
    everyMs,
    log,
    async work() {
      const { rows } = await sql<{ id: string }>`select lookup_deleting_accounts() as id`.execute(
        database.lookups,
      );
      let hasMore = false;
      for (const { id } of rows) hasMore = (await deleteSome(database, id)) || hasMore;
      return hasMore;
    },
  });
}

/** One step of bounded length. Answers whether this account needs another. */
async function deleteSome(database: Database, accountId: string): Promise<boolean> {
  return database.withAccount(accountId, async (tx) => {
    if (!(await isOurs(tx, accountId))) return false;
    if ((await deleteKeys(tx, accountId)) > 0) return true;
    const account = await tx
      .deleteFrom('accounts')
      .where('id', '=', accountId)
      .returning('name')
      .executeTakeFirst();
    if (account !== undefined) await tellOperator(tx, accountId, account.name);
    return false;
  });
}

async function isOurs(tx: Transaction, accountId: string): Promise<boolean> {
  const { rows } = await sql<{ ours: boolean }>`
    select pg_try_advisory_xact_lock(hashtextextended('delete account ' || ${accountId}, 0)) as ours`.execute(
    tx,
  );
  return rows[0]?.ours === true;
}

/** Keys go some at a time, which is what can take long; all else goes with the account's row. */
async function deleteKeys(tx: Transaction, accountId: string): Promise<number> {
  const { rows } = await sql<{ deleted: number }>`
    with silent as (select set_config('gatelodge.account_is_going', 'on', true)),
    doomed as (select id from silent, api_keys where account_id = ${accountId} limit ${keysAtOnce}),
    gone as (delete from api_keys using doomed where api_keys.account_id = ${accountId} and api_keys.id = doomed.id returning 1)
    select count(*)::int as deleted from gone`.execute(tx);
  const deleted = rows[0]?.deleted ?? 0;
  if (deleted > 0) {
    await sql`
      update accounts set deletion = jsonb_set(deletion, '{deleted}', to_jsonb((deletion->>'deleted')::int + ${deleted}::int))
      where id = ${accountId}`.execute(tx);
  }
  return deleted;
}

/** The account's own trail is gone with it; that it is gone stands in the operator's. */
async function tellOperator(tx: Transaction, accountId: string, name: string): Promise<void> {
  const { rows } = await sql<{ id: string | null }>`select lookup_operator_account() as id`.execute(tx);
  const operatorId = rows[0]?.id;
  if (operatorId == null) return;
  await turnToAccount(tx, operatorId);
  const actor = { type: 'system', id: 'account-deletion', ip: null, user_agent: null } as const;
  await insertEvent(
    tx,
    { accountId: operatorId, actor, requestId: null },
    {
      type: 'account.deleted',
      subject: { type: 'account', id: accountId },
      environment: 'live',
      data: { name },
    },
  );
}
