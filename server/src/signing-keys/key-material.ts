import { createPrivateKey, type KeyObject, type SignKeyObjectInput, sign } from 'node:crypto';
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
  #privateKey: KeyObject | undefined;

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

  /**
   * The signature of a JWS (RFC 7515 §5.1) over its first two parts.
   *
   * Elliptic curves sign within this call: handing that to another thread and taking it back costs this one more than
   * signing does. RSA, which takes twenty times as long, is handed over.
   */
  sign(data: Uint8Array): Buffer | Promise<Buffer> {
    this.#privateKey ??= createPrivateKey({ key: this.#open() as never, format: 'jwk' });
    const digest = digests[this.algorithm];
    const key: SignKeyObjectInput = { key: this.#privateKey, dsaEncoding: 'ieee-p1363' };
    if (this.algorithm !== 'RS256') return sign(digest, data, key);
    return new Promise((resolve, reject) => {
      sign(digest, data, key, (error, signature) => (error === null ? resolve(signature) : reject(error)));
    });
  }
}

/** RFC 7518 §3.1. Ed25519 (RFC 8037) takes the data itself. */
const digests: Record<SigningAlgorithm, string | null> = { ES256: 'sha256', EdDSA: null, RS256: 'sha256' };

async function imported(jwk: JWK, algorithm: SigningAlgorithm): Promise<CryptoKey> {
  const key = await importJWK(jwk, algorithm, { extractable: false });
  if (key instanceof Uint8Array) throw new Error('a signing key that is no key pair');
  return key;
}
