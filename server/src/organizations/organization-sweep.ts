import { type RawBuilder, sql } from 'kysely';
import { Periodic } from '../jobs/periodic.ts';
import type { Log } from '../logs/log.ts';
import type { Database, Transaction } from '../postgres/database.ts';
import { type DeletedTable, deleteRows, deleteSilently } from '../postgres/delete-rows.ts';
import type { OrganizationRow } from './organization-store.ts';

const everyMs = 60_000;
const departedAtOnce = 100;
/** Of one account, so that one that deletes many does not keep the others waiting. */
const departedAtOnceOfEach = 20;
const rowsAtOnce = 1_000;

/** What an organization leaves, those that hang below others first, each with the order in which an index has it. */
const leftByOrganizations = [
  ['api_keys', sql`id desc`],
  ['group_memberships', sql`group_id, membership_id`],
  ['memberships', sql`id`],
  ['groups', sql`id`],
] as const;

const leftByGroups = [['group_memberships', sql`membership_id`]] as const;

/**
 * For the transaction that deletes an organization: leaves its keys, members and groups to the sweep, since all of them would
 * take longer than a request may. From the commit on nobody finds them, for whatever reads them asks for the organization.
 */
export async function leaveRestBehind(
  tx: Transaction,
  { id, account_id, issuer_id }: Pick<OrganizationRow, 'id' | 'account_id' | 'issuer_id'>,
): Promise<void> {
  await tx.insertInto('departed_organizations').values({ id, account_id, issuer_id }).execute();
}

/** Of an organization, or of a group in an organization that is still there. */
interface Departed {
  id: string;
  account_id: string;
  issuer_id: string;
  /** null for an organization. */
  organization_id: string | null;
}

/**
 * The job that takes away the keys, members and groups of deleted organizations, and the places of members in deleted groups.
 * What there is to do stands in tables, so it goes on after a crash and on whichever node gets there first.
 *
 * @param atOnce rows that one step deletes at most
 */
export function createOrganizationSweep(database: Database, log: Log, atOnce = rowsAtOnce): Periodic {
  return new Periodic({
    name: 'organization sweep',
    everyMs,
    log,
    async work(signal) {
      // As long as anything was done there may be more to do, of these or of others.
      let hasMore = false;
      for (const departed of await allDeparted(database)) {
        if (signal.aborted) return false;
        const { id, organization_id } = departed;
        // What can't be swept now must not keep the others.
        const hasSwept = await sweepSome(database, departed, atOnce).catch((error: unknown) => {
          const of = organization_id === null ? { organization_id: id } : { organization_id, group_id: id };
          log.warn({ err: error, ...of }, 'A step of the organization sweep failed');
          return false;
        });
        hasMore = hasSwept || hasMore;
      }
      return hasMore;
    },
  });
}

async function allDeparted({ lookups }: Database): Promise<Departed[]> {
  const { rows: organizations } = await sql<Departed>`
    select id, account_id, issuer_id, null as organization_id
    from lookup_departed_organizations_v2(${departedAtOnce}, ${departedAtOnceOfEach})`.execute(lookups);
  const { rows: groups } = await sql<Departed>`
    select id, account_id, issuer_id, organization_id
    from lookup_departed_groups(${departedAtOnce}, ${departedAtOnceOfEach})`.execute(lookups);
  return [...organizations, ...groups];
}

/** One step of bounded length. Answers false where another node is at it. */
function sweepSome(database: Database, departed: Departed, atOnce: number): Promise<boolean> {
  const { id, account_id: accountId, issuer_id: issuerId, organization_id: organizationId } = departed;
  return database.withAccount(accountId, async (tx) => {
    // Two nodes at the same rows would wait for each other.
    const { rows } = await sql<{ ours: boolean }>`
      select pg_try_advisory_xact_lock(${sweepOf(id)}) as ours`.execute(tx);
    if (rows[0]?.ours !== true) return false;
    await deleteSilently(tx);
    const isOfGroup = organizationId !== null;
    const below = sql`account_id = ${accountId} and issuer_id = ${issuerId}
      and organization_id = ${organizationId ?? id} ${isOfGroup ? sql`and group_id = ${id}` : sql``}`;
    if (!(await deleteAll(tx, isOfGroup ? leftByGroups : leftByOrganizations, below, atOnce))) return true;
    await tx
      .deleteFrom(isOfGroup ? 'departed_groups' : 'departed_organizations')
      .where('account_id', '=', accountId)
      .where('id', '=', id)
      .execute();
    return true;
  });
}

/**
 * Deletes no more rows than so many, of one table. Answers whether nothing was found in any: a row that was found may have
 * been changed meanwhile and be there still, so only the step after the last one knows that nothing is left.
 */
async function deleteAll(
  tx: Transaction,
  from: readonly (readonly [DeletedTable, RawBuilder<unknown>])[],
  matches: RawBuilder<unknown>,
  most: number,
): Promise<boolean> {
  for (const [table, order] of from)
    if ((await deleteRows(tx, table, matches, most, order)) > 0) return false;
  return true;
}

/** Waits until no sweep of the organization is at work; none begins before the transaction ends. */
export async function holdSweep(tx: Transaction, organizationId: string): Promise<void> {
  await sql`select pg_advisory_xact_lock(${sweepOf(organizationId)})`.execute(tx);
}

/** Of an organization or a group; as the build before this one has it, whose nodes may be at work beside ours. */
function sweepOf(id: string): RawBuilder<unknown> {
  return sql`hashtextextended('sweep members ' || ${id}, 0)`;
}
