import { randomUUID } from 'node:crypto';
import { type Kysely, sql } from 'kysely';
import type { Transaction } from '../postgres/database.ts';
import type { Schema } from '../postgres/schema.ts';

/** A report that nobody has looked at yet, or whose key lives on for a while. */
export interface LeakReportRow {
  id: string;
  digest: Buffer;
  reported_url: string | null;
  due_at: Date;
  /** The owner was told, and the key is to be revoked now that the row is due. */
  is_scheduled: boolean;
}

interface NewLeakReport {
  digest: Buffer;
  reportedUrl: string | null;
  receivedAt: Date;
}

/** Only what waits for a delay is due later than it was received. */
const isScheduled = sql<boolean>`due_at > received_at`;

/** Keeps one report, in one statement that is the same for all. */
export async function insertLeakReport(
  db: Kysely<Schema>,
  { digest, reportedUrl, receivedAt }: NewLeakReport,
): Promise<void> {
  await db
    .insertInto('leak_reports')
    .values({
      // Not one of our ids: those are for what somebody can name.
      id: randomUUID(),
      digest,
      reported_url: reportedUrl,
      received_at: receivedAt,
      due_at: receivedAt,
    })
    .execute();
}

/** Reports that are due, the oldest first, from behind `after` on. */
export function listDueReports(
  db: Kysely<Schema>,
  now: Date,
  after: Pick<LeakReportRow, 'due_at' | 'id'> | undefined,
  most: number,
): Promise<LeakReportRow[]> {
  let query = db
    .selectFrom('leak_reports')
    .select(['id', 'digest', 'reported_url', 'due_at'])
    .select(isScheduled.as('is_scheduled'))
    .where('due_at', '<=', now)
    .orderBy('due_at')
    .orderBy('id')
    .limit(most);
  // In milliseconds, as we write and read them.
  if (after !== undefined)
    query = query.where(sql<boolean>`(due_at, id) > (${after.due_at}::timestamptz, ${after.id})`);
  return query.execute();
}

/** The report, if it is still due and nobody else is at it; held until the transaction ends. */
export function lockReport(tx: Transaction, id: string, now: Date): Promise<LeakReportRow | undefined> {
  return tx
    .selectFrom('leak_reports')
    .select(['id', 'digest', 'reported_url', 'due_at'])
    .select(isScheduled.as('is_scheduled'))
    .where('id', '=', id)
    .where('due_at', '<=', now)
    .forUpdate()
    .skipLocked()
    .executeTakeFirst();
}

/** Whether another report of the same key waits for the end of a delay. Ask it under the key's lock. */
export async function hasScheduledReport(tx: Transaction, digest: Buffer): Promise<boolean> {
  const row = await tx
    .selectFrom('leak_reports')
    .select('id')
    .where('digest', '=', digest)
    .where(isScheduled)
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}

/** The report stays until then, when its key is revoked. */
export async function scheduleReport(tx: Transaction, id: string, dueAt: Date): Promise<void> {
  await tx.updateTable('leak_reports').set({ due_at: dueAt }).where('id', '=', id).execute();
}

export async function deleteReports(db: Kysely<Schema>, ids: readonly string[], now: Date): Promise<void> {
  if (ids.length === 0) return;
  await sql`delete from leak_reports where id = any (${ids}::text[]) and due_at <= ${now}`.execute(db);
}
