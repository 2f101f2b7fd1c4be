/** What reads the answer: `spa` and `web` are addressed by https, `native` by a scheme of its own as well. */
export type ApplicationType = 'web' | 'native' | 'spa' | 'm2m';

export type RedirectUriParse =
  | { ok: true; uri: string }
  | { ok: false; message: string; suggestion?: string };

export const maxRedirectUriLength = 2_000;

const loopbackHosts: readonly string[] = ['localhost', '127.0.0.1', '[::1]'];

/** RFC 3986 §2: what a URI is made of. The URL standard lets more pass in queries, such as `|` and `{`. */
const uriCharacters = /^(?:[A-Za-z0-9\-._~:/?#[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+$/;

const hostPattern = /^(?:\[[0-9a-f:]{2,39}\]|[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*)$/;

/** A private-use scheme in reverse-domain form (RFC 8252 §7.1): `com.example.app`. */
const privateScheme = /^[a-z][a-z0-9-]*(?:\.[a-z0-9][a-z0-9-]*)+$/;

/** Encoded separators, dots and percents: one server's path is another one's way around it. */
const encodedPathTricks = /%(?:2f|5c|2e|25)/i;
const encodedControls = /%(?:[01][0-9a-f]|7f)/i;

/**
 * Reads a redirect URI, or a post-logout redirect URI, of a client. It is compared byte for byte (RFC 9700 §4.1.3), so
 * the only spelling that is taken is the one that browsers send: what the URL standard makes of the text has to be the
 * text. Everything else is refused with what to do about it and, where there is one, the corrected URI, which this
 * function accepts.
 *
 * - https; http on loopback alone (`localhost`, `127.0.0.1`, `[::1]`);
 * - for native applications a private-use scheme in reverse-domain form as well (RFC 8252 §7.1);
 * - no fragment (RFC 6749 §3.1.2), no user name, no wildcard; at most 2,000 characters.
 */
export function parseRedirectUri(text: string, applicationType: ApplicationType): RedirectUriParse {
  const message = problemOf(text, applicationType);
  if (message === null) return { ok: true, uri: text };
  const suggestion = suggestionFor(text, applicationType);
  return suggestion === null
    ? { ok: false, message }
    : { ok: false, message: `${message}: ${suggestion}`, suggestion };
}

/**
 * Whether users are sent back to pages of this origin. `null` is none: pages in a sandbox have it, whoever's they are, and
 * the schemes of applications do by the URL standard.
 */
export function isOriginOfSome(redirectUris: readonly string[], origin: string): boolean {
  return redirectUris.some((uri) => /^https?:/.test(uri) && URL.parse(uri)?.origin === origin);
}

/** The first thing that is wrong, in the order in which one would mend it; null where nothing is. */
function problemOf(text: string, applicationType: ApplicationType): string | null {
  if (text === '') return 'write an absolute URI, such as https://app.example.com/callback';
  if (text.length > maxRedirectUriLength) return `must have at most ${maxRedirectUriLength} characters`;
  if (text.includes('#')) return 'remove the fragment (# and what follows it)';
  if (text.includes('*')) return 'redirect URIs have no wildcards; list each one';
  if (text.includes('\\')) return 'a URI has no backslash';
  if (!uriCharacters.test(text))
    return 'write nothing but the characters of a URI (RFC 3986), all others percent-encoded, hosts in punycode';
  const url = URL.parse(text);
  if (url === null) return 'must be an absolute URI, such as https://app.example.com/callback';
  return problemOfUrl(url, text, applicationType);
}

function problemOfUrl(url: URL, text: string, applicationType: ApplicationType): string | null {
  const isWeb = url.protocol === 'https:' || url.protocol === 'http:';
  if (!isWeb) {
    const problem = problemOfScheme(url, text, applicationType);
    if (problem !== null) return problem;
  }
  if (url.username !== '' || url.password !== '' || hasUserInfo(text))
    return 'remove the user name and password';
  if (isWeb) {
    const problem = problemOfHost(url);
    if (problem !== null) return problem;
  }
  return problemOfPath(url) ?? (url.href === text ? null : 'write it as browsers send it');
}

function problemOfScheme(url: URL, text: string, applicationType: ApplicationType): string | null {
  const scheme = url.protocol.slice(0, -1);
  if (applicationType !== 'native')
    return 'the scheme has to be https, or http on loopback; only native applications have schemes of their own';
  if (!privateScheme.test(scheme))
    return 'a scheme of an application is a domain of yours in reverse, such as com.example.app (RFC 8252 §7.1)';
  // Without a slash there is no path that a system could tell applications apart by.
  return text.startsWith(`${scheme}:/`) || url.href !== text
    ? null
    : `write a slash after the scheme, such as ${scheme}:/callback`;
}

function problemOfHost(url: URL): string | null {
  if (url.protocol === 'http:' && !loopbackHosts.includes(url.hostname))
    return 'http is for loopback alone (localhost, 127.0.0.1, [::1]); use https';
  if (url.hostname.endsWith('.')) return 'remove the dot at the end of the host';
  if (!hostPattern.test(url.hostname)) return 'the host is not a host name or an IP address';
  return url.port === '0' ? 'name a port from 1 to 65535' : null;
}

function problemOfPath(url: URL): string | null {
  if (encodedControls.test(url.pathname + url.search)) return 'remove the encoded control characters';
  if (encodedPathTricks.test(url.pathname))
    return 'remove the percent-encoded slashes, backslashes, dots and percent signs from the path';
  return isUtf8(url.pathname) && isUtf8(url.search) ? null : 'percent-encoded characters have to be UTF-8';
}

/** `https://@host` has an empty one, which a parsed URL does not tell. */
function hasUserInfo(text: string): boolean {
  const authority = /^[^:/?]*:\/\/([^/?]*)/.exec(text)?.[1];
  return authority?.includes('@') === true;
}

function isUtf8(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

/** What the text was probably meant to be, where that is one certain URI. */
function suggestionFor(text: string, applicationType: ApplicationType): string | null {
  if (text.length > maxRedirectUriLength || /[\\*#@]/.test(text)) return null;
  const url = URL.parse(text.trim());
  if (url === null || url.href === text) return null;
  return problemOf(url.href, applicationType) === null ? url.href : null;
}
