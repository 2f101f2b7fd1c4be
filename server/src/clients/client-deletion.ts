import { sql } from 'kysely';
import { insertEvents } from '../events/event-store.ts';
import { Periodic } from '../jobs/periodic.ts';
import type { Environment } from '../key-profiles/key-profile.ts';
import type { Log } from '../logs/log.ts';
import type { Database } from '../postgres/database.ts';
import { deleteSilently } from '../postgres/delete-rows.ts';
import { endSessionsOfClient } from '../sessions/session-store.ts';

const everyMs = 5000;
const sessionsAtOnce = 1000;
const clientsAtOnce = 100;

const actor = { type: 'system', id: 'client-deletion', ip: null, user_agent: null } as const;

interface DoomedClient {
  id: string;
  account_id: string;
  issuer_id: string;
  environment: Environment;
}

/**
 * The job that ends the sessions which a deleted client has left, in steps, and then takes its row away. Nobody has
 * accepted anything of them since the deletion: a client that is not found is refused. What there is to do stands in the
 * clients, so it goes on after a crash and on whichever node gets there first.
 *
 * @param atOnce sessions that one step ends at most; up to 1,000
 */
export function createClientDeletion(
  database: Database,
  log: Log,
  now: () => Date,
  atOnce = sessionsAtOnce,
): Periodic {
  return new Periodic({
    name: 'client deletion',
    everyMs,
    log,
    async work() {
      const { rows } = await sql<DoomedClient>`
        select id, account_id, issuer_id, environment from lookup_deleting_clients(${clientsAtOnce}::int)`.execute(
        database.lookups,
      );
      let hasMore = false;
      for (const client of rows) {
        // One that can't be deleted now must not keep the others.
        const more = await deleteSome(database, client, now(), atOnce).catch((error: unknown) => {
          log.warn({ err: error, client_id: client.id }, 'A step of a client’s deletion failed');
          return false;
        });
        hasMore = more || hasMore;
      }
      return hasMore;
    },
  });
}

/** One step of bounded length. Answers whether there may be more to do at once. */
function deleteSome(database: Database, client: DoomedClient, now: Date, atOnce: number): Promise<boolean> {
  return database.withAccount(client.account_id, async (tx) => {
    // Two nodes at the same rows would wait for each other.
    const { rows } = await sql<{ ours: boolean }>`
      select pg_try_advisory_xact_lock(hashtextextended('delete client ' || ${client.id}, 0)) as ours`.execute(
      tx,
    );
    if (rows[0]?.ours !== true) return false;
    const scope = {
      accountId: client.account_id,
      issuerId: client.issuer_id,
      environment: client.environment,
      clientId: client.id,
    };
    const ended = await endSessionsOfClient(tx, scope, {
      now,
      atOnce,
      recordAll: (events) =>
        insertEvents(tx, { accountId: client.account_id, actor, requestId: null }, events),
    });
    if (ended === atOnce) return true;
    await deleteSilently(tx);
    await tx
      .deleteFrom('clients')
      .where('account_id', '=', client.account_id)
      .where('id', '=', client.id)
      .where('deleting', '=', true)
      .execute();
    return false;
  });
}
