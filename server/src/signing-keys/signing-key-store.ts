import { type Selectable, sql } from 'kysely';
import type { Principal } from '../authentication/principal.ts';
import { AppError } from '../errors.ts';
import { type PageRequest, paged } from '../http/listing.ts';
import type { CursorCodec } from '../http/pagination.ts';
import { idPrefixes, newId } from '../ids/ids.ts';
import type { Transaction } from '../postgres/database.ts';
import type { SigningKeysTable } from '../postgres/schema.ts';
import type { InstallationSecrets } from '../secrets/installation-secrets.ts';
import { newSealedKey } from './sealed-key.ts';
import type { SigningAlgorithm } from './signing-key.ts';

export type SigningKeyRow = Selectable<SigningKeysTable>;

/** Whose key it is to be. */
export interface KeyOwner {
  accountId: string;
  issuerId: string;
}

/** The keys of an issuer in the order in which they sign, the newest first. A handful at the most. */
export function findSigningKeys(
  tx: Transaction,
  { accountId, issuerId }: KeyOwner,
): Promise<SigningKeyRow[]> {
  return tx
    .selectFrom('signing_keys')
    .selectAll()
    .where('account_id', '=', accountId)
    .where('issuer_id', '=', issuerId)
    .orderBy('activates_at', 'desc')
    .orderBy('id', 'desc')
    .execute();
}

/** Makes a key and inserts it. The event is the caller's. */
export async function insertSigningKey(
  tx: Transaction,
  secrets: InstallationSecrets,
  { accountId, issuerId }: KeyOwner,
  key: { algorithm: SigningAlgorithm; activatesAt: Date; createdAt: Date },
): Promise<SigningKeyRow> {
  const id = newId(idPrefixes.signingKey);
  const { sealed, secretGeneration } = await newSealedKey(secrets, {
    issuerId,
    id,
    algorithm: key.algorithm,
  });
  return tx
    .insertInto('signing_keys')
    .values({
      id,
      account_id: accountId,
      issuer_id: issuerId,
      algorithm: key.algorithm,
      sealed,
      secret_generation: secretGeneration,
      activates_at: key.activatesAt,
      created_at: key.createdAt,
    })
    .returningAll()
    .executeTakeFirstOrThrow();
}

/** Gives the newest key its end, which makes room for another; every node is told at the commit. */
export async function endNewestKey(
  tx: Transaction,
  key: SigningKeyRow,
  { retiresAt, expiresAt }: { retiresAt: Date; expiresAt: Date },
): Promise<void> {
  await tx
    .updateTable('signing_keys')
    .set({ retires_at: retiresAt, expires_at: expiresAt, version: sql`version + 1` })
    .where('account_id', '=', key.account_id)
    .where('id', '=', key.id)
    .where('expires_at', 'is', null)
    .executeTakeFirstOrThrow();
}

/** Takes away the keys whose time is over. No token that they have signed is valid any more. */
export async function deleteExpiredKeys(
  tx: Transaction,
  { accountId, issuerId }: KeyOwner,
  now: Date,
): Promise<void> {
  await tx
    .deleteFrom('signing_keys')
    .where('account_id', '=', accountId)
    .where('issuer_id', '=', issuerId)
    .where('expires_at', '<=', now)
    .execute();
}

/** Of an issuer that the caller can see. @throws not_found */
export async function requireSigningKey(
  tx: Transaction,
  principal: Principal,
  issuerId: string,
  id: string,
): Promise<SigningKeyRow> {
  const row = await tx
    .selectFrom('signing_keys')
    .selectAll()
    .where('account_id', '=', principal.accountId)
    .where('issuer_id', '=', issuerId)
    .where('id', '=', id)
    .executeTakeFirst();
  if (row === undefined) throw new AppError('not_found');
  return row;
}

/** Newest first, one row more than the page holds. */
export function listSigningKeys(
  tx: Transaction,
  { accountId, issuerId }: KeyOwner,
  page: PageRequest,
  cursors: CursorCodec,
): Promise<SigningKeyRow[]> {
  const query = tx
    .selectFrom('signing_keys')
    .selectAll('signing_keys')
    .where('signing_keys.account_id', '=', accountId)
    .where('signing_keys.issuer_id', '=', issuerId);
  return paged(query, 'signing_keys', page, cursors).execute();
}
