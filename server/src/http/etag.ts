import { AppError } from '../errors.ts';

/** The strong entity tag of a row's version (RFC 9110 §8.8.3). */
export function etagOf(version: number): string {
  return `"${version}"`;
}

/**
 * Holds a change back unless the row is at a version the caller knows (RFC 9110 §13.1.1).
 *
 * @param ifMatch the If-Match header; absent or `*` lets every version pass. Weak tags never match.
 * @throws precondition_failed (412); bad_request (400) for what is no entity tag at all
 */
export function requireMatch(ifMatch: string | undefined, version: number): void {
  if (ifMatch === undefined || ifMatch.trim() === '*') return;
  const tags = ifMatch.split(',').map((tag) => tag.trim());
  if (!tags.every((tag) => /^(W\/)?"[\x21\x23-\x7e]*"$/.test(tag))) {
    throw new AppError('bad_request', { detail: 'If-Match takes an ETag in its quotes, such as "3".' });
  }
  if (!tags.includes(etagOf(version))) throw new AppError('precondition_failed');
}
