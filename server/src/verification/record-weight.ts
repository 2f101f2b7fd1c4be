import type { IssuerRecord, KeyRecord } from './records.ts';

/** About what a string, an object, an entry of an array and a compiled IP range take in V8, on 64 bits. */
const textBytes = 24;
const objectBytes = 64;
const entryBytes = 16;
const ipRangeBytes = 240;
const recordBytes = 400;

/** About how many bytes of memory a key's record takes itself; what it shares with other keys is not counted. */
export function weightOfKey({ name, scopes, origins, ips, metadata, ownLevel }: KeyRecord): number {
  return (
    recordBytes +
    2 * name.length +
    weightOfTexts(scopes ?? []) +
    weightOfTexts(origins) +
    (ips?.length ?? 0) * ipRangeBytes +
    weightOfJson(metadata) +
    (ownLevel === null ? 0 : weightOfJson(ownLevel))
  );
}

/** About how many bytes of memory an issuer's record takes, its key profile included. */
export function weightOfIssuer({ publishableScopes, profile }: IssuerRecord): number {
  return recordBytes + weightOfTexts(publishableScopes) + weightOfJson(profile);
}

function weightOfTexts(texts: readonly string[]): number {
  let sum = 0;
  for (const text of texts) sum += textBytes + text.length;
  return sum;
}

/** Of a JSON value. Numbers and empty lists weigh too: written out they are short, held they are not. */
function weightOfJson(value: unknown): number {
  if (typeof value === 'string') return textBytes + 2 * value.length;
  if (typeof value !== 'object' || value === null) return entryBytes;
  let sum = objectBytes;
  if (Array.isArray(value)) {
    for (const entry of value) sum += weightOfJson(entry);
    return sum;
  }
  for (const [member, inner] of Object.entries(value)) {
    sum += entryBytes + textBytes + 2 * member.length + weightOfJson(inner);
  }
  return sum;
}
