import { sql } from 'kysely';
import { contains } from '../http/listing.ts';
import type { Transaction } from '../postgres/database.ts';
import type { Choice } from './pages/organization-page.ts';

/** Whose organizations, and which part of them. */
export interface ChoicesAsked {
  readonly accountId: string;
  readonly issuerId: string;
  readonly userId: string;
  /** A part of the name; empty for all. */
  readonly query: string;
  /** The organization that the last page has ended with. */
  readonly after: string | null;
  readonly limit: number;
}

/** The active organizations that a user is a member of, by name; as many as asked for. */
export function findChoices(tx: Transaction, asked: ChoicesAsked): Promise<Choice[]> {
  const name = sql`o.name collate "C"`;
  let query = tx
    .selectFrom('memberships as m')
    .innerJoin('organizations as o', (join) =>
      join.onRef('o.id', '=', 'm.organization_id').onRef('o.account_id', '=', 'm.account_id'),
    )
    .select(['o.id', 'o.name'])
    .where('m.account_id', '=', asked.accountId)
    .where('m.issuer_id', '=', asked.issuerId)
    .where('m.user_id', '=', asked.userId)
    .where('o.status', '=', 'active')
    .orderBy(name)
    .orderBy('o.id')
    .limit(asked.limit);
  if (asked.query !== '') query = query.where(contains(sql.ref('o.name'), asked.query));
  if (asked.after !== null)
    query = query.where(sql<boolean>`(${name}, o.id) > (
      select l.name collate "C", l.id from organizations l
      where l.account_id = ${asked.accountId} and l.issuer_id = ${asked.issuerId} and l.id = ${asked.after})`);
  return query.execute();
}
