import { type Selectable, sql } from 'kysely';
import { afterRetirement } from '../api-keys/create-api-key.ts';
import type { Principal } from '../authentication/principal.ts';
import { found, foundUnchanged } from '../http/found.ts';
import { nameContains, type PageRequest, paged } from '../http/listing.ts';
import type { CursorCodec } from '../http/pagination.ts';
import { idPrefixes, newId } from '../ids/ids.ts';
import { isVisibleIssuer } from '../issuers/visible-issuer.ts';
import type { Transaction } from '../postgres/database.ts';
import type { ClientSecretsTable, ClientsTable, JsonObject } from '../postgres/schema.ts';
import type { InstallationSecrets } from '../secrets/installation-secrets.ts';
import { newClientSecret } from './client-secret.ts';
import type { ClientFacts, ClientType } from './client-settings.ts';

export type ClientRow = Selectable<ClientsTable>;
export type ClientSecretRow = Selectable<ClientSecretsTable>;

/**
 * The clients of one issuer that the caller can see: none that is deleted or of a deleted issuer, or of a live one for a
 * sandbox key.
 */
function visibleClients(tx: Transaction, principal: Principal, issuerId: string) {
  return tx
    .selectFrom('clients')
    .selectAll('clients')
    .where('clients.account_id', '=', principal.accountId)
    .where('clients.issuer_id', '=', issuerId)
    .where('clients.deleting', '=', false)
    .where(isVisibleIssuer(principal, issuerId));
}

/** @throws not_found */
export async function requireClient(
  tx: Transaction,
  principal: Principal,
  params: { issuer_id: string; client_id: string },
): Promise<ClientRow> {
  const row = await visibleClients(tx, principal, params.issuer_id)
    .where('clients.id', '=', params.client_id)
    .executeTakeFirst();
  return found(row);
}

/** As `requireClient`, and nobody changes it before the transaction ends. @throws not_found, precondition_failed */
export async function lockClient(
  tx: Transaction,
  principal: Principal,
  params: { issuer_id: string; client_id: string },
  ifMatch: string | undefined,
): Promise<ClientRow> {
  const row = await visibleClients(tx, principal, params.issuer_id)
    .where('clients.id', '=', params.client_id)
    .forUpdate('clients')
    .executeTakeFirst();
  return foundUnchanged(row, ifMatch);
}

interface ClientFilter extends PageRequest {
  type?: ClientType | undefined;
  status?: 'active' | 'suspended' | undefined;
  confidential?: 'true' | 'false' | undefined;
  search?: string | undefined;
}

/** One row more than the page holds. */
export function listClients(
  tx: Transaction,
  principal: Principal,
  issuerId: string,
  filter: ClientFilter,
  cursors: CursorCodec,
): Promise<ClientRow[]> {
  let query = visibleClients(tx, principal, issuerId);
  if (filter.type) query = query.where('clients.type', '=', filter.type);
  if (filter.status) query = query.where('clients.status', '=', filter.status);
  if (filter.confidential) query = query.where('clients.confidential', '=', filter.confidential === 'true');
  if (filter.search) query = query.where(nameContains('clients', filter.search));
  return paged(query, 'clients', filter, cursors).execute();
}

export interface NewClient extends ClientFacts {
  accountId: string;
  issuerId: string;
  name: string;
  type: ClientType;
  metadata?: JsonObject | undefined;
}

/** Makes a client; its secret and its event are the caller's. */
export function insertClient(tx: Transaction, client: NewClient): Promise<ClientRow> {
  return tx
    .insertInto('clients')
    .values({
      id: newId(idPrefixes.client),
      account_id: client.accountId,
      issuer_id: client.issuerId,
      name: client.name,
      type: client.type,
      confidential: client.confidential,
      settings: JSON.stringify(client.settings),
      metadata: JSON.stringify(client.metadata ?? {}),
    })
    .returningAll()
    .executeTakeFirstOrThrow();
}

/** The secrets of a client, the newest first. */
export function secretsOf(
  tx: Transaction,
  { account_id, issuer_id, id }: SecretScope,
): Promise<ClientSecretRow[]> {
  return tx
    .selectFrom('client_secrets')
    .selectAll()
    .where('account_id', '=', account_id)
    .where('issuer_id', '=', issuer_id)
    .where('client_id', '=', id)
    .orderBy('id', 'desc')
    .execute();
}

/** The same of each client of a page, which are of one issuer. */
export async function secretsOfEach(
  tx: Transaction,
  clients: readonly SecretScope[],
): Promise<Map<string, ClientSecretRow[]>> {
  const [first] = clients;
  if (first === undefined) return new Map();
  const ids = clients.map(({ id }) => id);
  const rows = await tx
    .selectFrom('client_secrets')
    .selectAll()
    .where('account_id', '=', first.account_id)
    .where('issuer_id', '=', first.issuer_id)
    .where('client_id', 'in', ids)
    .orderBy('id', 'desc')
    .execute();
  return Map.groupBy(rows, (row) => row.client_id);
}

/** Where a client's secret belongs. */
type SecretScope = Pick<ClientRow, 'id' | 'account_id' | 'issuer_id'>;

/**
 * Makes a secret without an end for a client that has none such. The secret is in what it returns and nowhere else.
 *
 * @throws unavailable (503) where the installation secret was retired at this moment
 */
export async function insertClientSecret(
  tx: Transaction,
  secrets: InstallationSecrets,
  { id: clientId, account_id, issuer_id }: SecretScope,
  now: Date,
): Promise<{ row: ClientSecretRow; secret: string }> {
  const { secret, hint, digest, generation } = newClientSecret(clientId, secrets);
  const row = await tx
    .insertInto('client_secrets')
    .values({
      id: newId(idPrefixes.clientSecret),
      account_id,
      issuer_id,
      client_id: clientId,
      digest,
      digest_generation: generation,
      hint,
      created_at: now,
    })
    .returningAll()
    .executeTakeFirstOrThrow()
    .catch((error: unknown) => afterRetirement(secrets, error));
  return { row, secret };
}

/**
 * Gives the newest secret of a client that is locked an end, and takes all others away: whatever the grace of an earlier
 * rotation, two is the most that work.
 *
 * @returns the secret that goes on until then; null where the grace is none
 */
export async function retireClientSecrets(
  tx: Transaction,
  { id: clientId, account_id, issuer_id }: SecretScope,
  { endsAt, now }: { endsAt: Date; now: Date },
): Promise<ClientSecretRow | null> {
  await tx
    .deleteFrom('client_secrets')
    .where('account_id', '=', account_id)
    .where('issuer_id', '=', issuer_id)
    .where('client_id', '=', clientId)
    .where((eb) => (endsAt > now ? eb('expires_at', 'is not', null) : eb.lit(true)))
    .execute();
  const kept = await tx
    .updateTable('client_secrets')
    .set({ expires_at: endsAt })
    .where('account_id', '=', account_id)
    .where('issuer_id', '=', issuer_id)
    .where('client_id', '=', clientId)
    .where('expires_at', 'is', null)
    .returningAll()
    .executeTakeFirst();
  return kept ?? null;
}

/** Raises the version of a client whose secrets have changed: its ETag has to change, and every node has to hear of it. */
export function touchClient(tx: Transaction, { id, account_id }: SecretScope): Promise<ClientRow> {
  return tx
    .updateTable('clients')
    .set({ version: sql`version + 1`, updated_at: sql`now()` })
    .where('account_id', '=', account_id)
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirstOrThrow();
}
