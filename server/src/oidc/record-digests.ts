import { createHmac } from 'node:crypto';
import { deriveSubkey } from '../secrets/envelope.ts';
import { hmacKeyOf } from '../secrets/hmac-key.ts';
import type { InstallationSecrets } from '../secrets/installation-secrets.ts';

type Secrets = Pick<InstallationSecrets, 'current' | 'generations'>;

/** What an id is the id of: a model of the library, or `user-code`. */
interface Place {
  readonly issuerId: string;
  readonly model: string;
}

const subkeys = new WeakMap<Uint8Array, Buffer>();

/** Under which a record with this id is written, with the generation of the secret `oidc`. */
export function newRecordDigest(
  secrets: Pick<Secrets, 'current'>,
  place: Place,
  id: string,
): { digest: Buffer; generation: number } {
  const { generation, key } = secrets.current('oidc');
  return { digest: digestUnder(key, place, id), generation };
}

/** Under which a record with this id may stand: one for each generation of the secret, newest first. */
export function recordDigests(secrets: Pick<Secrets, 'generations'>, place: Place, id: string): Buffer[] {
  return secrets.generations('oidc').map(({ key }) => digestUnder(key, place, id));
}

/** Neither an issuer's id nor a model has a space, so no two places make the same text. */
function digestUnder(key: Buffer, { issuerId, model }: Place, id: string): Buffer {
  let subkey = subkeys.get(key);
  if (subkey === undefined) {
    subkey = deriveSubkey(key, 'oidc ids');
    subkeys.set(key, subkey);
  }
  return createHmac('sha256', hmacKeyOf(subkey)).update(`${issuerId} ${model} ${id}`).digest();
}
