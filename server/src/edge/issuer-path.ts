/** A path of the runtime, taken apart. */
export interface IssuerPath {
  /** What stands where an issuer's id would: well formed or not. null where the path names none. */
  readonly issuerId: string | null;
  /** What comes after it, from its slash on; the whole path where it names no issuer. */
  readonly rest: string;
}

/** The part of the API that is the same below an issuer's path and without one. */
const withoutIssuer = '/auth/';

/** Where metadata stand that name their issuer at the end (RFC 8414 §3.1), and what they are below the issuer. */
const wellKnown = /^(\/\.well-known\/(?:oauth-authorization-server|openid-configuration))\/([^/]*)$/;

/**
 * Takes a path such as `/i_…/jwks.json` or `/auth/request-otp` apart. A query is passed over.
 *
 * As it was sent: an id has no character that would have to be escaped, so whoever escapes one names no issuer.
 */
export function splitIssuerPath(url: string): IssuerPath {
  const queryAt = url.indexOf('?');
  const path = queryAt === -1 ? url : url.slice(0, queryAt);
  const slash = path.indexOf('/', 1);
  if (slash === -1 || path.startsWith(withoutIssuer)) return { issuerId: null, rest: path };
  const atEnd = wellKnown.exec(path);
  if (atEnd !== null) return { issuerId: atEnd[2]!, rest: atEnd[1]! };
  return { issuerId: path.slice(1, slash), rest: path.slice(slash) };
}
