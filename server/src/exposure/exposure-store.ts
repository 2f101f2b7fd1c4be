import { sql } from 'kysely';
import { isLeftBehind } from '../api-keys/left-behind.ts';
import { insertEvent } from '../events/event-store.ts';
import type { Transaction } from '../postgres/database.ts';
import type { JsonObject } from '../postgres/schema.ts';

const actor = { type: 'system', id: 'key-exposure', ip: null, user_agent: null } as const;

interface Exposed {
  accountId: string;
  keyId: string;
  /** UTC, as `YYYY-MM-DD`. */
  day: string;
  data: JsonObject;
}

/**
 * Writes `api-key.exposed`, unless some node has done so for this key on this day (or a later one). The key itself
 * stays as it is: no new version, and no node has to forget it.
 */
export async function tellExposure(tx: Transaction, { accountId, keyId, day, data }: Exposed): Promise<void> {
  const { rows } = await sql<{
    environment: 'live' | 'sandbox';
    issuer_id: string | null;
    organization_id: string | null;
  }>`
    update api_keys set exposure_told_on = ${day}::date
    where account_id = ${accountId} and id = ${keyId}
      and (exposure_told_on is null or exposure_told_on < ${day}::date) and not ${isLeftBehind('api_keys')}
    returning environment, issuer_id, organization_id`.execute(tx);
  const [key] = rows;
  if (key === undefined) return;
  await insertEvent(
    tx,
    { accountId, actor, requestId: null },
    {
      type: 'api-key.exposed',
      subject: { type: 'api_key', id: keyId },
      environment: key.environment,
      issuerId: key.issuer_id,
      organizationId: key.organization_id,
      data,
    },
  );
}
