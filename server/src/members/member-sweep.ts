import { sql } from 'kysely';
import { Periodic } from '../jobs/periodic.ts';
import type { Log } from '../logs/log.ts';
import type { OrganizationRow } from '../organizations/organization-store.ts';
import type { Database, Transaction } from '../postgres/database.ts';
import { deleteRows } from '../postgres/delete-rows.ts';

const everyMs = 60_000;
const organizationsAtOnce = 100;
const rowsAtOnce = 1_000;

/** Those that hang below others first. */
const tables = ['group_memberships', 'memberships', 'groups'] as const;

/**
 * For the transaction that deletes an organization: leaves its members and groups to the sweep, since all of them would
 * take longer than a request may. From the commit on nobody finds them, for whatever reads them asks for the organization.
 */
export async function leaveMembersBehind(
  tx: Transaction,
  { id, account_id, issuer_id }: Pick<OrganizationRow, 'id' | 'account_id' | 'issuer_id'>,
): Promise<void> {
  await tx.insertInto('departed_organizations').values({ id, account_id, issuer_id }).execute();
}

interface Departed {
  id: string;
  account_id: string;
  issuer_id: string;
}

/**
 * The job that takes away the members and groups of deleted organizations. What there is to do stands in a table, so it
 * goes on after a crash and on whichever node gets there first.
 *
 * @param atOnce rows that one step deletes at most
 */
export function createMemberSweep(database: Database, log: Log, atOnce = rowsAtOnce): Periodic {
  return new Periodic({
    name: 'member sweep',
    everyMs,
    log,
    async work() {
      const { rows } = await sql<Departed>`
        select id, account_id, issuer_id from lookup_departed_organizations(${organizationsAtOnce})`.execute(
        database.lookups,
      );
      // As long as anything was done there may be more to do, of these or of others.
      let hasMore = false;
      for (const organization of rows) {
        // One that can't be swept now must not keep the others.
        const hasSwept = await sweepSome(database, organization, atOnce).catch((error: unknown) => {
          log.warn({ err: error, organization_id: organization.id }, 'A step of the member sweep failed');
          return false;
        });
        hasMore = hasSwept || hasMore;
      }
      return hasMore;
    },
  });
}

/** One step of bounded length. Answers false where another node is at it. */
function sweepSome(database: Database, organization: Departed, atOnce: number): Promise<boolean> {
  const { id, account_id: accountId, issuer_id: issuerId } = organization;
  return database.withAccount(accountId, async (tx) => {
    // Two nodes at the same rows would wait for each other.
    const { rows } = await sql<{ ours: boolean }>`
      select pg_try_advisory_xact_lock(hashtextextended('sweep members ' || ${id}, 0)) as ours`.execute(tx);
    if (rows[0]?.ours !== true) return false;
    const below = sql`account_id = ${accountId} and issuer_id = ${issuerId} and organization_id = ${id}`;
    let rest = atOnce;
    for (const table of tables) {
      rest -= await deleteRows(tx, table, below, rest);
      if (rest === 0) return true;
    }
    await tx
      .deleteFrom('departed_organizations')
      .where('account_id', '=', accountId)
      .where('id', '=', id)
      .execute();
    return true;
  });
}
