import type pg from 'pg';
import type { Transaction } from '../postgres/database.ts';
import { callLookup } from '../postgres/lookup.ts';

/** Whose records, and which of the library's models. */
export interface RecordScope {
  readonly accountId: string;
  readonly issuerId: string;
  readonly model: string;
}

/** A row of `lookup_oidc_record_v2`. */
export interface FoundRecord extends pg.QueryResultRow {
  digest: Buffer;
  secret_generation: number;
  sealed: Buffer;
  session_id: string | null;
  expires_at: Date;
  consumed_at: Date | null;
}

const foundColumns = [
  'digest',
  'secret_generation',
  'sealed',
  'session_id',
  'expires_at',
  'consumed_at',
] as const;

/** By what a record is looked up: the digests of its id, of its user code, or the name of the browser login it is. */
export type RecordName = { digests: Buffer[] } | { loginUid: string } | { userCodes: Buffer[] };

/** The record of this name; undefined where there is none, or its user or session is not active any more. */
export async function findRecord(
  pool: pg.Pool,
  { issuerId, model }: Pick<RecordScope, 'issuerId' | 'model'>,
  name: RecordName,
): Promise<FoundRecord | undefined> {
  const found = await callLookup<FoundRecord>(pool, 'lookup_oidc_record_v2', [
    issuerId,
    model,
    'digests' in name ? name.digests : null,
    'loginUid' in name ? name.loginUid : null,
    'userCodes' in name ? name.userCodes : null,
  ]);
  return newestOf(found);
}

/** Under two generations of the secret where it was written anew while one was made: the newer says how it stands. */
function newestOf(found: FoundRecord[]): FoundRecord | undefined {
  return found.sort((a, b) => b.secret_generation - a.secret_generation)[0];
}

/** What is written of a record. */
export interface RecordValues {
  digest: Buffer;
  secret_generation: number;
  sealed: Buffer;
  user_code: Buffer | null;
  login_uid: string | null;
  grant_id: string | null;
  session_id: string | null;
  user_id: string | null;
  expires_at: Date;
}

/** Writes a record; one of the same id is replaced. */
export async function putRecord(
  tx: Transaction,
  { accountId, issuerId, model }: RecordScope,
  values: RecordValues,
  now: Date,
): Promise<void> {
  await tx
    .insertInto('oidc_records')
    .values({ ...values, account_id: accountId, issuer_id: issuerId, model, created_at: now })
    .onConflict((conflict) =>
      conflict.columns(['issuer_id', 'model', 'digest']).doUpdateSet({
        sealed: values.sealed,
        secret_generation: values.secret_generation,
        user_code: values.user_code,
        login_uid: values.login_uid,
        grant_id: values.grant_id,
        session_id: values.session_id,
        user_id: values.user_id,
        expires_at: values.expires_at,
      }),
    )
    .execute();
}

/** Writes a record that nobody has written before. Answers whether that was so: of any number at once, of one. */
export async function putRecordOnce(
  tx: Transaction,
  { accountId, issuerId, model }: RecordScope,
  values: RecordValues,
  now: Date,
): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await tx
    .insertInto('oidc_records')
    .values({ ...values, account_id: accountId, issuer_id: issuerId, model, created_at: now })
    .onConflict((conflict) => conflict.columns(['issuer_id', 'model', 'digest']).doNothing())
    .executeTakeFirst();
  return numInsertedOrUpdatedRows === 1n;
}

/**
 * Changes a record that is still there; one that has been taken away meanwhile does not come back.
 *
 * @param digests under which it may stand
 * @returns whether it was there
 */
export async function changeRecord(
  tx: Transaction,
  { accountId, issuerId, model }: RecordScope,
  digests: readonly Buffer[],
  values: RecordValues,
): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable('oidc_records')
    .set(values)
    .where('account_id', '=', accountId)
    .where('issuer_id', '=', issuerId)
    .where('model', '=', model)
    .where('digest', 'in', digests)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

/**
 * Uses a record up. The one statement decides, so of any number at once one is first.
 *
 * @returns `missing` where there is none, or its time is over
 */
export async function consumeRecord(
  tx: Transaction,
  { accountId, issuerId, model }: RecordScope,
  digests: readonly Buffer[],
  now: Date,
): Promise<'used' | 'reused' | 'missing'> {
  const used = await tx
    .updateTable('oidc_records')
    .set({ consumed_at: now })
    .where('account_id', '=', accountId)
    .where('issuer_id', '=', issuerId)
    .where('model', '=', model)
    .where('digest', 'in', digests)
    .where('consumed_at', 'is', null)
    .where('expires_at', '>', now)
    .returning('digest')
    .executeTakeFirst();
  if (used !== undefined) return 'used';
  const row = await usesOf(tx, { accountId, issuerId, model }, digests).executeTakeFirst();
  return row?.consumed_at == null ? 'missing' : 'reused';
}

/** A record once no transaction is at it any more, with when it was used up; undefined where there is none. */
export async function settledRecord(
  tx: Transaction,
  scope: RecordScope,
  digests: readonly Buffer[],
): Promise<{ consumed_at: Date | null } | undefined> {
  return usesOf(tx, scope, digests).forShare().executeTakeFirst();
}

/** Whether it was used up at exactly this moment. */
export function isUsedAt(record: { consumed_at: Date | null } | undefined, moment: Date): boolean {
  return record?.consumed_at?.getTime() === moment.getTime();
}

function usesOf(tx: Transaction, { accountId, issuerId, model }: RecordScope, digests: readonly Buffer[]) {
  return tx
    .selectFrom('oidc_records')
    .select('consumed_at')
    .where('account_id', '=', accountId)
    .where('issuer_id', '=', issuerId)
    .where('model', '=', model)
    .where('digest', 'in', digests);
}

/** A record that nobody else changes until the transaction ends; undefined where there is none. */
export async function lockRecord(
  tx: Transaction,
  { accountId, issuerId, model }: RecordScope,
  digests: readonly Buffer[],
): Promise<FoundRecord | undefined> {
  return tx
    .selectFrom('oidc_records')
    .select(foundColumns)
    .where('account_id', '=', accountId)
    .where('issuer_id', '=', issuerId)
    .where('model', '=', model)
    .where('digest', 'in', digests)
    .orderBy('secret_generation', 'desc')
    .forUpdate()
    .executeTakeFirst();
}

/** Takes a record away. Answers what it was; undefined where there was none. */
export async function deleteRecord(
  tx: Transaction,
  { accountId, issuerId, model }: RecordScope,
  digests: readonly Buffer[],
): Promise<FoundRecord | undefined> {
  const deleted = await tx
    .deleteFrom('oidc_records')
    .where('account_id', '=', accountId)
    .where('issuer_id', '=', issuerId)
    .where('model', '=', model)
    .where('digest', 'in', digests)
    .returning(foundColumns)
    .execute();
  return newestOf(deleted);
}

/** What has been granted lasts as long as the newest token that came of it, and other records as what has come of them. */
export async function prolongRecord(
  tx: Transaction,
  { accountId, issuerId, model }: RecordScope,
  digests: readonly Buffer[],
  expiresAt: Date,
): Promise<void> {
  await tx
    .updateTable('oidc_records')
    .set({ expires_at: expiresAt })
    .where('account_id', '=', accountId)
    .where('issuer_id', '=', issuerId)
    .where('model', '=', model)
    .where('digest', 'in', digests)
    .where('expires_at', '<', expiresAt)
    .execute();
}
