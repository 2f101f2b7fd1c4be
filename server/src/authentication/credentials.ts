import type { IncomingHttpHeaders } from 'node:http';

/** A key as a request presents it; with Basic the id must belong to the secret. */
export interface PresentedKey {
  secret: string;
  keyId: string | null;
}

export type Credentials =
  | { outcome: 'one'; key: PresentedKey }
  | { outcome: 'missing' | 'malformed' | 'ambiguous' }
  /** A bearer token that is a JWT and no key of ours. */
  | { outcome: 'token'; token: string };

const basicPattern = /^basic +([A-Za-z0-9+/_=-]+)$/i;
const bearerPattern = /^bearer +(\S+)$/i;
const jwtPattern = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*$/;

/** Where to look for a key: header names in lower case; `authorization` stands for Bearer and Basic. */
export interface CredentialPlaces {
  keyHeaders: readonly string[];
  takesBasic: boolean;
}

/**
 * Finds the one key that a request presents.
 *
 * Two different keys are ambiguous, the same key twice is not. A JWT in Authorization beside a key in a key header is
 * the application's own affair.
 */
export function findCredentials(headers: IncomingHttpHeaders, places: CredentialPlaces): Credentials {
  let found: PresentedKey | null = null;
  let token: string | null = null;
  let isMalformed = false;
  for (const name of places.keyHeaders) {
    const value = headers[name];
    if (value === undefined) continue;
    // Node joins a repeated custom header with ", ", which no key contains.
    for (const part of typeof value === 'string' ? value.split(', ') : value) {
      // What a client without a key sends: nothing.
      if (part === '') continue;
      const presented =
        name === 'authorization' ? parseAuthorization(part, places.takesBasic) : parseHeader(part);
      if (presented === 'malformed') isMalformed = true;
      else if ('token' in presented) token = presented.token;
      else if (found === null) found = presented;
      else if (
        found.secret !== presented.secret ||
        (found.keyId ?? presented.keyId) !== (presented.keyId ?? found.keyId)
      ) {
        return { outcome: 'ambiguous' };
      } else if (found.keyId === null) found = presented;
    }
  }
  if (found !== null) return isMalformed ? { outcome: 'ambiguous' } : { outcome: 'one', key: found };
  if (isMalformed) return { outcome: 'malformed' };
  return token === null ? { outcome: 'missing' } : { outcome: 'token', token };
}

/** `key id:secret` by HTTP Basic (RFC 7617) or the secret as a bearer token (RFC 6750). */
function parseAuthorization(
  value: string,
  takesBasic: boolean,
): PresentedKey | { token: string } | 'malformed' {
  const bearer = bearerPattern.exec(value)?.[1];
  if (bearer !== undefined)
    return jwtPattern.test(bearer) ? { token: bearer } : { secret: bearer, keyId: null };
  const basic = takesBasic ? basicPattern.exec(value)?.[1] : undefined;
  if (basic === undefined) return 'malformed';
  const pair = Buffer.from(basic, 'base64').toString('latin1');
  const colon = pair.indexOf(':');
  return colon < 1 ? 'malformed' : { keyId: pair.slice(0, colon), secret: pair.slice(colon + 1) };
}

function parseHeader(value: string): PresentedKey | 'malformed' {
  const secret = value.trim();
  // No key holds white space: what does is two values, or a scheme in the wrong place.
  return secret === '' || /\s/.test(secret) ? 'malformed' : { secret, keyId: null };
}
