import { idPrefixes, newId } from '../ids/ids.ts';
import type { Environment, KeyProfile } from '../key-profiles/key-profile.ts';
import { presets } from '../key-profiles/presets.ts';
import type { Transaction } from '../postgres/database.ts';
import type { InstallationSecrets } from '../secrets/installation-secrets.ts';
import { insertFirstSigningKey } from '../signing-keys/ensure-signing-key.ts';

export interface NewIssuer {
  accountId: string;
  name: string;
  environment: Environment;
  publishableScopes?: readonly string[] | undefined;
  profile?: KeyProfile;
  /** One of the account's plans, held by this transaction. */
  plan?: string | null | undefined;
  /** The live issuer whose twin this is. */
  twinOf?: string;
}

/**
 * Inserts an issuer, its key profile (`standard` unless another is given) and its first signing key; answers its id. The
 * event is the caller's: one for all of it.
 */
export async function insertIssuer(
  tx: Transaction,
  secrets: InstallationSecrets,
  issuer: NewIssuer,
  now: Date,
): Promise<string> {
  const id = newId(idPrefixes.issuer);
  await tx
    .insertInto('issuers')
    .values({
      id,
      account_id: issuer.accountId,
      name: issuer.name,
      environment: issuer.environment,
      publishable_scopes: [...(issuer.publishableScopes ?? [])],
      plan: issuer.plan ?? null,
      twin_of: issuer.twinOf ?? null,
    })
    .execute();
  await tx
    .insertInto('key_profiles')
    .values({
      issuer_id: id,
      account_id: issuer.accountId,
      profile: JSON.stringify(issuer.profile ?? presets.standard),
    })
    .execute();
  await insertFirstSigningKey(tx, secrets, { accountId: issuer.accountId, issuerId: id }, now);
  return id;
}
