import type pg from 'pg';
import {
  adoptNextMasterKey,
  type MasterKey,
  MasterKeyError,
  type MasterKeySettings,
  readMasterKeyFile,
  resolveMasterKey,
  writeNextMasterKey,
} from './master-key.ts';
import { rewrapInstallationSecrets } from './secret-rotation.ts';

/** What a change of the master key has done. */
export interface MasterKeyRotation {
  /** The key that opens the database now. */
  masterKey: MasterKey;
  /** Secrets that were wrapped anew; 0 where an earlier, interrupted rotation had done it. */
  rewrapped: number;
}

/**
 * The master key of an installation that exists: unlike at the first start, none is made up.
 *
 * @throws MasterKeyError when there is none.
 */
export async function findMasterKey(settings: MasterKeySettings): Promise<MasterKey> {
  return settings.masterKey === undefined && settings.mode === 'development'
    ? readMasterKeyFile(settings.dataDir)
    : resolveMasterKey(settings);
}

/**
 * Changes the master key: of the environment, to GATELODGE_NEW_MASTER_KEY; of a data directory, to that or a fresh
 * one. Running nodes are not disturbed, since they hold the secrets unwrapped.
 *
 * Killed at any moment, it loses nothing and is finished by the next start or by running it again: the next key is on
 * disk before the database changes, the database changes in one transaction, and only then does the next key take the
 * old one's place.
 *
 * @throws MasterKeyError when there is no new key, or the present one is not this database's.
 * @throws DamagedSecretError when a secret does not open; SecretFileError when the data directory cannot be written.
 */
export async function rotateMasterKey(
  pool: pg.Pool,
  settings: MasterKeySettings,
): Promise<MasterKeyRotation> {
  const present = await findMasterKey(settings);
  if (present.source.kind === 'file') {
    const next = await writeNextMasterKey(settings.dataDir, settings.newMasterKey);
    const rewrapped = await rewrapInstallationSecrets(pool, present, next);
    return { masterKey: await adoptNextMasterKey(settings.dataDir), rewrapped };
  }
  const next = present.successor;
  if (next === undefined || next.equals(present)) {
    throw new MasterKeyError('There is no new master key to change to.', {
      hint: 'Set GATELODGE_NEW_MASTER_KEY (`gatelodge master-key generate` prints a fresh one), here and on every node.',
    });
  }
  return { masterKey: next, rewrapped: await rewrapInstallationSecrets(pool, present, next) };
}
