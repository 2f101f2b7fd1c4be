import type { IncomingMessage } from 'node:http';

/**
 * Whether a form was sent by a page of ours, as far as the browser says where it comes from (Fetch Metadata, RFC 6454).
 * One that says nothing is believed: the token in the form is what counts, and this stands in front of it.
 */
export function isOwnForm({ headers }: Pick<IncomingMessage, 'headers'>, ownOrigin: string): boolean {
  const site = headers['sec-fetch-site'];
  const { origin } = headers;
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return false;
  if (origin === undefined || origin === ownOrigin) return true;
  // A browser that is told to hide where it comes from still says that it comes from here.
  return origin === 'null' && site === 'same-origin';
}
