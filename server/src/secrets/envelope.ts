import { createCipheriv, createDecipheriv, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto';

/*
 * Format, version 1:
 *
 *   version (1 byte) | key id (8) | salt (16) | ciphertext | GCM tag (16)
 *
 * Key and nonce of AES-256-GCM are derived from the caller's key and the random salt (HKDF, RFC 5869). A random
 * 96-bit nonce alone is safe for 2^32 messages a key (NIST SP 800-38D §8.3), which a busy installation could reach;
 * with the salt no practical number of messages brings two to the same key and nonce. Header and associated data are
 * authenticated, so neither can be changed or moved to another place.
 */

const version = 1;
const keyIdBytes = 8;
const saltBytes = 16;
const tagBytes = 16;
const headerBytes = 1 + keyIdBytes + saltBytes;

/** Why an envelope did not open. `foreign_key` means sealed under another key, as far as its header can be believed. */
export type EnvelopeFault = 'truncated' | 'unknown_version' | 'foreign_key' | 'corrupted';

/** An envelope did not open: nothing of its content is known. */
export class EnvelopeError extends Error {
  override readonly name = 'EnvelopeError';
  readonly fault: EnvelopeFault;

  constructor(fault: EnvelopeFault) {
    super(`sealed data cannot be opened: ${fault}`);
    this.fault = fault;
  }
}

/**
 * Encrypts and authenticates `plaintext`.
 *
 * @param key 32 bytes; take a subkey of its own for each use (`deriveSubkey`).
 * @param associatedData says where the envelope belongs (table, row, tenant); opening it elsewhere fails.
 */
export function sealEnvelope(key: Uint8Array, plaintext: Uint8Array, associatedData: string): Buffer {
  const salt = randomBytes(saltBytes);
  const header = Buffer.concat([Buffer.of(version), keyId(key), salt]);
  const { cipherKey, nonce } = deriveMessageKey(key, salt);
  const cipher = createCipheriv('aes-256-gcm', cipherKey, nonce);
  cipher.setAAD(authenticated(header, associatedData));
  return Buffer.concat([header, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

/**
 * What `sealEnvelope` was given, with the same key and associated data.
 *
 * @throws EnvelopeError for everything else: nothing is returned that was not sealed exactly so.
 */
export function openEnvelope(key: Uint8Array, envelope: Uint8Array, associatedData: string): Buffer {
  const bytes = Buffer.from(envelope.buffer, envelope.byteOffset, envelope.byteLength);
  if (!timingSafeEqual(keyIdOfEnvelope(bytes), keyId(key))) throw new EnvelopeError('foreign_key');
  const header = bytes.subarray(0, headerBytes);
  const { cipherKey, nonce } = deriveMessageKey(key, header.subarray(1 + keyIdBytes));
  const decipher = createDecipheriv('aes-256-gcm', cipherKey, nonce, { authTagLength: tagBytes });
  decipher.setAAD(authenticated(header, associatedData));
  decipher.setAuthTag(bytes.subarray(-tagBytes));
  const plaintext = decipher.update(bytes.subarray(headerBytes, -tagBytes));
  try {
    return Buffer.concat([plaintext, decipher.final()]);
  } catch {
    throw new EnvelopeError('corrupted');
  }
}

/** The id of the key that an envelope says it was sealed under; anyone could have written it there. */
export function keyIdOfEnvelope(envelope: Uint8Array): Buffer {
  if (envelope.length === 0) throw new EnvelopeError('truncated');
  if (envelope[0] !== version) throw new EnvelopeError('unknown_version');
  if (envelope.length < headerBytes + tagBytes) throw new EnvelopeError('truncated');
  return Buffer.from(envelope.subarray(1, 1 + keyIdBytes));
}

/** Eight bytes that tell keys apart and from which a key cannot be found. */
export function keyId(key: Uint8Array): Buffer {
  return Buffer.from(hkdfSync('sha256', key, '', 'gatelodge key id v1', keyIdBytes));
}

/** A 32-byte key for one purpose: whoever learns it learns nothing of the key it came from, nor of other purposes. */
export function deriveSubkey(key: Uint8Array, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', key, '', `gatelodge subkey v1 ${purpose}`, 32));
}

function deriveMessageKey(key: Uint8Array, salt: Uint8Array): { cipherKey: Buffer; nonce: Buffer } {
  if (key.length !== 32) throw new TypeError('an envelope key has 32 bytes');
  const derived = Buffer.from(hkdfSync('sha256', key, salt, 'gatelodge envelope v1', 32 + 12));
  return { cipherKey: derived.subarray(0, 32), nonce: derived.subarray(32) };
}

/** The header has a fixed length, so the boundary between the two cannot be shifted. */
function authenticated(header: Buffer, associatedData: string): Buffer {
  return Buffer.concat([header, Buffer.from(associatedData, 'utf8')]);
}
