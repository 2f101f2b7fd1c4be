import { hash } from 'node:crypto';
import type { EdgeAnswer } from './answer.ts';
import type { EdgeRequest } from './edge-request.ts';

/** A public text that many ask for again and again, with the tag that tells it from every other. */
export interface CachedDocument {
  readonly text: string;
  /** A strong entity tag. */
  readonly etag: string;
}

export function cachedDocument(text: string): CachedDocument {
  return { text, etag: `"${hash('sha256', text, 'base64url').slice(0, 22)}"` };
}

/**
 * Any page may read what anybody may; there is nothing to be allowed by a cookie or a key. An error's answer needs this
 * as well.
 */
export const readableByAnyPage = ['Access-Control-Allow-Origin', '*'] as const;

/**
 * The document, or 304 where the caller has it already (RFC 9110 §13.1.2).
 *
 * @param maxAgeSeconds how long whoever is in between may keep it
 */
export function answerDocument(
  request: EdgeRequest,
  { text, etag }: CachedDocument,
  maxAgeSeconds: number,
  headers: string[],
): EdgeAnswer {
  headers.push('ETag', etag);
  const cacheControl = `public, max-age=${maxAgeSeconds}`;
  const known = request.headers['if-none-match'];
  if (known !== undefined && isKnown(known, etag)) return { status: 304, cacheControl };
  return { status: 200, body: text, cacheControl };
}

/** By weak comparison: a proxy that has compressed the text marks its tag as weak. */
function isKnown(ifNoneMatch: string, etag: string): boolean {
  if (ifNoneMatch.trim() === '*') return true;
  return ifNoneMatch.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag);
}
