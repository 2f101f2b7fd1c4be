import { createHmac, hash, randomBytes, timingSafeEqual } from 'node:crypto';
import { renderedPrefixPattern } from '../key-profiles/key-profile.ts';
import { hmacKeyOf } from '../secrets/hmac-key.ts';

/**
 * The secret of an API key:
 *
 * ```
 * gl_live_sk_ Vb3…32 random characters…9xQ 0 0 k3JdF0a1B2
 * prefix      190.5 bits from the CSPRNG   │ │ check: HMAC-SHA256 under the check secret over all before it
 *             digest secret's generation ──┘ └── check secret's generation
 * ```
 *
 * Everything after the profile's prefix is 44 characters of [0-9A-Za-z]. The check part lets a node refuse a made-up
 * key without asking the database; the generations let both installation secrets rotate while old keys live on.
 */
const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const randomLength = 32;
const checkLength = 10;
const bodyLength = randomLength + 2 + checkLength;
const digestGenerationFromEnd = checkLength + 2;
const checkGenerationFromEnd = checkLength + 1;

const keySecretPattern = /^[a-z0-9_]{2,40}[0-9A-Za-z]{44}$/;
const digestKeyPattern = /^[0-9a-f]{64}$/;
const checkKeyBytes = 32;
const shortestSecret = 2 + bodyLength;
const longestSecret = 40 + bodyLength;

/** One generation of an installation secret, 1–62: each has its own character in a key. */
export interface KeyGeneration<Key> {
  readonly generation: number;
  readonly key: Key;
}

/** What a new secret is made of. */
export interface MintInput {
  /** A rendered prefix of a valid key profile. */
  readonly prefix: string;
  /** Keys the digest: 32 random bytes as 64 lower-case hex characters, hashed as they are written (one SHA-256 block). */
  readonly digest: KeyGeneration<string>;
  /** Keys the check part: 32 random bytes, which must not change afterwards. */
  readonly check: KeyGeneration<Uint8Array>;
}

export interface MintedKeySecret {
  /** Shown once, never stored. */
  secret: string;
  /** The prefix and the last four characters, such as `sk_live_…a1B2`. */
  hint: string;
  /** What is stored and looked up instead of the secret, as `digestKeySecret` makes it. */
  digest: string;
}

/**
 * Makes a new secret. Throws a RangeError where prefix, generation or key break their form: a fault of the caller.
 *
 * @param randomSource bytes from a CSPRNG; only tests pass another
 */
export function mintKeySecret(
  { prefix, digest, check }: MintInput,
  randomSource: (size: number) => Uint8Array = randomBytes,
): MintedKeySecret {
  if (!renderedPrefixPattern.test(prefix)) throw new RangeError('a key prefix matches ^[a-z0-9_]{2,40}$');
  if (!digestKeyPattern.test(digest.key)) throw new RangeError('a digest key is 64 lower-case hex digits');
  if (check.key.length !== checkKeyBytes) throw new RangeError(`a check key is ${checkKeyBytes} bytes`);
  const unchecked =
    prefix +
    randomText(randomSource) +
    generationCharacter(digest.generation) +
    generationCharacter(check.generation);
  const secret = unchecked + checkPart(unchecked, check.key);
  return { secret, hint: `${prefix}…${secret.slice(-4)}`, digest: keyedDigest(secret, digest.key) };
}

/**
 * The keyed digest of a presented secret, 64 lower-case hex characters; null where the text can't be a secret of this
 * format or its digest secret is not known here. It does not say that the key exists or was made here.
 * Each verification calls it, so it looks at the length and one character before it hashes, and no further.
 *
 * @param digestKeyFor the digest secret of a generation (64 hex characters), undefined where there is none
 */
export function digestKeySecret(
  secret: string,
  digestKeyFor: (generation: number) => string | undefined,
): string | null {
  if (secret.length < shortestSecret || secret.length > longestSecret) return null;
  const key = digestKeyFor(generationAt(secret, digestGenerationFromEnd));
  return key === undefined ? null : keyedDigest(secret, key);
}

/**
 * Says whether this installation made the secret: its form is right and its check part, compared in constant time, is
 * the one that only the holder of the check secret can make. It costs an HMAC, so ask it only of what a cache misses.
 *
 * @param checkKeyFor the check secret of a generation (32 bytes), undefined where there is none
 */
export function hasValidCheck(
  secret: string,
  checkKeyFor: (generation: number) => Uint8Array | undefined,
): boolean {
  if (!looksLikeKeySecret(secret)) return false;
  const key = checkKeyFor(generationAt(secret, checkGenerationFromEnd));
  if (key === undefined) return false;
  const expected = checkPart(secret.slice(0, -checkLength), key);
  // Both are 10 ASCII characters here, so the lengths that timingSafeEqual insists on are equal.
  return timingSafeEqual(Buffer.from(secret.slice(-checkLength), 'latin1'), Buffer.from(expected, 'latin1'));
}

/** Says whether the text has the form of a key secret, of whatever installation and prefix; it proves nothing. */
export function looksLikeKeySecret(text: string): boolean {
  return text.length <= longestSecret && keySecretPattern.test(text);
}

/** Why one hash over secret and key, and why hex: docs/contributing/decisions/0001. */
function keyedDigest(secret: string, key: string): string {
  return hash('sha256', key + secret, 'hex');
}

/** 59 bits of the HMAC, three bytes to a character: the bias of the remainder is below 4 in a million. */
function checkPart(unchecked: string, key: Uint8Array): string {
  const mac = createHmac('sha256', hmacKeyOf(key)).update(unchecked, 'latin1').digest();
  let text = '';
  for (let index = 0; index < checkLength; index++)
    text += alphabet[mac.readUIntBE(index * 3, 3) % alphabet.length];
  return text;
}

/** Bytes of 248 and more are thrown away: 248 is the largest multiple of 62 a byte can reach, so no bias is left. */
function randomText(randomSource: (size: number) => Uint8Array): string {
  const unbiasedBelow = 256 - (256 % alphabet.length);
  let text = '';
  while (text.length < randomLength) {
    for (const byte of randomSource(randomLength - text.length)) {
      if (byte < unbiasedBelow) text += alphabet[byte % alphabet.length];
    }
  }
  return text;
}

function generationCharacter(generation: number): string {
  const character = Number.isInteger(generation) ? alphabet[generation - 1] : undefined;
  if (character === undefined) throw new RangeError('a generation is an integer from 1 to 62');
  return character;
}

/** The generation a character stands for; 0, which nothing has, for a character outside the alphabet. */
function generationAt(secret: string, fromEnd: number): number {
  const code = secret.charCodeAt(secret.length - fromEnd);
  if (code >= 48 && code <= 57) return code - 47;
  if (code >= 65 && code <= 90) return code - 54;
  if (code >= 97 && code <= 122) return code - 60;
  return 0;
}
