import { sql } from 'kysely';
import { insertEvent } from '../events/event-store.ts';
import { Periodic } from '../jobs/periodic.ts';
import type { Log } from '../logs/log.ts';
import type { Database, Transaction } from '../postgres/database.ts';
import { deleteSilently } from '../postgres/delete-rows.ts';
import { deleteRowsBelow } from './account-rows.ts';
import { turnToAccount } from './account-store.ts';

const everyMs = 5000;
const rowsAtOnce = 1000;

/**
 * The job that carries out the deletion of accounts. What there is to do stands in the accounts themselves, so it goes
 * on after a crash and on whichever node gets there first; a lock keeps two nodes off the same account.
 *
 * @param atOnce rows that one step deletes at most
 */
export function createAccountDeletion(database: Database, log: Log, atOnce = rowsAtOnce): Periodic {
  return new Periodic({
    name: 'account deletion',
    everyMs,
    log,
    async work() {
      const { rows } = await sql<{ id: string }>`select lookup_deleting_accounts() as id`.execute(
        database.lookups,
      );
      let hasMore = false;
      for (const { id } of rows) {
        // One that can't be deleted now must not keep the others.
        const more = await deleteSome(database, id, atOnce).catch((error: unknown) => {
          log.warn({ err: error, account_id: id }, 'A step of an account’s deletion failed');
          return false;
        });
        hasMore = more || hasMore;
      }
      return hasMore;
    },
  });
}

/** One step of bounded length. Answers whether this account needs another. */
async function deleteSome(database: Database, accountId: string, atOnce: number): Promise<boolean> {
  return database.withAccount(accountId, async (tx) => {
    if (!(await isOurs(tx, accountId))) return false;
    await deleteSilently(tx);
    await keepFoldsAway(tx);
    const deleted = await deleteRowsBelow(tx, accountId, atOnce);
    if (deleted === atOnce) {
      await tellProgress(tx, accountId, deleted);
      return true;
    }
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

/**
 * A fold of metering that began before the account was going may still add to what the account has used, after the last
 * look here. Once this is ours, none is at work; whichever comes next leaves the account out.
 */
async function keepFoldsAway(tx: Transaction): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended('metering', 0))`.execute(tx);
}

/** Raises the version too: the answer tells the progress, so its ETag has to change. */
async function tellProgress(tx: Transaction, accountId: string, deleted: number): Promise<void> {
  await sql`
    update accounts set version = version + 1, deletion = deletion || jsonb_build_object(
      'deleted', (deletion->>'deleted')::bigint + ${deleted}::int,
      'total', greatest((deletion->>'total')::bigint, (deletion->>'deleted')::bigint + ${deleted}::int))
    where id = ${accountId}`.execute(tx);
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
