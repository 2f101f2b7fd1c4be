import { randomBytes } from 'node:crypto';
import { StartError } from '../supervisor/start-error.ts';
import { EnvelopeError, keyIdOfEnvelope, openEnvelope, sealEnvelope } from './envelope.ts';
import { type MasterKey, MasterKeyError } from './master-key.ts';

/** A secret as it is stored: wrapped by the master key, bound to its purpose and generation. */
export interface WrappedSecret {
  purpose: string;
  generation: number;
  wrapped: Buffer;
}

/** A stored secret does not open although the master key is right. */
export class DamagedSecretError extends StartError {}

/** A fresh random secret. */
export function newSecret(): Buffer {
  return randomBytes(32);
}

/** Wraps a secret; moved to another purpose or generation it will not open. */
export function wrapSecret(
  masterKey: MasterKey,
  purpose: string,
  generation: number,
  key: Uint8Array,
): Buffer {
  return sealEnvelope(wrappingKey(masterKey), key, associatedData({ purpose, generation }));
}

/**
 * Unwraps every one of `rows`, and adds the key to each.
 *
 * @throws MasterKeyError when they are under another master key.
 * @throws DamagedSecretError when only some open, or one was altered.
 */
export function unwrapSecrets<Row extends WrappedSecret>(
  masterKey: MasterKey,
  rows: readonly Row[],
): (Row & { key: Buffer })[] {
  const opened: (Row & { key: Buffer })[] = [];
  let stranger: Row | undefined;
  for (const row of rows) {
    try {
      opened.push({ ...row, key: openEnvelope(wrappingKey(masterKey), row.wrapped, associatedData(row)) });
    } catch (error) {
      if (!(error instanceof EnvelopeError)) throw error;
      if (error.fault !== 'foreign_key') throw damaged(row, error);
      stranger ??= row;
    }
  }
  if (stranger === undefined) return opened;
  // The master key is changed for all rows at once: a few under another one were damaged or put there.
  if (opened.length > 0) throw damaged(stranger, new EnvelopeError('foreign_key'));
  throw wrongMasterKey(masterKey, stranger);
}

function wrappingKey(masterKey: MasterKey): Buffer {
  return masterKey.subkey('installation-secrets');
}

function associatedData({ purpose, generation }: { purpose: string; generation: number }): string {
  return `installation_secrets ${generation} ${purpose}`;
}

function damaged({ purpose, generation }: WrappedSecret, cause: EnvelopeError): DamagedSecretError {
  return new DamagedSecretError(
    `The installation secret ${purpose} of generation ${generation} is damaged (${cause.fault}). Nothing was changed.`,
    { hint: 'Restore the table installation_secrets from a backup.', cause },
  );
}

function wrongMasterKey({ source, fingerprint }: MasterKey, row: WrappedSecret): MasterKeyError {
  const theirs = keyIdOfEnvelope(row.wrapped).toString('hex');
  const mine = source.kind === 'file' ? source.path : source.variable;
  const remedy =
    source.kind === 'file'
      ? 'Put back the file that belongs to this database (from a backup), or set GATELODGE_MASTER_KEY'
      : `Set ${source.variable} to the key that belongs to this database`;
  return new MasterKeyError(
    `This database was made with another master key (${theirs}) than the one in ${mine} (${fingerprint}). Nothing was changed.`,
    { hint: `${remedy}, or connect to the database that belongs to this key.` },
  );
}
