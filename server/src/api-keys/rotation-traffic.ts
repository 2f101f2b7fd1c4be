import { sql } from 'kysely';
import type { Transaction } from '../postgres/database.ts';
import type { ApiKeyRow } from './api-key.ts';

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

interface Traffic {
  share: number | null;
  total: number;
  since: string;
}

/**
 * What a key and the one that it was rotated to (or that was rotated to it) are used for beside each other: evidence
 * that the old one is still in use, or no longer. All that came with them counts, let through or not, calls of the
 * management API too. null for a key that no rotation made or ended, and where the other of the two was deleted.
 */
export async function trafficOfRotation(tx: Transaction, key: ApiKeyRow, now: Date): Promise<Traffic | null> {
  const otherId = key.successor_id ?? key.predecessor_id;
  if (otherId === null) return null;
  const other = await tx
    .selectFrom('api_keys')
    .select(['id', 'rotated_at', 'uses_before_rotation'])
    .where('account_id', '=', key.account_id)
    .where('id', '=', otherId)
    .executeTakeFirst();
  const old = key.successor_id === null ? other : key;
  if (other === undefined || old === undefined || old.rotated_at === null) return null;
  const sinceMs = Math.max(old.rotated_at.getTime(), hourOf(now.getTime() - dayMs));
  const counts = await usesSince(tx, key.account_id, [key.id, other.id], sinceMs);
  // The hour in which it was rotated has counted what came before that as well.
  const isWholeHour = sinceMs !== old.rotated_at.getTime();
  const before = isWholeHour ? 0 : (old.uses_before_rotation ?? 0);
  const usesOf = (id: string) => Math.max(0, (counts.get(id) ?? 0) - (id === old.id ? before : 0));
  const total = usesOf(key.id) + usesOf(other.id);
  return {
    share: total === 0 ? null : usesOf(key.id) / total,
    total,
    since: new Date(sinceMs).toISOString(),
  };
}

/** How many requests with this key the hour of `now` has counted so far. */
export async function usesOfHour(
  tx: Transaction,
  key: Pick<ApiKeyRow, 'id' | 'account_id'>,
  now: Date,
): Promise<number> {
  const counts = await usesSince(tx, key.account_id, [key.id], now.getTime());
  return counts.get(key.id) ?? 0;
}

/** By key, from the beginning of the hour in which that moment lies. */
async function usesSince(
  tx: Transaction,
  accountId: string,
  keyIds: readonly string[],
  sinceMs: number,
): Promise<ReadonlyMap<string, number>> {
  const rows = await tx
    .selectFrom('usage_buckets')
    .select(['subject_id', sql<number>`sum(count)::bigint`.as('uses')])
    .where('account_id', '=', accountId)
    .where('level', '=', 'key')
    .where('subject_id', 'in', keyIds)
    .where('grain', '=', 'hour')
    .where('start_at', '>=', new Date(hourOf(sinceMs)))
    .groupBy('subject_id')
    .execute();
  return new Map(rows.map(({ subject_id, uses }) => [subject_id, uses]));
}

function hourOf(timeMs: number): number {
  return Math.floor(timeMs / hourMs) * hourMs;
}
