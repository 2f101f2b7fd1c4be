import type { Selectable } from 'kysely';
import type { Principal } from '../authentication/principal.ts';
import type { CursorCodec } from '../http/pagination.ts';
import type { Transaction } from '../postgres/database.ts';
import type { EventsTable } from '../postgres/schema.ts';

interface EventFilter {
  limit: number;
  cursor?: string | undefined;
  issuer_id?: string | undefined;
  type?: string | undefined;
}

type EventRow = Selectable<EventsTable>;

/** Newest first, one row more than the page holds; only what lies at or below the caller's own level. */
export function listEvents(
  tx: Transaction,
  principal: Principal,
  filter: EventFilter,
  cursors: CursorCodec,
): Promise<EventRow[]> {
  let query = tx
    .selectFrom('events')
    .selectAll()
    .where('account_id', '=', principal.accountId)
    .orderBy('id', 'desc')
    .limit(filter.limit + 1);
  if (principal.environment === 'sandbox') query = query.where('environment', '=', 'sandbox');
  if (principal.issuerId !== null) query = query.where('issuer_id', '=', principal.issuerId);
  if (principal.organizationId !== null)
    query = query.where('organization_id', '=', principal.organizationId);
  if (filter.issuer_id !== undefined) query = query.where('issuer_id', '=', filter.issuer_id);
  if (filter.type !== undefined) query = query.where('type', '=', filter.type);
  const position = filter.cursor === undefined ? null : cursors.decode(filter.cursor);
  if (position !== null) query = query.where('id', '<', position[0] ?? '');
  return query.execute();
}

/** An event as it is answered. */
export function toEventResource(row: EventRow) {
  return {
    id: row.id,
    type: row.type,
    created_at: row.created_at.toISOString(),
    account_id: row.account_id,
    issuer_id: row.issuer_id,
    organization_id: row.organization_id,
    environment: row.environment,
    actor: row.actor,
    subject: { type: row.subject_type, id: row.subject_id },
    request_id: row.request_id,
    data: row.data,
  };
}
