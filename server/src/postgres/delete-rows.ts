import { type RawBuilder, sql } from 'kysely';
import type { Transaction } from './database.ts';

/**
 * For the jobs that delete what nobody accepts any more: for the rest of the transaction, deletions tell the nodes
 * nothing. The parent's own notice has made them forget already.
 */
export async function deleteSilently(tx: Transaction): Promise<void> {
  await sql`select set_config('gatelodge.parent_is_going', 'on', true)`.execute(tx);
}

/**
 * Deletes rows that match, at most so many, so that a statement stays far from its timeout.
 *
 * @returns how many; fewer than `most` when none are left
 */
export async function deleteRows(
  tx: Transaction,
  table: 'api_keys' | 'organizations' | 'idempotency_records' | 'issuers',
  matches: RawBuilder<unknown>,
  most: number,
): Promise<number> {
  const from = sql.table(table);
  const { rows } = await sql<{ deleted: number }>`
    with gone as (
      delete from ${from} where ${matches} and ctid = any (array(select ctid from ${from} where ${matches} limit ${most}))
      returning 1
    ) select count(*)::int as deleted from gone`.execute(tx);
  return rows[0]?.deleted ?? 0;
}
