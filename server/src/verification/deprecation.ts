import type { KeyRecord } from './records.ts';

/**
 * The headers that tell whoever uses a rotated key that it is about to end, as a flat list of names and values: since
 * when it is deprecated (RFC 9745) and when it stops working (RFC 8594). None for any other key.
 */
export function deprecationHeaders({
  rotatedAtMs,
  expiresAtMs,
}: Pick<KeyRecord, 'rotatedAtMs' | 'expiresAtMs'>): string[] {
  if (rotatedAtMs === null) return [];
  const deprecation = ['Deprecation', `@${Math.floor(rotatedAtMs / 1000)}`];
  return expiresAtMs === null ? deprecation : [...deprecation, 'Sunset', new Date(expiresAtMs).toUTCString()];
}
