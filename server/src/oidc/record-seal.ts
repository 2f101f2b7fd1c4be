import type { RecordPayload } from 'oidc-provider';
import { deriveSubkey, openEnvelope, sealEnvelope } from '../secrets/envelope.ts';
import type { InstallationSecrets } from '../secrets/installation-secrets.ts';

/** Where a sealed record stands; moved to another row, model or issuer it does not open. */
export interface RecordPlace {
  readonly issuerId: string;
  readonly model: string;
  readonly digest: Buffer;
}

const subkeys = new WeakMap<Uint8Array, Buffer>();

/** Encrypts what a record says, under this generation of the installation secret `oidc`. */
export function sealRecord(
  secrets: Pick<InstallationSecrets, 'key'>,
  place: RecordPlace,
  generation: number,
  payload: RecordPayload,
): Buffer {
  return sealEnvelope(
    sealingKey(secrets, generation),
    Buffer.from(JSON.stringify(payload)),
    associatedData(place),
  );
}

/**
 * What the record says that was sealed at this place.
 *
 * @throws EnvelopeError where it was altered or sealed elsewhere; Error where its generation of the secret is gone
 */
export function openRecord(
  secrets: Pick<InstallationSecrets, 'key'>,
  place: RecordPlace,
  generation: number,
  sealed: Buffer,
): RecordPayload {
  const plain = openEnvelope(sealingKey(secrets, generation), sealed, associatedData(place));
  return JSON.parse(plain.toString('utf8')) as RecordPayload;
}

function sealingKey(secrets: Pick<InstallationSecrets, 'key'>, generation: number): Buffer {
  const key = secrets.key('oidc', generation);
  if (key === undefined) throw new Error(`no generation ${generation} of the secret oidc`);
  let subkey = subkeys.get(key);
  if (subkey === undefined) {
    subkey = deriveSubkey(key, 'oidc records');
    subkeys.set(key, subkey);
  }
  return subkey;
}

function associatedData({ issuerId, model, digest }: RecordPlace): string {
  return `oidc_records ${issuerId} ${model} ${digest.toString('hex')}`;
}
