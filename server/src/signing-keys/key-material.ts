import { type CryptoKey, importJWK, type JWK } from 'jose';
import { accessTokenType, headerSegment, type VerificationKey } from '../tokens/jwt.ts';
import { publicJwkOf, type SigningAlgorithm } from './signing-key.ts';

/**
 * One key of an issuer in memory. What signs and what verifies is made when it is first asked for, and kept: importing a
 * key costs more than signing with it, and of most issuers somebody reads the key set only.
 */
export class KeyMaterial implements VerificationKey {
  readonly id: string;
  readonly algorithm: SigningAlgorithm;
  readonly publicJwk: JWK;
  /** With it begins each access token that this key has signed. */
  readonly header: string;
  readonly #open: () => JWK;
  #publicKey: Promise<CryptoKey> | undefined;
  #privateKey: Promise<CryptoKey> | undefined;

  /**
   * @param open the private key; the public one is taken from it
   * @throws what `open` throws
   */
  constructor(key: { id: string; algorithm: SigningAlgorithm }, open: () => JWK) {
    this.id = key.id;
    this.algorithm = key.algorithm;
    this.publicJwk = publicJwkOf(open(), key);
    this.header = headerSegment({ alg: key.algorithm, kid: key.id, typ: accessTokenType });
    this.#open = open;
  }

  publicKey(): Promise<CryptoKey> {
    this.#publicKey ??= imported(this.publicJwk, this.algorithm).catch((error: unknown) => {
      this.#publicKey = undefined;
      throw error;
    });
    return this.#publicKey;
  }

  privateKey(): Promise<CryptoKey> {
    this.#privateKey ??= imported(this.#open(), this.algorithm).catch((error: unknown) => {
      this.#privateKey = undefined;
      throw error;
    });
    return this.#privateKey;
  }
}

const signatures: Record<SigningAlgorithm, Parameters<typeof crypto.subtle.sign>[0]> = {
  ES256: { name: 'ECDSA', hash: 'SHA-256' } as Parameters<typeof crypto.subtle.sign>[0],
  EdDSA: 'Ed25519',
  RS256: 'RSASSA-PKCS1-v1_5',
};

/** The signature of a JWS (RFC 7515 §5.1) over its first two parts. */
export async function signBytes(key: KeyMaterial, data: Uint8Array<ArrayBuffer>): Promise<Buffer> {
  return Buffer.from(await crypto.subtle.sign(signatures[key.algorithm], await key.privateKey(), data));
}

/** A private key can't be taken out again. */
async function imported(jwk: JWK, algorithm: SigningAlgorithm): Promise<CryptoKey> {
  const key = await importJWK(jwk, algorithm, { extractable: false });
  if (key instanceof Uint8Array) throw new Error('a signing key that is no key pair');
  return key;
}
