import { exportJWK, generateKeyPair, type JWK } from 'jose';
import { openEnvelope, sealEnvelope } from '../secrets/envelope.ts';
import type { InstallationSecrets } from '../secrets/installation-secrets.ts';
import type { SigningAlgorithm } from './signing-key.ts';

/** Where a sealed key belongs: it opens nowhere else. */
interface Place {
  issuerId: string;
  id: string;
  algorithm: SigningAlgorithm;
}

/** A private key as it is stored. */
export interface SealedKey {
  readonly sealed: Buffer;
  /** Generation of the installation secret `signing-key`. */
  readonly secretGeneration: number;
}

/** A fresh private key, sealed. RS256 takes 2,048 bits (RFC 7518 §3.3), which may take some 100 ms of another thread. */
export async function newSealedKey(secrets: InstallationSecrets, place: Place): Promise<SealedKey> {
  const { privateKey } = await generateKeyPair(place.algorithm, { extractable: true });
  const { generation, key } = secrets.current('signing-key');
  const jwk = Buffer.from(JSON.stringify(await exportJWK(privateKey)));
  const sealed = sealEnvelope(key, jwk, placeOf(place));
  jwk.fill(0);
  return { sealed, secretGeneration: generation };
}

/**
 * The private key as a JWK.
 *
 * @throws EnvelopeError where it was altered, or sealed for another issuer, key or algorithm; Error where the generation of the secret
 *   is gone
 */
export function openSealedKey(
  secrets: InstallationSecrets,
  { sealed, secretGeneration }: SealedKey,
  place: Place,
): JWK {
  const key = secrets.key('signing-key', secretGeneration);
  if (key === undefined) throw new Error(`no generation ${secretGeneration} of the secret signing-key`);
  const jwk = openEnvelope(key, sealed, placeOf(place));
  try {
    return JSON.parse(jwk.toString()) as JWK;
  } finally {
    jwk.fill(0);
  }
}

function placeOf({ issuerId, id, algorithm }: Place): string {
  return `signing_keys ${issuerId} ${id} ${algorithm}`;
}
