import { randomBytes } from 'node:crypto';

/** Bytes of a master key. */
export const keyBytes = 32;

/** A fresh 32-byte key from the CSPRNG, as 43 characters of base64url. */
export function generateKeyText(): string {
  return randomBytes(keyBytes).toString('base64url');
}

/** Reads the text of a key; the problem never repeats the text. */
export function parseKeyText(text: string): { key: Buffer } | { problem: string } {
  const key = Buffer.from(text, 'base64url');
  // Node decodes leniently: another alphabet, white space and stray bits all pass. Only the one spelling is accepted,
  // so that a damaged copy is told apart from a key.
  if (key.toString('base64url') !== text || key.length !== keyBytes) {
    return {
      problem: `must be ${keyBytes} bytes in base64url without padding (43 characters); \`gatelodge master-key generate\` prints one`,
    };
  }
  return { key };
}
