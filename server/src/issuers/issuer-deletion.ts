import { sql } from 'kysely';
import { Periodic } from '../jobs/periodic.ts';
import type { Log } from '../logs/log.ts';
import type { Database } from '../postgres/database.ts';
import { deleteRows, deleteSilently } from '../postgres/delete-rows.ts';

const everyMs = 5000;
const rowsAtOnce = 1000;

/** What an issuer can have many of, those that hang below others first, each with the order in which an index has it. */
export const leftByIssuers = [
  ['mails', sql`id desc`],
  ['otp_devices', sql`address, expires_at desc`],
  ['otp_addresses', sql`address`],
  ['otp_failures', sql`slot, part`],
  ['group_memberships', sql`organization_id, group_id, membership_id`],
  ['memberships', sql`organization_id, id`],
  ['groups', sql`organization_id, id`],
  ['departed_organizations', sql`issuer_id`],
  ['departed_groups', sql`issuer_id`],
  ['api_keys', sql`issuer_id`],
  ['organizations', sql`id`],
  ['oidc_records', sql`model, digest`],
  ['logout_notices', sql`issuer_id`],
  ['refresh_tokens', sql`session_id`],
  ['sessions', sql`id`],
  ['client_secrets', sql`client_id, id desc`],
  ['clients', sql`id`],
  ['oidc_consents', sql`user_id`],
  ['users', sql`id`],
] as const;

interface DoomedIssuer {
  id: string;
  account_id: string;
}

/**
 * The job that takes away what a deleted issuer has left: its mails, keys, organizations with their members, clients, users
 * and their sessions, and itself. What there is to do stands in the issuers, so it goes on after a crash and on whichever
 * node gets there first.
 *
 * @param atOnce rows that one step deletes at most
 */
export function createIssuerDeletion(database: Database, log: Log, atOnce = rowsAtOnce): Periodic {
  return new Periodic({
    name: 'issuer deletion',
    everyMs,
    log,
    async work() {
      const { rows } = await sql<DoomedIssuer>`select id, account_id from lookup_deleting_issuers()`.execute(
        database.lookups,
      );
      let hasMore = false;
      for (const issuer of rows) {
        // One that can't be deleted now must not keep the others.
        const more = await deleteSome(database, issuer, atOnce).catch((error: unknown) => {
          log.warn({ err: error, issuer_id: issuer.id }, 'A step of an issuer’s deletion failed');
          return false;
        });
        hasMore = more || hasMore;
      }
      return hasMore;
    },
  });
}

/** One step of bounded length. Answers whether this issuer needs another. */
function deleteSome(database: Database, issuer: DoomedIssuer, atOnce: number): Promise<boolean> {
  return database.withAccount(issuer.account_id, async (tx) => {
    // Two nodes at the same rows would wait for each other.
    const { rows } = await sql<{ ours: boolean }>`
      select pg_try_advisory_xact_lock(hashtextextended('delete issuer ' || ${issuer.id}, 0)) as ours`.execute(
      tx,
    );
    if (rows[0]?.ours !== true) return false;
    await deleteSilently(tx);
    const below = sql`account_id = ${issuer.account_id} and issuer_id = ${issuer.id}`;
    let rest = atOnce;
    for (const [table, order] of leftByIssuers) {
      rest -= await deleteRows(tx, table, below, rest, order);
      if (rest === 0) return true;
    }
    await tx
      .deleteFrom('issuers')
      .where('account_id', '=', issuer.account_id)
      .where('id', '=', issuer.id)
      .where('deleting', '=', true)
      .execute();
    return false;
  });
}
