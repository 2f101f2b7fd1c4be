import type { InstallationSecrets } from '../secrets/installation-secrets.ts';
import { openSealedKey } from './sealed-key.ts';
import { publicJwkOf, statusOf } from './signing-key.ts';
import type { SigningKeyRow } from './signing-key-store.ts';

/** A signing key as it is answered. */
export function toSigningKeyResource(row: SigningKeyRow, secrets: InstallationSecrets, now: Date) {
  return {
    id: row.id,
    issuer_id: row.issuer_id,
    algorithm: row.algorithm,
    status: statusOf(row, now),
    public_key: publicKeyOf(row, secrets),
    created_at: row.created_at.toISOString(),
    activates_at: row.activates_at.toISOString(),
    retires_at: row.retires_at?.toISOString() ?? null,
    expires_at: row.expires_at?.toISOString() ?? null,
  };
}

/** One that does not open is told of all the same: it has to be rotated. The node that would use it logs why. */
function publicKeyOf(row: SigningKeyRow, secrets: InstallationSecrets) {
  const place = { issuerId: row.issuer_id, id: row.id, algorithm: row.algorithm };
  try {
    const sealed = { sealed: row.sealed, secretGeneration: row.secret_generation };
    return publicJwkOf(openSealedKey(secrets, sealed, place), place);
  } catch {
    return null;
  }
}
