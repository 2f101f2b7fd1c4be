import { idPrefixes, leastIdAt, newId } from '../../src/ids/ids.ts';
import type { Rows } from './rows.ts';

/** One decision, or many alike, as the ledger has them. */
export interface Decided {
  accountId: string;
  keyId: string;
  issuerId?: string | null;
  /** That the key acted for. */
  organizationId?: string | null;
  environment?: 'live' | 'sandbox';
  code?: string;
  count?: number;
  /** Of all of them together; as many as there are unless given. */
  cost?: number;
  isManagement?: boolean;
  at: Date;
}

/** Puts decisions into the tables of usage, as the fold of a ledger does. */
export async function meter(rows: Rows, decisions: readonly Decided[]): Promise<void> {
  for (const decided of decisions) {
    const { accountId, keyId, issuerId = null, organizationId = null, at } = decided;
    const { environment = 'live', code = 'VALID', count = 1, isManagement = false } = decided;
    const subjects = [
      ['account', accountId, '', ''],
      ...(issuerId === null ? [] : [['issuer', issuerId, '', '']]),
      ...(organizationId === null ? [] : [['organization', organizationId, issuerId ?? '', '']]),
      ['key', keyId, issuerId ?? '', organizationId ?? ''],
    ];
    for (const [level, subject, issuer, organization] of subjects)
      await rows.query(
        `insert into usage_buckets as b (account_id, level, subject_id, grain, start_at, environment, issuer_id,
           organization_id, code, is_management, count, cost)
         select $1, $2, $3, grain, date_trunc(grain, $4::timestamptz, 'UTC'), $5, $6, $7, $8, $9, $10, $11
           from unnest(array['hour', 'day']) as grain
         on conflict (account_id, level, subject_id, grain, start_at, environment, issuer_id, organization_id, code,
           is_management) do update set count = b.count + excluded.count, cost = b.cost + excluded.cost`,
        [
          ...[accountId, level, subject, at, environment, issuer, organization],
          ...[code, isManagement, count, decided.cost ?? count],
        ],
      );
    if (code !== 'VALID') continue;
    await rows.query(
      `insert into key_uses as u (key_id, account_id, last_used_at) values ($1, $2, $3)
       on conflict (key_id) do update set last_used_at = greatest(u.last_used_at, excluded.last_used_at)`,
      [keyId, accountId, at],
    );
  }
}

/** Puts the metered events of decisions into their table: one a key, code and minute. Answers their ids. */
export async function meterEvents(rows: Rows, decisions: readonly Decided[]): Promise<string[]> {
  const ids: string[] = [];
  for (const decided of decisions) {
    const { accountId, keyId, issuerId = null, organizationId = null, at } = decided;
    const { environment = 'live', code = 'VALID', count = 1 } = decided;
    const [row] = await rows.query<{ id: string }>(
      `insert into metered_events as e (id, account_id, type, created_at, last_at, issuer_id, organization_id,
         environment, key_id, code, minute, count)
       values ($1, $2, $3, $4, $4, $5, $6, $7, $8, $9, date_trunc('minute', $4::timestamptz), $10)
       on conflict (account_id, key_id, code, minute)
         do update set count = e.count + excluded.count, last_at = excluded.last_at
       returning id`,
      [
        ...[eventIdAt(at), accountId, code === 'VALID' ? 'api-key.verified' : 'api-key.rejected', at],
        ...[issuerId, organizationId, environment, keyId, code, count],
      ],
    );
    ids.push(row!.id);
  }
  return ids;
}

/** An id as it would have been made at that moment: eleven digits tell it to a two-hundredth of a millisecond. */
function eventIdAt(at: Date): string {
  const timed = idPrefixes.event.length + 11;
  return leastIdAt(idPrefixes.event, at.getTime()).slice(0, timed) + newId(idPrefixes.event).slice(timed);
}
