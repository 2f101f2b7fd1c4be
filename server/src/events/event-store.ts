import { idPrefixes, newId } from '../ids/ids.ts';
import type { Transaction } from '../postgres/database.ts';
import type { Actor, NewEvent } from './event.ts';

interface EventContext {
  accountId: string;
  actor: Actor;
  requestId: string | null;
}

/** Writes one event into the transaction of its change. */
export async function insertEvent(tx: Transaction, context: EventContext, event: NewEvent): Promise<void> {
  await insertEvents(tx, context, [event]);
}

/** Writes the events of one change into its transaction, in one statement; up to 1,000, none is fine. */
export async function insertEvents(
  tx: Transaction,
  context: EventContext,
  events: readonly NewEvent[],
): Promise<void> {
  if (events.length === 0) return;
  const actor = JSON.stringify(context.actor);
  await tx
    .insertInto('events')
    .values(
      events.map((event) => ({
        id: newId(idPrefixes.event),
        account_id: context.accountId,
        type: event.type,
        issuer_id: event.issuerId ?? null,
        organization_id: event.organizationId ?? null,
        environment: event.environment,
        actor,
        subject_type: event.subject.type,
        subject_id: event.subject.id,
        request_id: context.requestId,
        data: JSON.stringify(event.data ?? {}),
      })),
    )
    .execute();
}
