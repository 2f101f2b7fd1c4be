import { type Selectable, type SelectQueryBuilder, sql } from 'kysely';
import type { Principal } from '../authentication/principal.ts';
import type { CursorCodec } from '../http/pagination.ts';
import { idPrefixes, leastIdAt } from '../ids/ids.ts';
import type { Transaction } from '../postgres/database.ts';
import type { EventsTable, MeteredEventsTable, OtpFailedEventsTable, Schema } from '../postgres/schema.ts';

export interface EventFilter {
  limit: number;
  cursor?: string | undefined;
  type?: string | undefined;
  issuer_id?: string | undefined;
  organization_id?: string | undefined;
  actor?: string | undefined;
  subject?: string | undefined;
  after?: string | undefined;
  before?: string | undefined;
}

type EventRow = Selectable<EventsTable>;
type MeteredRow = Selectable<MeteredEventsTable>;
type FailedRow = Selectable<OtpFailedEventsTable>;
export type ListedEvent = EventRow | MeteredRow | FailedRow;

const meteredTypes: ReadonlySet<string> = new Set<MeteredRow['type']>([
  'api-key.verified',
  'api-key.rejected',
]);
const failedType = 'otp.failed';

/**
 * Newest first, one row more than the page holds; only what lies at or below the caller's own level.
 *
 * What was written down, what was metered and guesses that failed are three tables whose ids sort by time alike; the newest
 * of all make the page.
 */
export async function listEvents(
  tx: Transaction,
  principal: Principal,
  filter: EventFilter,
  cursors: CursorCodec,
): Promise<ListedEvent[]> {
  const { type, limit } = filter;
  const position = filter.cursor === undefined ? null : (cursors.decode(filter.cursor)[0] ?? '');
  const wantsWritten = type === undefined || !meteredTypes.has(type);
  const wantsMetered = type === undefined || meteredTypes.has(type);
  const wantsFailed = type === undefined || type === failedType;
  const written = wantsWritten ? await writtenEvents(tx, principal, filter, position) : [];
  const metered = wantsMetered ? await meteredEvents(tx, principal, filter, position) : [];
  const failed = wantsFailed ? await failedEvents(tx, principal, filter, position) : [];
  return [...written, ...metered, ...failed].sort((a, b) => (a.id < b.id ? 1 : -1)).slice(0, limit + 1);
}

function writtenEvents(
  tx: Transaction,
  principal: Principal,
  filter: EventFilter,
  position: string | null,
): Promise<EventRow[]> {
  let query = visible(tx.selectFrom('events').selectAll('events'), 'events', principal, filter, position);
  if (filter.actor !== undefined) query = query.where(sql<string>`actor->>'id'`, '=', filter.actor);
  if (filter.subject !== undefined) query = query.where('subject_id', '=', filter.subject);
  return query.execute();
}

/** A metered event is about the key that did it. */
function meteredEvents(
  tx: Transaction,
  principal: Principal,
  filter: EventFilter,
  position: string | null,
): Promise<MeteredRow[]> {
  let query = visible(
    tx.selectFrom('metered_events').selectAll('metered_events'),
    'metered_events',
    principal,
    filter,
    position,
  );
  for (const keyId of [filter.actor, filter.subject])
    if (keyId !== undefined) query = query.where('key_id', '=', keyId);
  return query.execute();
}

/** A guess that failed was made by a key, at an issuer. */
function failedEvents(
  tx: Transaction,
  principal: Principal,
  filter: EventFilter,
  position: string | null,
): Promise<FailedRow[]> {
  const { actor, subject, ...rest } = filter;
  let query = visible(
    tx.selectFrom('otp_failed_events').selectAll('otp_failed_events'),
    'otp_failed_events',
    principal,
    { ...rest, type: undefined },
    position,
  );
  if (actor !== undefined) query = query.where('key_id', '=', actor);
  if (subject !== undefined) query = query.where('issuer_id', '=', subject);
  return query.execute();
}

/** How far the clock that an event's id was made by may be from the one that its time was taken by. */
const clockSlackMs = 3_600_000;

/** What all kinds have in common: whose they are, where and when they were, and their order. */
function visible<Table extends 'events' | 'metered_events' | 'otp_failed_events', Row>(
  query: SelectQueryBuilder<Schema, Table, Row>,
  table: Table,
  principal: Principal,
  filter: EventFilter,
  position: string | null,
): SelectQueryBuilder<Schema, Table, Row> {
  const column = (name: string) => sql.ref<string>(`${table}.${name}`);
  const owners = [
    ['account_id', principal.accountId],
    ['environment', principal.environment === 'sandbox' ? 'sandbox' : undefined],
    ['issuer_id', principal.issuerId ?? undefined],
    ['organization_id', principal.organizationId ?? undefined],
    ['issuer_id', filter.issuer_id],
    ['organization_id', filter.organization_id],
    ['type', filter.type],
  ] as const;
  let narrowed = query;
  for (const [name, value] of owners)
    if (value !== undefined) narrowed = narrowed.where(column(name), '=', value);
  if (position !== null) narrowed = narrowed.where(column('id'), '<', position);
  for (const [bound, operator, slackMs] of [
    [filter.after, '>', -clockSlackMs],
    [filter.before, '<', clockSlackMs],
  ] as const) {
    if (bound === undefined) continue;
    const moment = new Date(bound);
    // To the millisecond, as answers have it. The ids, which the index is by, spare a walk through all that is newer.
    const createdAt = sql<Date>`date_trunc('milliseconds', ${column('created_at')})`;
    narrowed = narrowed
      .where(createdAt, operator, moment)
      .where(column('id'), operator, leastIdAt(idPrefixes.event, Math.max(0, moment.getTime() + slackMs)));
  }
  return narrowed.orderBy(column('id'), 'desc').limit(filter.limit + 1);
}

/** An event as it is answered. */
export function toEventResource(row: ListedEvent) {
  const shared = {
    id: row.id,
    type: 'type' in row ? row.type : failedType,
    created_at: row.created_at.toISOString(),
    account_id: row.account_id,
    issuer_id: row.issuer_id,
    organization_id: row.organization_id,
    environment: row.environment,
  };
  if (!('type' in row))
    return {
      ...shared,
      actor: row.actor,
      subject: { type: 'issuer', id: row.issuer_id },
      request_id: row.request_id,
      data: {},
      count: row.count,
      last_at: row.last_at.toISOString(),
    };
  if ('count' in row) {
    const { key_id: id, code, count, last_at } = row;
    return {
      ...shared,
      actor: { type: 'api_key', id, ip: null, user_agent: null },
      subject: { type: 'api_key', id },
      request_id: null,
      data: { code },
      count,
      last_at: last_at.toISOString(),
    };
  }
  return {
    ...shared,
    actor: row.actor,
    subject: { type: row.subject_type, id: row.subject_id },
    request_id: row.request_id,
    data: row.data,
    count: null,
    last_at: null,
  };
}
