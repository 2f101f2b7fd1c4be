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
}

/** The active organizations that a user is a member of, in no order. */
export function findChoices(tx: Transaction, asked: ChoicesAsked): Promise<Choice[]> {
  const query = tx
    .selectFrom('memberships as m')
    .innerJoin('organizations as o', (join) =>
      join.onRef('o.id', '=', 'm.organization_id').onRef('o.account_id', '=', 'm.account_id'),
    )
    .select(['o.id', 'o.name'])
    .where('m.account_id', '=', asked.accountId)
    .where('m.issuer_id', '=', asked.issuerId)
    .where('m.user_id', '=', asked.userId)
    .where('o.status', '=', 'active');
  return asked.query === ''
    ? query.execute()
    : query.where(contains(sql.ref('o.name'), asked.query)).execute();
}
