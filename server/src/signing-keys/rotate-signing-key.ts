import { AppError } from '../errors.ts';
import type { NewEvent } from '../events/event.ts';
import type { Environment } from '../key-profiles/key-profile.ts';
import type { Transaction } from '../postgres/database.ts';
import type { InstallationSecrets } from '../secrets/installation-secrets.ts';
import { defaultAlgorithm, endOfPublication, type SigningAlgorithm } from './signing-key.ts';
import {
  deleteExpiredKeys,
  endNewestKey,
  findSigningKeys,
  insertSigningKey,
  type KeyOwner,
  type SigningKeyRow,
} from './signing-key-store.ts';

interface Rotation {
  secrets: InstallationSecrets;
  /** How long the new key is published before it signs; see `leadSeconds`. */
  leadSeconds: number;
  /** That of the key before it, unless given. */
  algorithm?: SigningAlgorithm | undefined;
  now: Date;
  record: (event: NewEvent) => Promise<void>;
}

/**
 * Makes the next signing key of an issuer, unless one waits for its time already: however many ask at once, there is one.
 *
 * @param owner its issuer's row is locked by this transaction
 * @throws conflict (409) where the one that waits is of another algorithm
 */
export async function rotateSigningKey(
  tx: Transaction,
  owner: KeyOwner & { environment: Environment },
  { secrets, leadSeconds, algorithm, now, record }: Rotation,
): Promise<{ key: SigningKeyRow; isNew: boolean }> {
  const [newest] = await findSigningKeys(tx, owner);
  if (newest !== undefined && newest.activates_at > now) {
    if (algorithm === undefined || algorithm === newest.algorithm) return { key: newest, isNew: false };
    throw new AppError('conflict', {
      detail: `A new ${newest.algorithm} key is published already; rotate again once it signs, at ${newest.activates_at.toISOString()}.`,
    });
  }
  const activatesAt = newest === undefined ? now : new Date(now.getTime() + leadSeconds * 1000);
  const expiresAt = endOfPublication(activatesAt);
  await deleteExpiredKeys(tx, owner, now);
  if (newest !== undefined) await endNewestKey(tx, newest, { retiresAt: activatesAt, expiresAt });
  const key = await insertSigningKey(tx, secrets, owner, {
    algorithm: algorithm ?? newest?.algorithm ?? defaultAlgorithm,
    activatesAt,
    createdAt: now,
  });
  const place = { environment: owner.environment, issuerId: owner.issuerId };
  if (newest !== undefined) {
    await record({
      type: 'signing-key.rotated',
      subject: { type: 'signing_key', id: newest.id },
      ...place,
      data: {
        successor_id: key.id,
        retires_at: activatesAt.toISOString(),
        expires_at: expiresAt.toISOString(),
      },
    });
  }
  await record({
    type: 'signing-key.created',
    subject: { type: 'signing_key', id: key.id },
    ...place,
    data: {
      algorithm: key.algorithm,
      activates_at: activatesAt.toISOString(),
      ...(newest !== undefined && { predecessor_id: newest.id }),
    },
  });
  return { key, isNew: true };
}
