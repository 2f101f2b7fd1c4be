import { join } from 'node:path';
import type { Settings } from '../settings.ts';
import { StartError } from '../supervisor/start-error.ts';
import { deriveSubkey, keyId } from './envelope.ts';
import { generateKeyText, parseKeyText } from './key-text.ts';
import { createSecretFile, readSecretFile, renameSecretFile } from './secret-file.ts';

/** There is no usable master key, or it is not this database's. */
export class MasterKeyError extends StartError {}

/** Where a master key was found. */
export type MasterKeySource = { kind: 'environment'; variable: string } | { kind: 'file'; path: string };

/** The settings that decide the master key. */
export type MasterKeySettings = Pick<Settings, 'mode' | 'dataDir'> &
  Partial<Pick<Settings, 'masterKey' | 'newMasterKey'>>;

/**
 * The key from which everything that is kept secret at rest hangs. It is never used itself, only subkeys of it, and
 * it cannot be printed or serialised by accident.
 */
export class MasterKey {
  readonly #key: Buffer;
  readonly source: MasterKeySource;
  /** Hexadecimal id of the key that wraps installation secrets; the master key cannot be found from it. */
  readonly fingerprint: string;
  /**
   * The key that a rotation is changing to. Whether the database has changed already only the database can tell:
   * whoever opens it tries this one where the master key does not fit.
   */
  readonly successor: MasterKey | undefined;

  constructor(key: Uint8Array, source: MasterKeySource, successor?: MasterKey) {
    this.#key = Buffer.from(key);
    this.source = source;
    this.successor = successor;
    this.fingerprint = keyId(this.subkey('installation-secrets')).toString('hex');
  }

  /** A 32-byte key for one purpose. */
  subkey(purpose: string): Buffer {
    return deriveSubkey(this.#key, purpose);
  }

  /** Says whether both are the same key. */
  equals(other: MasterKey): boolean {
    return this.fingerprint === other.fingerprint;
  }
}

/**
 * The master key: from GATELODGE_MASTER_KEY, else, in development, from `{data directory}/master-key`, which is made
 * (0600, on disk before this returns) when it is not there.
 *
 * @throws MasterKeyError when there is none or it is malformed.
 * @throws SecretFileError when the file cannot be read or written, or others than its owner may open it.
 */
export async function resolveMasterKey(settings: MasterKeySettings): Promise<MasterKey> {
  const fromEnvironment = (text: string, variable: string, successor?: MasterKey) =>
    new MasterKey(decode(text, variable), { kind: 'environment', variable }, successor);

  const successor =
    settings.newMasterKey === undefined
      ? undefined
      : fromEnvironment(settings.newMasterKey, 'GATELODGE_NEW_MASTER_KEY');
  if (settings.masterKey !== undefined)
    return fromEnvironment(settings.masterKey, 'GATELODGE_MASTER_KEY', successor);
  if (settings.mode === 'production') {
    throw new MasterKeyError('There is no master key.', {
      hint: 'Set GATELODGE_MASTER_KEY; `gatelodge master-key generate` prints a fresh one.',
    });
  }
  await createSecretFile(masterKeyPath(settings.dataDir), generateKeyText());
  return readMasterKeyFile(settings.dataDir);
}

/** Where a generated master key lies. */
export function masterKeyPath(dataDir: string): string {
  return join(dataDir, 'master-key');
}

/** Where a rotation keeps the key that it is changing to, until it has the place of the old one. */
export function nextMasterKeyPath(dataDir: string): string {
  return join(dataDir, 'master-key.next');
}

/**
 * The master key of a data directory, as it is on disk now, with a rotation's next key as its successor.
 *
 * @throws MasterKeyError, SecretFileError as `resolveMasterKey`.
 */
export async function readMasterKeyFile(dataDir: string): Promise<MasterKey> {
  // The next key first: read in the other order, a rotation that ends in between would show the old key alone.
  const next = await readKey(nextMasterKeyPath(dataDir));
  const current = await readKey(masterKeyPath(dataDir), next);
  if (current !== undefined) return current;
  throw new MasterKeyError(`${masterKeyPath(dataDir)} is missing.`, { hint: 'Restore it from a backup.' });
}

/**
 * Starts a rotation of a data directory's master key: writes the next key, or finds the one that an interrupted
 * rotation left, which may be in use already and therefore is never replaced.
 *
 * @param text the new key; a random one when left out.
 * @throws MasterKeyError when another rotation to a different key is under way.
 */
export async function writeNextMasterKey(dataDir: string, text?: string): Promise<MasterKey> {
  const path = nextMasterKeyPath(dataDir);
  const written = await createSecretFile(path, text ?? generateKeyText());
  if (text !== undefined && written !== text) {
    throw new MasterKeyError(`An interrupted rotation left another new key in ${path}.`, {
      hint: 'Finish that one first: unset GATELODGE_NEW_MASTER_KEY and run `gatelodge master-key rotate`.',
    });
  }
  return new MasterKey(decode(written, path), { kind: 'file', path });
}

/** Ends a rotation: the next key takes the place of the old one. Does nothing where somebody has done it before. */
export async function adoptNextMasterKey(dataDir: string): Promise<MasterKey> {
  await renameSecretFile(nextMasterKeyPath(dataDir), masterKeyPath(dataDir));
  return readMasterKeyFile(dataDir);
}

async function readKey(path: string, successor?: MasterKey): Promise<MasterKey | undefined> {
  const text = await readSecretFile(path);
  return text === undefined
    ? undefined
    : new MasterKey(decode(text, path), { kind: 'file', path }, successor);
}

function decode(text: string, where: string): Buffer {
  const parsed = parseKeyText(text);
  if ('key' in parsed) return parsed.key;
  throw new MasterKeyError(`The master key in ${where} ${parsed.problem}.`, {
    hint: 'Restore the key that this database was made with.',
  });
}
