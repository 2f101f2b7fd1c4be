import { sql } from 'kysely';
import { insertEvents } from '../events/event-store.ts';
import { Periodic } from '../jobs/periodic.ts';
import type { Environment } from '../key-profiles/key-profile.ts';
import type { LedgerFold } from '../ledger/fold.ts';
import type { Log } from '../logs/log.ts';
import type { Database, Transaction } from '../postgres/database.ts';
import { isLeftBehind } from './left-behind.ts';

const everyMs = 60_000;
const accountsAtOnce = 200;
const keysAtOnce = 500;

/** For how long no request with a key may have passed before it counts as quiet. */
export const quietSeconds = 86_400;

/** Within what time every node has told when a key was last used; waited for, so that a use in the last moment counts. */
const tellingSeconds = 60;

const actor = { type: 'system', id: 'key-retirement', ip: null, user_agent: null } as const;

/**
 * The job that retires rotated keys which nobody uses any more (`"retire": "when-quiet"`). When the grace ends it has
 * nothing to do: such a key expires by itself, as any other that was rotated.
 */
export function createQuietRetirement(
  database: Database,
  fold: Pick<LedgerFold, 'catchUp'>,
  log: Log,
  now: () => Date,
): Periodic {
  return new Periodic({
    name: 'key retirement',
    everyMs,
    log,
    async work() {
      const lookedAt = now();
      // What this node knows of is told before anything is taken for quiet; where it can't be told, nothing is.
      await fold.catchUp();
      return retireQuietKeys(database, log, lookedAt);
    },
  });
}

/** One round of bounded length. Answers whether there may be more to do at once. */
export async function retireQuietKeys(database: Database, log: Log, now: Date): Promise<boolean> {
  const { rows } = await sql<{ account_id: string }>`
    select account_id from lookup_accounts_with_quiet_keys(${now}, ${quietSince(now)}, ${accountsAtOnce})
      as found (account_id)`.execute(database.lookups);
  let retired = 0;
  for (const { account_id } of rows) {
    // One account that fails must not keep the others waiting.
    retired += await database
      .withAccount(account_id, (tx) => retireInAccount(tx, account_id, now))
      .catch((error: unknown) => {
        log.warn({ err: error, account_id }, 'The retirement of an account’s quiet keys failed');
        return 0;
      });
  }
  return retired > 0;
}

interface RetiredKey {
  id: string;
  name: string;
  hint: string;
  environment: Environment;
  issuer_id: string | null;
  organization_id: string | null;
  successor_id: string | null;
  last_used_at: Date | null;
}

/** Ends the grace of what is quiet, in the statement that looks whether it is. Answers of how many keys. */
async function retireInAccount(tx: Transaction, accountId: string, now: Date): Promise<number> {
  const { rows } = await sql<RetiredKey>`
    update api_keys k set retires_at = ${now}, updated_at = ${now}, version = k.version + 1
    from (
      select q.id, u.last_used_at from api_keys q
      left join key_uses u on u.key_id = q.id
      where q.account_id = ${accountId} and q.retire = 'when-quiet' and q.status = 'active' and q.retires_at > ${now}
        and greatest(q.rotated_at, u.last_used_at) <= ${quietSince(now)} and not ${isLeftBehind('q')}
      order by q.id limit ${keysAtOnce}
      -- Another node may be at it, or somebody is changing it: then the next round sees to it.
      for update of q skip locked
    ) as quiet
    where k.id = quiet.id
    returning k.id, k.name, k.hint, k.environment, k.issuer_id, k.organization_id, k.successor_id,
      quiet.last_used_at`.execute(tx);
  await insertEvents(
    tx,
    { accountId, actor, requestId: null },
    rows.map((key) => ({
      type: 'api-key.retired',
      subject: { type: 'api_key', id: key.id },
      environment: key.environment,
      issuerId: key.issuer_id,
      organizationId: key.organization_id,
      data: {
        reason: 'quiet',
        name: key.name,
        hint: key.hint,
        successor_id: key.successor_id,
        last_used_at: key.last_used_at?.toISOString() ?? null,
      },
    })),
  );
  return rows.length;
}

/** What was last used up to this moment is quiet by now. */
function quietSince(now: Date): Date {
  return new Date(now.getTime() - (quietSeconds + tellingSeconds) * 1000);
}
