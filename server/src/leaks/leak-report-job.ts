import { sql } from 'kysely';
import type pg from 'pg';
import type { ApiKeyRow } from '../api-keys/api-key.ts';
import { isLeftBehind } from '../api-keys/left-behind.ts';
import type { NewEvent } from '../events/event.ts';
import { insertEvent } from '../events/event-store.ts';
import { Periodic } from '../jobs/periodic.ts';
import type { Log } from '../logs/log.ts';
import type { Database, Transaction } from '../postgres/database.ts';
import { callLookup } from '../postgres/lookup.ts';
import type { JsonObject } from '../postgres/schema.ts';
import { isUnavailable } from '../postgres/unavailable.ts';
import type { KeyRow } from '../verification/lookup-rows.ts';
import {
  deleteReports,
  hasScheduledReport,
  type LeakReportRow,
  listDueReports,
  lockReport,
  scheduleReport,
} from './leak-report-store.ts';

const everyMs = 1_000;
const reportsAtOnce = 100;

const actor = { type: 'system', id: 'leak-reports', ip: null, user_agent: null } as const;

interface Dependencies {
  /** Whose statements no request is charged with. */
  database: Database;
  lookupPool: pg.Pool;
  log: Log;
  now: () => Date;
  /** A key was revoked: this node forgets it now, the others by notice. */
  onRevoked: (digest: Buffer) => void;
}

/** The job that looks at what was reported as leaked. Wake it when a report has come in. */
export function createLeakReportJob(deps: Dependencies): Periodic {
  return new Periodic({
    name: 'leak reports',
    everyMs,
    log: deps.log,
    work: (signal) => lookAtDueReports(deps, signal),
  });
}

/**
 * Looks at every report that is due, the oldest first. One that fails stays for the next round and keeps nobody else
 * waiting. Rows are locked one by one, so of several nodes one acts on each.
 *
 * @throws what says that Postgres is away
 */
export async function lookAtDueReports(deps: Dependencies, signal?: AbortSignal): Promise<boolean> {
  const { database } = deps;
  const now = deps.now();
  let last: LeakReportRow | undefined;
  for (;;) {
    const due = await listDueReports(database.lookups, now, last, reportsAtOnce);
    const ofNobody: string[] = [];
    for (const report of due) {
      if (signal?.aborted) return false;
      try {
        const key = await findLiveKey(deps.lookupPool, report.digest);
        if (key === null) ofNobody.push(report.id);
        else await act(deps, report, key, now);
      } catch (error) {
        if (isUnavailable(error)) throw error;
        deps.log.error(
          { err: error, component: 'leak reports' },
          'A leak report failed and will be tried again',
        );
      }
    }
    await deleteReports(database.lookups, ofNobody, now);
    last = due.at(-1);
    if (due.length < reportsAtOnce) return false;
  }
}

type Found = Pick<KeyRow, 'id' | 'account_id' | 'status' | 'account_status'>;

async function findLiveKey(lookupPool: pg.Pool, digest: Buffer): Promise<Found | null> {
  const [found] = await callLookup<Found>(lookupPool, 'lookup_api_key_v2', [digest]);
  if (found === undefined || found.account_status === 'deleting') return null;
  return isDead(found) ? null : found;
}

/**
 * Only revoked is for good. A key may be enabled, activated or given another expiry, and then the leak is still out
 * there.
 */
function isDead({ status }: Pick<ApiKeyRow, 'status'>): boolean {
  return status === 'revoked';
}

async function act(
  deps: Dependencies,
  { id, digest }: LeakReportRow,
  found: Found,
  now: Date,
): Promise<void> {
  const isRevoked = await deps.database.withAccount(found.account_id, async (tx) => {
    const report = await lockReport(tx, id, now);
    if (report === undefined) return false;
    const outcome = await decideInAccount(tx, report, found, now);
    if (outcome.keptUntil === null) await deleteReports(tx, [id], now);
    else await scheduleReport(tx, id, outcome.keptUntil);
    return outcome.isRevoked;
  });
  if (isRevoked) deps.onRevoked(digest);
}

