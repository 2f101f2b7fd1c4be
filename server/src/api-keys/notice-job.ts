import { sql } from 'kysely';
import { insertEvent } from '../events/event-store.ts';
import { Periodic } from '../jobs/periodic.ts';
import type { Log } from '../logs/log.ts';
import type { Database, Transaction } from '../postgres/database.ts';
import { isLeftBehind } from './left-behind.ts';
import { dueNotices, nextNoticeAt } from './notices.ts';

const everyMs = 60_000;
const accountsAtOnce = 200;
const keysAtOnce = 500;

const actor = { type: 'system', id: 'key-notices', ip: null, user_agent: null } as const;

/**
 * The job that writes `api-key.expiring` and `api-key.rotation_due`. What is due stands in the keys and moves on in the
 * transaction that writes the events, so each is written once, on whichever node gets there first.
 */
export function createKeyNotices(database: Database, log: Log, now: () => Date): Periodic {
  return new Periodic({
    name: 'key notices',
    everyMs,
    log,
    work: () => giveDueNotices(database, log, now()),
  });
}

/** One round of bounded length. Answers whether there may be more to do at once. */
export async function giveDueNotices(database: Database, log: Log, now: Date): Promise<boolean> {
  const { rows } = await sql<{ account_id: string }>`
    select account_id from lookup_accounts_with_notices(${now}, ${accountsAtOnce}) as due (account_id)`.execute(
    database.lookups,
  );
  let given = 0;
  for (const { account_id } of rows) {
    // One account that fails must not keep the others waiting.
    given += await database
      .withAccount(account_id, (tx) => giveInAccount(tx, account_id, now))
      .catch((error: unknown) => {
        log.warn({ err: error, account_id }, 'The notices of an account’s keys failed');
        return 0;
      });
  }
  return given > 0;
}

/** Answers of how many keys it has seen to. */
async function giveInAccount(tx: Transaction, accountId: string, now: Date): Promise<number> {
  const due = await tx
    .selectFrom('api_keys')
    .select([
      'id',
      'issuer_id',
      'organization_id',
      'environment',
      'name',
      'hint',
      'expires_at',
      'rotation_due_at',
      'rotated_at',
      'next_notice_at',
    ])
    .select(isLeftBehind('api_keys').as('is_left_behind'))
    .where('account_id', '=', accountId)
    .where('status', '=', 'active')
    .where('next_notice_at', '<=', now)
    .orderBy('next_notice_at')
    .limit(keysAtOnce)
    // Another node may be at them, or somebody is changing one: then the next round sees to it.
    .forUpdate()
    .skipLocked()
    .execute();
  if (due.length === 0) return 0;
  for (const key of due) {
    if (key.is_left_behind) continue;
    for (const { type, data } of dueNotices(key, key.next_notice_at ?? now, now)) {
      await insertEvent(
        tx,
        { accountId, actor, requestId: null },
        {
          type,
          subject: { type: 'api_key', id: key.id },
          environment: key.environment,
          issuerId: key.issuer_id,
          organizationId: key.organization_id,
          data: { name: key.name, hint: key.hint, ...data },
        },
      );
    }
  }
  const ids = due.map(({ id }) => id);
  // One that is left behind is seen to for good: passed over, it would be in the way of those after it.
  const next = due.map((key) =>
    key.is_left_behind ? null : (nextNoticeAt(key, now)?.toISOString() ?? null),
  );
  // No new version: nothing that anybody reads of the key has changed.
  await sql`update api_keys k set next_notice_at = due.next
    from unnest(${ids}::text[], ${next}::timestamptz[]) as due (id, next)
    where k.account_id = ${accountId} and k.id = due.id`.execute(tx);
  return due.length;
}
