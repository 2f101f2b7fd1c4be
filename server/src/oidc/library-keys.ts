import { createPublicKey, type KeyObject } from 'node:crypto';
import { ExternalSigningKey } from 'oidc-provider';
import type { KeyMaterial } from '../signing-keys/key-material.ts';
import type { KeySet } from '../signing-keys/key-set.ts';
import { isPublished } from '../signing-keys/signing-key.ts';

/** A key of an issuer as the library signs with one: it never holds the private key. */
class LibraryKey extends ExternalSigningKey {
  readonly #material: KeyMaterial;
  #publicKey: KeyObject | undefined;

  constructor(material: KeyMaterial) {
    super();
    this.#material = material;
    this.kid = material.id;
    this.alg = material.algorithm;
  }

  override keyObject(): KeyObject {
    const { kty, crv, x, y, n, e } = this.#material.publicJwk;
    this.#publicKey ??= createPublicKey({ key: { kty, crv, x, y, n, e } as never, format: 'jwk' });
    return this.#publicKey;
  }

  override async sign(data: Uint8Array): Promise<Uint8Array> {
    return this.#material.sign(data);
  }
}

/**
 * The published keys of an issuer for the library, which signs with the first of an algorithm: the one that signs now. The
 * others are there to recognize what they have signed.
 *
 * @throws Error where none signs
 */
export function libraryKeys(set: KeySet, signer: KeyMaterial, nowMs: number): ExternalSigningKey[] {
  const others = set.newestFirst
    .filter((key) => key.material !== signer && isPublished(key, nowMs))
    .map(({ material }) => material);
  return [signer, ...others].map((material) => new LibraryKey(material));
}