interface Outcome {
  isRevoked: boolean;
  /** When the report is to be looked at again; null where it is done with. */
  keptUntil: Date | null;
}

const nothing: Outcome = { isRevoked: false, keptUntil: null };

async function decideInAccount(
  tx: Transaction,
  report: LeakReportRow,
  { id, account_id }: Found,
  now: Date,
): Promise<Outcome> {
  const key = await lockKey(tx, account_id, id);
  if (key === undefined || isDead(key)) return nothing;
  if (key.kind === 'publishable') {
    await tellOfPublishable(tx, key, report, now);
    return nothing;
  }
  if (report.is_scheduled) {
    await revoke(tx, key, now);
    return { isRevoked: true, keptUntil: null };
  }
  if (key.delay_seconds > 0) {
    if (await hasScheduledReport(tx, report.digest)) return nothing;
    const revokesAt = new Date(now.getTime() + key.delay_seconds * 1000);
    await tellOfLeak(tx, key, report, { action: 'scheduled', revokes_at: revokesAt.toISOString() });
    return { isRevoked: false, keptUntil: revokesAt };
  }
  await tellOfLeak(tx, key, report, { action: 'revoked', revokes_at: now.toISOString() });
  await revoke(tx, key, now);
  return { isRevoked: true, keptUntil: null };
}

type LeakedKey = Pick<
  ApiKeyRow,
  'id' | 'account_id' | 'issuer_id' | 'organization_id' | 'kind' | 'environment' | 'status'
> & { delay_seconds: number };

/** The key and what its account chose, unless its organization is gone or the account about to be. */
function lockKey(tx: Transaction, accountId: string, id: string): Promise<LeakedKey | undefined> {
  return tx
    .selectFrom('api_keys')
    .innerJoin('accounts', 'accounts.id', 'api_keys.account_id')
    .select([
      'api_keys.id',
      'api_keys.account_id',
      'api_keys.issuer_id',
      'api_keys.organization_id',
      'api_keys.kind',
      'api_keys.environment',
      'api_keys.status',
      'accounts.leak_revocation_delay_seconds as delay_seconds',
    ])
    .where('api_keys.account_id', '=', accountId)
    .where('api_keys.id', '=', id)
    .where('accounts.status', '<>', 'deleting')
    .where((eb) => eb.not(isLeftBehind('api_keys')))
    .forUpdate('api_keys')
    .executeTakeFirst();
}

async function revoke(tx: Transaction, key: LeakedKey, now: Date): Promise<void> {
  await tx
    .updateTable('api_keys')
    .set({ status: 'revoked', revoked_at: now, updated_at: now, version: sql`version + 1` })
    .where('account_id', '=', key.account_id)
    .where('id', '=', key.id)
    .execute();
  await tell(tx, key, 'api-key.revoked', { reason: 'leak_reported' });
}

/** Nothing is lost with a key that anybody may read, but its owner may not know that it is read there. */
async function tellOfPublishable(
  tx: Transaction,
  key: LeakedKey,
  report: LeakReportRow,
  now: Date,
): Promise<void> {
  const day = now.toISOString().slice(0, 10);
  const { numAffectedRows } = await sql`
    update api_keys set leak_told_on = ${day}::date
    where account_id = ${key.account_id} and id = ${key.id}
      and (leak_told_on is null or leak_told_on < ${day}::date)`.execute(tx);
  if (numAffectedRows === 1n) await tellOfLeak(tx, key, report, { action: 'told', revokes_at: null });
}

function tellOfLeak(
  tx: Transaction,
  key: LeakedKey,
  { reported_url }: LeakReportRow,
  what: { action: 'revoked' | 'scheduled' | 'told'; revokes_at: string | null },
): Promise<void> {
  return tell(tx, key, 'api-key.leak_reported', { reported_url, ...what });
}

function tell(tx: Transaction, key: LeakedKey, type: NewEvent['type'], data: JsonObject): Promise<void> {
  return insertEvent(
    tx,
    { accountId: key.account_id, actor, requestId: null },
    {
      type,
      subject: { type: 'api_key', id: key.id },
      environment: key.environment,
      issuerId: key.issuer_id,
      organizationId: key.organization_id,
      data,
    },
  );
}
