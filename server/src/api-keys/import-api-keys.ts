import { sql } from 'kysely';
import { AppError } from '../errors.ts';
import { idPrefixes, newId } from '../ids/ids.ts';
import { holdSweep } from '../organizations/organization-sweep.ts';
import type { Transaction } from '../postgres/database.ts';
import type { InstallationSecrets } from '../secrets/installation-secrets.ts';
import { afterRetirement, keyNameOf, limitsOf, rotationDueAtOf } from './create-api-key.ts';
import type { ImportedKeyInput } from './import-schema.ts';
import { digestOfImport } from './imported-hash.ts';
import type { KeyFacts, KeyPlace } from './key-rules.ts';
import { isLeftBehind } from './left-behind.ts';
import { nextNoticeAt } from './notices.ts';

/** A key that has passed the rules of `key-rules.ts`, and its place in the request. */
export interface KeyToImport {
  index: number;
  input: ImportedKeyInput;
  facts: KeyFacts;
}

/** A row whose organization is gone (`isLeftBehind`). */
interface LeftBehind {
  digest: Buffer;
  organizationId: string;
}

export interface Conflict {
  index: number;
  reason: 'already_imported' | 'duplicate_in_request';
}

/** A row to be: what `insertImportedKeys` writes of each key, as Postgres reads it from JSON. */
type NewRow = ReturnType<typeof toRow>;

/**
 * Parts the keys that the account does not have yet from those that it has or that stand twice in the request.
 *
 * Until the transaction ends no other import of the account goes on: what is new here stays new. The unique digest alone
 * would not do, for a hash has another digest under each generation of the secret.
 *
 * @returns with them the rows that deleted organizations have left of these keys
 */
