import { sql } from 'kysely';
import type { Actor } from '../events/event.ts';
import { idPrefixes, newId } from '../ids/ids.ts';
import type { Environment } from '../key-profiles/key-profile.ts';
import type { Transaction } from '../postgres/database.ts';
import type { IssuerScope } from './otp-store.ts';

const failureParts = 4;
const slotSeconds = 300;

/** A wrong guess, as the trail tells it. */
export interface Failure {
  readonly environment: Environment;
  readonly organizationId: string | null;
  /** Of the key that has asked, or the name of what has asked without one. */
  readonly keyId: string;
  readonly actor: Actor;
  readonly requestId: string;
}

/**
 * Counts a wrong guess at an issuer's codes, and in the event of this issuer, key and minute. Whoever guesses at the same
 * time waits for the other's commit, so it comes last in its transaction.
 */
export async function addFailure(
  tx: Transaction,
  { accountId, issuerId }: IssuerScope,
  { environment, organizationId, keyId, actor, requestId }: Failure,
  now: Date,
): Promise<void> {
  const slot = new Date(Math.floor(now.getTime() / (slotSeconds * 1000)) * slotSeconds * 1000);
  const minute = new Date(Math.floor(now.getTime() / 60_000) * 60_000);
  const part = Math.floor(Math.random() * failureParts);
  await sql`
    with counted as (
      insert into otp_failures as f (account_id, issuer_id, slot, part, count)
      values (${accountId}, ${issuerId}, ${slot}, ${part}, 1)
      on conflict (issuer_id, slot, part) do update set count = f.count + 1
    )
    insert into otp_failed_events as e (id, account_id, issuer_id, organization_id, environment, key_id, actor, request_id,
      minute, created_at, last_at, count)
    values (${newId(idPrefixes.event)}, ${accountId}, ${issuerId}, ${organizationId}, ${environment}, ${keyId},
      ${JSON.stringify(actor)}::jsonb, ${requestId}, ${minute}, ${now}, ${now}, 1)
    on conflict (account_id, issuer_id, key_id, minute)
      do update set count = e.count + 1, last_at = greatest(e.last_at, excluded.last_at)`.execute(tx);
}

/** Wrong guesses at an issuer's codes within the last hour, up to five minutes more. */
export async function countFailures(
  tx: Transaction,
  { accountId, issuerId }: IssuerScope,
  now: Date,
): Promise<number> {
  const from = new Date(now.getTime() - (3600 + slotSeconds) * 1000);
  const { rows } = await sql<{ count: number }>`
    select coalesce(sum(count), 0)::float8 as count from otp_failures
    where account_id = ${accountId} and issuer_id = ${issuerId} and slot > ${from}`.execute(tx);
  return rows[0]!.count;
}
