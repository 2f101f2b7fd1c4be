import { type Kysely, type Selectable, sql } from 'kysely';
import { type PageRequest, paged } from '../http/listing.ts';
import type { CursorCodec } from '../http/pagination.ts';
import type { Environment } from '../key-profiles/key-profile.ts';
import type { Transaction } from '../postgres/database.ts';
import type { MailsTable, Schema } from '../postgres/schema.ts';

/** A mail that is ours to deliver until the end of the lease. */
export interface ClaimedMail {
  id: string;
  account_id: string;
  issuer_id: string;
  environment: Environment;
  subject_type: string;
  subject_id: string;
  sealed: Buffer;
  secret_generation: number;
  is_withheld: boolean;
  /** This claim's number: once somebody else has claimed it, what is said under this one does not count. */
  attempts: number;
  not_after: Date;
  created_at: Date;
}

type Claim = Pick<ClaimedMail, 'id' | 'account_id' | 'attempts'>;

export async function insertMail(
  tx: Transaction,
  row: Omit<Selectable<MailsTable>, 'attempts'>,
): Promise<void> {
  await tx.insertInto('mails').values(row).execute();
}

/** Deletes mails of a live issuer about this that wait: nobody has any use for them any more. */
export async function deleteWaiting(
  tx: Transaction,
  { accountId, issuerId }: { accountId: string; issuerId: string },
  subjectId: string,
): Promise<void> {
  await tx
    .deleteFrom('mails')
    .where('account_id', '=', accountId)
    .where('issuer_id', '=', issuerId)
    .where('subject_id', '=', subjectId)
    .where('due_at', 'is not', null)
    .where('environment', '=', 'live')
    .execute();
}

/** Whose turn it is. */
export interface Turns {
  /** Accounts with as many entries as they have mails under way on this node. */
  readonly underWay: readonly string[];
  /** Of one account, with those under way. */
  readonly mostEach: number;
  /** Where the last claim ended; empty at first. */
  readonly after: string;
}

/** What a claim has got. */
export interface Claimed {
  readonly mails: readonly ClaimedMail[];
  /** For the next claim. */
  readonly after: string;
  /** All accounts have had their turn; else the next claim is due at once. */
  readonly isRound: boolean;
}

/**
 * Takes mails that are due for the length of a lease; of callers at the same time each gets others. Accounts take turns,
 * however many mails of each wait.
 */
export async function claimMails(
  db: Kysely<Schema>,
  now: Date,
  leaseEnd: Date,
  most: number,
  { underWay, mostEach, after }: Turns,
): Promise<Claimed> {
  const { rows } = await sql<ClaimRow>`
    select * from claim_mails_v2(
      ${now}, ${leaseEnd}, ${most}::int, ${mostEach}::int, ${underWay}::text[], ${after})`.execute(db);
  const { last_account, is_round } = rows[0]!;
  const mails = rows.filter((row): row is ClaimRow & ClaimedMail => row.id !== null);
  return { mails, after: last_account, isRound: is_round };
}

type ClaimRow = (ClaimedMail | { id: null }) & { last_account: string; is_round: boolean };

/** The mail is done with, and nothing of it stays. Answers false where it was no longer this claim's. */
export async function deleteClaimed(tx: Transaction, claim: Claim): Promise<boolean> {
  const { numDeletedRows } = await tx
    .deleteFrom('mails')
    .where('account_id', '=', claim.account_id)
    .where('id', '=', claim.id)
    .where('attempts', '=', claim.attempts)
    .executeTakeFirst();
  return numDeletedRows === 1n;
}

/** The claim ends: the mail is due again then; with null it is kept to be read. */
export async function returnClaimed(tx: Transaction, claim: Claim, dueAt: Date | null): Promise<void> {
  await tx
    .updateTable('mails')
    .set({ due_at: dueAt })
    .where('account_id', '=', claim.account_id)
    .where('id', '=', claim.id)
    .where('attempts', '=', claim.attempts)
    .execute();
}

export type MailRow = Pick<
  Selectable<MailsTable>,
  'id' | 'account_id' | 'issuer_id' | 'sealed' | 'secret_generation' | 'created_at'
>;

/** Which mails of a sandbox issuer are looked for. */
interface MailSearch {
  keptSince: Date;
  /** Digests of an address, if only mails to it are. */
  recipients: readonly Buffer[] | null;
}

/** The mails of a sandbox issuer that are looked for, newest first, one row more than the page holds. */
export function listMails(
  tx: Transaction,
  { accountId, issuerId }: { accountId: string; issuerId: string },
  { keptSince, recipients }: MailSearch,
  page: PageRequest,
  cursors: CursorCodec,
): Promise<MailRow[]> {
  const all = tx
    .selectFrom('mails')
    .select(['id', 'account_id', 'issuer_id', 'sealed', 'secret_generation', 'created_at'])
    .where('account_id', '=', accountId)
    .where('issuer_id', '=', issuerId)
    .where('environment', '=', 'sandbox')
    .where('is_withheld', '=', false)
    .where('created_at', '>', keptSince);
  const query = recipients === null ? all : all.where('recipient', 'in', recipients);
  return paged(query, 'mails', page, cursors).execute();
}

/** Deletes what has been kept for long enough, at most so many. Answers how many. */
export async function sweepMails(db: Kysely<Schema>, keptSince: Date, most: number): Promise<number> {
  const { rows } = await sql<{ swept: number }>`
    select sweep_mails(${keptSince}, ${most}::int) as swept`.execute(db);
  return Number(rows[0]?.swept ?? 0);
}

/** How many mails wait in all accounts, and for how long the first of them has. */
export async function countWaitingMails(
  db: Kysely<Schema>,
  now: Date,
): Promise<{ count: number; oldestSeconds: number }> {
  const { rows } = await sql<{ waiting: number; oldest_seconds: number }>`
    select * from lookup_waiting_mails(${now})`.execute(db);
  return { count: Number(rows[0]?.waiting ?? 0), oldestSeconds: Number(rows[0]?.oldest_seconds ?? 0) };
}
