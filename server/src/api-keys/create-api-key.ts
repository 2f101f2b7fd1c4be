import type { Principal } from '../authentication/principal.ts';
import { AppError } from '../errors.ts';
import { idPrefixes, newId } from '../ids/ids.ts';
import { type KeyProfile, renderPrefix } from '../key-profiles/key-profile.ts';
import { presets } from '../key-profiles/presets.ts';
import type { WindowLimit } from '../limits/limits.ts';
import { type StoredQuota, setCredits } from '../limits/quota.ts';
import type { Transaction } from '../postgres/database.ts';
import type { JsonObject } from '../postgres/schema.ts';
import type { InstallationSecrets } from '../secrets/installation-secrets.ts';
import type { ApiKeyRow } from './api-key.ts';
import type { CreateApiKeyInput } from './api-key-schema.ts';
import type { KeyFacts, KeyPlace } from './key-rules.ts';
import { mintKeySecret } from './key-secret.ts';
import { nextNoticeAt } from './notices.ts';

const rotationDueDays = 90;
const dayMs = 86_400_000;
const maxNameLength = 200;
/** SQLSTATE that the trigger `live_secret_generations` raises. */
const retiredGeneration = '55000';

/** A key that has passed the rules of `key-rules.ts`. */
export interface NewApiKey extends KeyFacts {
  place: KeyPlace;
  /** null for an account's own key, which looks like those of the standard profile. */
  profile: KeyProfile | null;
  name: string | null;
  description?: string | null | undefined;
  origins?: readonly string[];
  browsers?: 'allow' | 'deny';
  requireOrigin?: boolean;
  ips?: readonly string[];
  limits?: readonly WindowLimit[];
  quota?: StoredQuota | null;
  metadata?: JsonObject;
  createdBy: { type: 'api_key' | 'system'; id: string };
  /** The key that it takes over from, by rotation. */
  succeeds?: { id: string; lineageId: string };
}

/** Mints a secret and inserts the key. The secret is in what it returns and nowhere else; the event is the caller's. */
export async function insertApiKey(
  tx: Transaction,
  secrets: InstallationSecrets,
  key: NewApiKey,
  now: Date,
): Promise<{ row: ApiKeyRow; secret: string }> {
  const digestSecret = secrets.current('api-key-digest');
  const checkSecret = secrets.current('api-key-check');
  const minted = mintKeySecret({
    prefix: renderPrefix(key.profile ?? presets.standard, key.kind, key.environment),
    digest: { generation: digestSecret.generation, key: digestSecret.key.toString('hex') },
    check: { generation: checkSecret.generation, key: checkSecret.key },
  });
  const rotationDueAt = rotationDueAtOf(now);
  const row = await tx
    .insertInto('api_keys')
    .values({
      id: newId(idPrefixes.apiKey),
      account_id: key.place.accountId,
      issuer_id: key.place.issuer?.id ?? null,
      organization_id: key.place.organizationId,
      name: keyNameOf(key, now),
      description: key.description ?? null,
      kind: key.kind,
      environment: key.environment,
      hint: minted.hint,
      digest: Buffer.from(minted.digest, 'hex'),
      digest_generation: digestSecret.generation,
      check_generation: checkSecret.generation,
      scopes: key.scopes === null ? null : [...key.scopes],
      origins: [...(key.origins ?? [])],
      browsers: key.browsers ?? 'allow',
      require_origin: key.requireOrigin ?? false,
      ips: [...(key.ips ?? [])],
      limits: JSON.stringify(key.limits ?? []),
      quota: key.quota ? JSON.stringify(key.quota) : null,
      metadata: JSON.stringify(key.metadata ?? {}),
      expires_at: key.expiresAt,
      created_by: JSON.stringify(key.createdBy),
      rotation_due_at: rotationDueAt,
      next_notice_at: nextNoticeAt(
        { expires_at: key.expiresAt, rotation_due_at: rotationDueAt, rotated_at: null },
        now,
      ),
      ...(key.succeeds && { predecessor_id: key.succeeds.id, lineage_id: key.succeeds.lineageId }),
      created_at: now,
      updated_at: now,
    })
    .returningAll()
    .executeTakeFirstOrThrow()
    .catch((error: unknown) => afterRetirement(secrets, error));
  return { row, secret: minted.secret };
}

/** What is asked for, with its defaults. Absent scopes are every permission for an account's key and none for any other. */
export function factsOf(
  place: KeyPlace,
  callersEnvironment: KeyFacts['environment'],
  body: CreateApiKeyInput,
): KeyFacts {
  return {
    kind: body.kind,
    environment: body.environment ?? place.issuer?.environment ?? callersEnvironment,
    scopes: body.restrictions?.scopes ?? (place.issuer === null ? null : []),
    expiresAt: body.expires_at == null ? null : new Date(body.expires_at),
  };
}

/** The limits and the credits that a new key is asked to have. */
export function limitsOf({ limits, quota }: Pick<CreateApiKeyInput, 'limits' | 'quota'>, now: Date) {
  return { limits: limits ?? [], quota: quota ? setCredits(quota, now.getTime()) : null };
}

/** When a key that is made now is due to be rotated. */
export function rotationDueAtOf(now: Date): Date {
  return new Date(now.getTime() + rotationDueDays * dayMs);
}

/** The name of a new key, which has one whether or not its maker has thought of any. */
export function keyNameOf(key: Pick<NewApiKey, 'name' | 'description' | 'environment'>, now: Date): string {
  return key.name ?? nameOf(key.description) ?? `${key.environment} key ${now.toISOString().slice(0, 10)}`;
}

/** As much of the description as a name can hold; null where that is nothing but white space. */
function nameOf(description: string | null | undefined): string | null {
  const name = description?.trim().slice(0, maxNameLength).toWellFormed() ?? '';
  return name === '' ? null : name;
}

/**
 * A generation of a secret was retired at this moment, and this node had not heard of it: it reads the secrets again,
 * and the same call works when it is repeated.
 */
export async function afterRetirement(secrets: InstallationSecrets, error: unknown): Promise<never> {
  const isRetired = error instanceof Error && 'code' in error && error.code === retiredGeneration;
  if (!isRetired) throw error;
  await secrets.reload();
  throw new AppError('unavailable', { headers: { 'Retry-After': '1' }, cause: error });
}

/** Who made it, for `created_by`. */
export function createdBy(principal: Principal): { type: 'api_key'; id: string } {
  return { type: 'api_key', id: principal.keyId };
}
