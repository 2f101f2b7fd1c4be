import { randomBytes } from 'node:crypto';
import { digestKeySecret, hasValidCheck, looksLikeKeySecret, mintKeySecret } from '../api-keys/key-secret.ts';
import type { InstallationSecrets } from '../secrets/installation-secrets.ts';

const digestBytes = 32;

/**
 * The digest under which a reported text would be stored if it were a key made here, and random bytes for any other.
 * Every text costs a digest and a check, if need be those of a stand-in, and nobody is asked whether the key exists:
 * whoever reports one can't tell by the answer or by its time.
 */
export function digestOfReported(text: string, secrets: InstallationSecrets): Buffer {
  const usual = { digest: secrets.current('api-key-digest'), check: secrets.current('api-key-check') };
  let isKnown = looksLikeKeySecret(text);
  const orUsual = <Key>(key: Key | undefined, instead: Key): Key => {
    isKnown &&= key !== undefined;
    return key ?? instead;
  };
  const tried = isKnown ? text : standInOf(secrets);
  const digest = digestKeySecret(tried, (generation) =>
    orUsual(
      secrets.hexKey('api-key-digest', generation),
      secrets.hexKey('api-key-digest', usual.digest.generation),
    ),
  );
  const isChecked = hasValidCheck(tried, (generation) =>
    orUsual(secrets.key('api-key-check', generation), usual.check.key),
  );
  const own = Buffer.from(digest ?? '', 'hex');
  const unrelated = randomBytes(digestBytes);
  return isKnown && isChecked && own.length === digestBytes ? own : unrelated;
}

const standIns = new WeakMap<InstallationSecrets, string>();

/** A key that nobody was ever given. */
function standInOf(secrets: InstallationSecrets): string {
  let standIn = standIns.get(secrets);
  if (standIn === undefined) {
    const digest = secrets.current('api-key-digest');
    standIn = mintKeySecret({
      prefix: 'stand_in_',
      digest: { generation: digest.generation, key: digest.key.toString('hex') },
      check: secrets.current('api-key-check'),
    }).secret;
    standIns.set(secrets, standIn);
  }
  return standIn;
}
