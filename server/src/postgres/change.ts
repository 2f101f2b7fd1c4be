import { type Kysely, sql } from 'kysely';
import type { Schema } from './schema.ts';

/** The channel on which every change of something that nodes hold in memory is announced. */
export const changeChannel = 'gatelodge_change';

/** A committed change of something that nodes hold in memory. */
export type Change =
  /** `digest` is the key's digest in hex, the name under which nodes hold it. */
  | { kind: 'api-key'; id: string; digest: string }
  | { kind: 'account' | 'issuer' | 'organization' | 'client'; id: string }
  /** A plan was made, changed or deleted; `account_id` is whose it is, `is_operator` whether that is the operator's. */
  | { kind: 'plan'; account_id: string; name: string; is_operator: boolean }
  /** Keys were imported; `id` is the call's batch. */
  | { kind: 'import'; id: string; account_id: string }
  /** Installation secrets: a generation was added, rewrapped or retired. */
  | { kind: 'secrets' };

/**
 * Announces a change, in the change's own transaction: it goes out with the commit, and not at all without one.
 *
 * The triggers of the tables announce their rows themselves; this is for what has none. Creations stay unannounced,
 * for nobody can hold what did not exist, and announcing cuts the rate of commits to a third.
 */
export async function notifyChange(tx: Kysely<Schema>, change: Change): Promise<void> {
  await sql`select pg_notify(${changeChannel}, ${JSON.stringify(change)})`.execute(tx);
}

/**
 * Reads an announcement. Null when it cannot be understood, such as one of a newer build: then anything may have
 * changed, and whoever asks has to forget all that it holds.
 */
export function parseChange(payload: string): Change | null {
  let value: unknown;
  try {
    value = JSON.parse(payload);
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null) return null;
  const { kind, id, digest, account_id, name, is_operator } = value as Record<string, unknown>;
  switch (kind) {
    case 'secrets':
      return { kind };
    case 'import':
      return typeof id === 'string' && typeof account_id === 'string' ? { kind, id, account_id } : null;
    case 'plan':
      return typeof account_id === 'string' && typeof name === 'string' && typeof is_operator === 'boolean'
        ? { kind, account_id, name, is_operator }
        : null;
    case 'account':
    case 'issuer':
    case 'organization':
    case 'client':
      return typeof id === 'string' ? { kind, id } : null;
    case 'api-key':
      return typeof id === 'string' && typeof digest === 'string' ? { kind, id, digest } : null;
    default:
      return null;
  }
}
