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
  await tx
    .insertInto('events')
    .values({
      id: newId(idPrefixes.event),
      account_id: context.accountId,
      type: event.type,
      issuer_id: event.issuerId ?? null,
      organization_id: event.organizationId ?? null,
      environment: event.environment,
      actor: JSON.stringify(context.actor),
      subject_type: event.subject.type,
      subject_id: event.subject.id,
      request_id: context.requestId,
      data: JSON.stringify(event.data ?? {}),
    })
    .execute();
}
