import { createHmac, hash } from 'node:crypto';
import { hmacKeyOf } from '../secrets/hmac-key.ts';

/** How another system wrote down the SHA-256 hash of a key. */
export type HashEncoding = 'hex' | 'base64';

const hexPattern = /^[0-9a-fA-F]{64}$/;
const base64Pattern = /^(?:[A-Za-z0-9+/]{43}|[A-Za-z0-9_-]{43})=?$/;

/** Keeps these digests apart from whatever else the secret may be used for one day. */
const domain = 'gatelodge imported api key\0';

/**
 * The 32 bytes of a SHA-256 hash; null for anything else. Hex in any case; base64 or base64url, padded or not, and only
 * as an encoder writes it: with bits to spare at the end it is cut short or mistyped.
 */
export function parseHash(text: string, encoding: HashEncoding): Buffer | null {
  if (encoding === 'hex') return hexPattern.test(text) ? Buffer.from(text, 'hex') : null;
  if (!base64Pattern.test(text)) return null;
  const bytes = Buffer.from(text, 'base64');
  const canonical = bytes.toString('base64url');
  return text.replace('=', '').replaceAll('+', '-').replaceAll('/', '_') === canonical ? bytes : null;
}

/** What an import of this secret brings: the SHA-256 of its UTF-8 bytes. */
export function hashOfSecret(secret: string): Buffer {
  return hash('sha256', secret, 'buffer');
}

/**
 * Under what an imported key is stored and looked up: HMAC-SHA256 over account and hash. So the hash itself, with which
 * a thief of the database could try guesses, is nowhere; and the same hash in two accounts makes two digests of which
 * neither tells of the other. It can't be the digest of a key made here (`key-secret.ts`), which is no HMAC.
 *
 * @param key the 32 bytes of one generation of the secret `api-key-digest`
 * @param keyHash the 32 bytes of the hash
 */
export function digestOfImport(key: Uint8Array, accountId: string, keyHash: Uint8Array): Buffer {
  // The hash's length is fixed, so no other pair of account and hash makes the same bytes.
  return createHmac('sha256', hmacKeyOf(key)).update(domain).update(accountId).update(keyHash).digest();
}