export async function partNewKeys(
  tx: Transaction,
  secrets: InstallationSecrets,
  accountId: string,
  keys: readonly KeyToImport[],
): Promise<{ fresh: KeyToImport[]; conflicts: Conflict[]; leftBehind: LeftBehind[] }> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`import_api_keys:${accountId}`}, 0))`.execute(tx);
  await requireEveryGeneration(tx, secrets);
  const { known, leftBehind } = await hashesKnown(tx, secrets, accountId, keys);
  const seen = new Set<string>();
  const fresh: KeyToImport[] = [];
  const conflicts: Conflict[] = [];
  for (const key of keys) {
    const { hash } = key.input;
    if (seen.has(hash)) conflicts.push({ index: key.index, reason: 'duplicate_in_request' });
    else if (known.has(hash)) conflicts.push({ index: key.index, reason: 'already_imported' });
    else fresh.push(key);
    seen.add(hash);
  }
  return { fresh, conflicts, leftBehind };
}

/**
 * A node that has not heard of a generation yet can't tell which hashes were imported under it.
 *
 * @throws unavailable (503): the node reads the secrets again, and the same call works when it is repeated
 */
async function requireEveryGeneration(tx: Transaction, secrets: InstallationSecrets): Promise<void> {
  const rows = await tx
    .selectFrom('installation_secrets')
    .select('generation')
    .where('purpose', '=', 'api-key-digest')
    .where('retired_at', 'is', null)
    .execute();
  if (rows.every(({ generation }) => secrets.key('api-key-digest', generation) !== undefined)) return;
  await secrets.reload();
  throw new AppError('unavailable', { headers: { 'Retry-After': '1' } });
}

async function hashesKnown(
  tx: Transaction,
  secrets: InstallationSecrets,
  accountId: string,
  keys: readonly KeyToImport[],
): Promise<{ known: Set<string>; leftBehind: LeftBehind[] }> {
  const hashOf = new Map<string, string>();
  const digests: Buffer[] = [];
  for (const { key } of secrets.generations('api-key-digest')) {
    for (const { input } of keys) {
      const digest = digestOfImport(key, accountId, Buffer.from(input.hash, 'hex'));
      hashOf.set(digest.toString('hex'), input.hash);
      digests.push(digest);
    }
  }
  const rows = await tx
    .selectFrom('api_keys')
    .select(['digest', 'organization_id', isLeftBehind('api_keys').as('is_left_behind')])
    .where('account_id', '=', accountId)
    .where(sql<boolean>`digest = any(${digests}::bytea[])`)
    .execute();
  const isKnown = rows.filter((row) => !row.is_left_behind);
  return {
    known: new Set(isKnown.map(({ digest }) => hashOf.get(digest.toString('hex'))!)),
    leftBehind: rows.flatMap(({ digest, organization_id: organizationId, is_left_behind }) =>
      is_left_behind && organizationId !== null ? [{ digest, organizationId }] : [],
    ),
  };
}

/** Digests are unique as long as their rows are there, so these make way for keys of the same hashes. */
async function makeWay(tx: Transaction, accountId: string, gone: readonly LeftBehind[]): Promise<void> {
  if (gone.length === 0) return;
  // Beside the sweep, which takes them in an order of its own, the two could wait for each other in a circle.
  for (const id of [...new Set(gone.map(({ organizationId }) => organizationId))].toSorted())
    await holdSweep(tx, id);
  await tx
    .deleteFrom('api_keys')
    .where('account_id', '=', accountId)
    .where(sql<boolean>`digest = any(${gone.map(({ digest }) => digest)}::bytea[])`)
    .execute();
}

export interface ImportContext {
  secrets: InstallationSecrets;
  place: KeyPlace;
  batch: string;
  createdBy: { type: 'api_key'; id: string };
  now: Date;
}

/** Inserts the keys, in one statement, in place of what is left behind of them. The events are the caller's. */
export async function insertImportedKeys(
  tx: Transaction,
  context: ImportContext,
  keys: readonly KeyToImport[],
  leftBehind: readonly LeftBehind[],
): Promise<{ rows: readonly NewRow[]; digests: readonly Buffer[] }> {
  await makeWay(tx, context.place.accountId, leftBehind);
  const { generation, key } = context.secrets.current('api-key-digest');
  const digests = keys.map(({ input }) =>
    digestOfImport(key, context.place.accountId, Buffer.from(input.hash, 'hex')),
  );
  const rows = keys.map((each, index) => toRow(context, each, generation, digests[index]!));
  // One parameter instead of a thousand times twenty, of which Postgres takes 65,535.
  await sql`
    insert into api_keys (id, account_id, issuer_id, organization_id, name, description, kind, environment, status, hint, digest,
      digest_generation, check_generation, scopes, origins, browsers, require_origin, ips, limits, quota, metadata,
      expires_at, created_by, rotation_due_at, next_notice_at, import_batch, created_at, updated_at)
    select id, account_id, issuer_id, organization_id, name, description, kind, environment, status, hint, digest,
      digest_generation, check_generation, scopes, origins, browsers, require_origin, ips, limits, quota, metadata,
      expires_at, created_by, rotation_due_at, next_notice_at, import_batch, created_at, updated_at
    from jsonb_populate_recordset(null::api_keys, ${JSON.stringify(rows)}::jsonb)
  `
    .execute(tx)
    .catch((error: unknown) => afterRetirement(context.secrets, error));
  return { rows, digests };
}

function toRow(
  { place, batch, createdBy, now }: ImportContext,
  { input, facts }: KeyToImport,
  generation: number,
  digest: Buffer,
) {
  const { restrictions } = input;
  const rotationDueAt = rotationDueAtOf(now);
  return {
    id: newId(idPrefixes.apiKey),
    account_id: place.accountId,
    issuer_id: place.issuer?.id ?? null,
    organization_id: place.organizationId,
    name: keyNameOf(
      { name: input.name ?? null, description: input.description, environment: facts.environment },
      now,
    ),
    description: input.description ?? null,
    kind: facts.kind,
    environment: facts.environment,
    status: input.enabled ? 'active' : 'disabled',
    hint: input.hint ?? `${input.prefix ?? 'imported'}…`,
    digest: `\\x${digest.toString('hex')}`,
    digest_generation: generation,
    // No check part: another system made the secret.
    check_generation: 0,
    scopes: facts.scopes,
    origins: restrictions?.origins ?? [],
    browsers: restrictions?.browsers ?? 'allow',
    require_origin: restrictions?.require_origin ?? false,
    ips: restrictions?.ips ?? [],
    ...limitsOf(input, now),
    metadata: input.metadata ?? {},
    expires_at: facts.expiresAt,
    created_by: createdBy,
    rotation_due_at: rotationDueAt,
    next_notice_at: nextNoticeAt(
      { expires_at: facts.expiresAt, rotation_due_at: rotationDueAt, rotated_at: null },
      now,
    ),
    import_batch: batch,
    created_at: now,
    updated_at: now,
  };
}
