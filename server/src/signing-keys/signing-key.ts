import type { JWK } from 'jose';
import { longestTokenSeconds } from '../tokens/token-life.ts';

/** JWS algorithms an issuer may sign with (RFC 7518 §3.1, RFC 8037). */
export const signingAlgorithms = ['ES256', 'EdDSA', 'RS256'] as const;

export type SigningAlgorithm = (typeof signingAlgorithms)[number];

export const defaultAlgorithm: SigningAlgorithm = 'ES256';

/** How long anybody may keep a key set or a discovery document before asking for it anew. */
export const jwksMaxAgeSeconds = 300;

/** For clocks that differ and for libraries that keep a key set for longer than they were told. */
const marginSeconds = 600;

/** What the times of a key are. */
export interface KeyTimes {
  /** It signs from here on, until its successor does. */
  readonly activatesAt: Date;
  /** Until when it is published; null while it has no successor. */
  readonly expiresAt: Date | null;
}

/**
 * Seconds for which a new key is published before it signs. A node cut off from Postgres goes on publishing the keys it
 * knows for `staleSeconds`; what has been read there is kept for the life of the key set on top.
 */
export function leadSeconds({ staleSeconds }: { staleSeconds: number }): number {
  return jwksMaxAgeSeconds + staleSeconds + marginSeconds;
}

/** Until when a key is published whose successor signs from `successorActivatesAt` on: past the last token it signed. */
export function endOfPublication(successorActivatesAt: Date): Date {
  return new Date(successorActivatesAt.getTime() + (longestTokenSeconds + marginSeconds) * 1000);
}

/** Whether the key is published at this moment: before it signs as well, so that it is known when it does. */
export function isPublished({ expiresAt }: KeyTimes, nowMs: number): boolean {
  return expiresAt === null || nowMs < expiresAt.getTime();
}

/**
 * The key that signs at this moment; undefined where there is none at all.
 *
 * @param newestFirst by `activatesAt`. Where none has come to its time (a clock that was put back), the oldest signs.
 */
export function signerAt<Key extends KeyTimes>(newestFirst: readonly Key[], nowMs: number): Key | undefined {
  return newestFirst.find(({ activatesAt }) => activatesAt.getTime() <= nowMs) ?? newestFirst.at(-1);
}

export const signingKeyStatuses = ['upcoming', 'current', 'retired'] as const;

export type SigningKeyStatus = (typeof signingKeyStatuses)[number];

/** Where a key stands in its life. */
export function statusOf(
  { activates_at, retires_at }: { activates_at: Date; retires_at: Date | null },
  now: Date,
): SigningKeyStatus {
  if (activates_at > now) return 'upcoming';
  return retires_at === null || retires_at > now ? 'current' : 'retired';
}

/** A public key as the key set lists it (RFC 7517 §4): nothing of the private one, whatever members that has. */
export function publicJwkOf(
  { kty, crv, x, y, n, e }: JWK,
  { id, algorithm }: { id: string; algorithm: SigningAlgorithm },
): JWK {
  const members = { kty, crv, x, y, n, e };
  const present = Object.entries(members).filter(([, value]) => value !== undefined);
  return { ...Object.fromEntries(present), kid: id, use: 'sig', alg: algorithm } as JWK;
}
