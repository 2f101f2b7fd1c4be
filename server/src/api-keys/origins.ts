export type AllowedOriginParse =
  | { ok: true; origin: string }
  | { ok: false; message: string; suggestion?: string };

/** `https://`, the longest host name DNS allows and `:65535`. */
const maxOriginLength = 8 + 253 + 6;
const loopbackWildcards: readonly string[] = ['http://localhost:*', 'http://127.0.0.1:*', 'http://[::1]:*'];
const wildcardHost = 'hosts have no wildcards; list each origin that may use the key';

/** A colon before a digit, `*` or the end starts a port: `localhost:3000` has no scheme. */
const schemePattern = /^([a-z][a-z0-9+.-]*):(?![0-9*]|$)/i;
const host = String.raw`(?:\[[0-9a-f:]{2,39}\]|[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*)`;
const hostPattern = new RegExp(`^${host}$`);
const wellFormedPattern = new RegExp(`^[a-z][a-z0-9+.-]{0,31}://${host}\\.?(?::[1-9][0-9]{0,4})?$`);

/**
 * Reads one entry of a key's list of allowed origins. Accepts only the exact text a browser sends in `Origin`: http or
 * https, lower-case host (IDN as punycode), the port unless it is the scheme's own, and nothing else; and beside these
 * `http://localhost:*`, `http://127.0.0.1:*` and `http://[::1]:*`, any port on loopback. Everything else is refused
 * with what to do about it and, where there is one, the corrected entry, which this function accepts.
 */
export function parseAllowedOrigin(text: string): AllowedOriginParse {
  const tooLong = `an origin has at most ${maxOriginLength} characters`;
  if (text.length > maxOriginLength) return { ok: false, message: tooLong };
  if (loopbackWildcards.includes(text)) return { ok: true, origin: text };
  const url = parseUrl(text);
  if (isExact(text, url)) return { ok: true, origin: text };
  const message = problemOf(text, url);
  const suggestion = suggestionFor(text);
  if (suggestion === null) return { ok: false, message };
  return { ok: false, message: `${message}: ${suggestion}`, suggestion };
}

/**
 * Says whether a request with this `Origin` may use a key with this list of parsed origins: any may where the list is
 * empty, else the one that is equal to an entry, or any port of a loopback entry with `:*`. `null` (what a browser
 * sends for a sandboxed frame or a file) is equal to no entry.
 */
export function isOriginAllowed(allowed: readonly string[], origin: string): boolean {
  if (allowed.length === 0) return true;
  for (const entry of allowed) {
    if (entry === origin) return !entry.endsWith('*');
    if (entry.endsWith(':*') && isOnAnyPort(entry, origin)) return true;
  }
  return false;
}

/** The entries of a list that allow this origin: itself and, on loopback, the entries for any port. */
export function originCandidates(origin: string): string[] {
  return [origin, ...loopbackWildcards.filter((entry) => isOnAnyPort(entry, origin))];
}

/**
 * Says whether a browser could have sent this as `Origin`: `null`, or scheme, host and port as the URL standard writes
 * them, of whatever scheme (`capacitor://localhost`, `chrome-extension://…`). Such a text is safe to echo in a header.
 */
export function isWellFormedOrigin(origin: string): boolean {
  if (origin === 'null') return true;
  if (origin.length > maxOriginLength || !wellFormedPattern.test(origin)) return false;
  if (!/^https?:/.test(origin)) return true;
  return parseUrl(origin)?.origin === origin;
}

/** A page on the scheme's own port sends none, so `http://localhost:*` covers `http://localhost` too. */
function isOnAnyPort(entry: string, origin: string): boolean {
  const withColon = entry.length - 1;
  if (!origin.startsWith(entry.slice(0, withColon))) return origin === entry.slice(0, -2);
  const port = origin.slice(withColon);
  return /^[1-9][0-9]{0,4}$/.test(port) && Number(port) <= 65_535 && port !== '80';
}

function parseUrl(text: string): URL | null {
  const url = URL.parse(text);
  return url !== null && (url.protocol === 'http:' || url.protocol === 'https:') ? url : null;
}

function isExact(text: string, url: URL | null): boolean {
  return url !== null && text === url.origin && hostProblem(url) === null;
}

function hostProblem(url: URL): string | null {
  if (url.port === '0') return 'name a port from 1 to 65535';
  if (url.hostname.endsWith('.')) return 'remove the dot at the end of the host';
  if (url.hostname.includes('*')) return wildcardHost;
  return hostPattern.test(url.hostname) ? null : 'the host is not a host name or an IP address';
}

/** The first thing that is wrong, in the order in which one would mend it. */
function problemOf(text: string, url: URL | null): string {
  if (text === '') return 'an origin is a scheme and a host, such as https://myapp.com';
  if (text === '*') return 'to allow every origin leave the list empty';
  if (text === 'null') return 'the origin "null" is that of every sandboxed page; remove it';
  if (/\s/.test(text)) return 'remove the white space';
  if (text.includes('\\')) return 'an origin has no backslash';
  const scheme = schemePattern.exec(text)?.[1]?.toLowerCase();
  if (scheme === undefined) return /\*(?!$)/.test(text) ? wildcardHost : 'add the scheme';
  if (scheme !== 'http' && scheme !== 'https') return 'an origin has the scheme http or https';
  const rest = text.slice(scheme.length + 1);
  if (!rest.startsWith('//')) return 'write // after the colon of the scheme';
  return problemAfterScheme(rest.slice(2), url);
}

function problemAfterScheme(rest: string, url: URL | null): string {
  if (rest.includes(',')) return 'write one origin in each entry';
  if (rest.includes('@')) return 'remove the user name and password';
  if (rest.includes('#')) return 'remove the fragment (# and what follows it)';
  if (rest.includes('?')) return 'remove the query (? and what follows it)';
  if (/^[^/]*\/$/.test(rest)) return 'remove the trailing slash';
  if (rest.includes('/')) return 'remove the path';
  if (rest.endsWith(':*')) {
    const isLoopback = loopbackWildcards.includes(`http://${rest.toLowerCase()}`);
    return `a wildcard port goes with http on loopback only${isLoopback ? '' : '; name the port'}`;
  }
  if (rest.includes('*')) return wildcardHost;
  if (url === null) return 'the host or the port is not valid; write it as in https://myapp.com:8443';
  return hostProblem(url) ?? spellingProblem(rest, url);
}

/** The entry means a valid origin, but a browser would write it in another way and so never match it. */
function spellingProblem(rest: string, url: URL): string {
  if (/[^ -~]/.test(rest)) return 'write the host in punycode, as browsers send it';
  if (rest.includes('%')) return 'write the host without % escapes';
  if (rest.endsWith(':')) return 'remove the colon at the end';
  if (/:(?:80|443)$/.test(rest) && url.port === '') return 'remove the default port';
  return /[A-Z]/.test(rest) || url.host === rest ? 'write it in lower case' : 'write it as browsers do';
}

/** What the entry was probably meant to be, where that is one certain origin. */
function suggestionFor(text: string): string | null {
  const trimmed = text.trim();
  if (trimmed === '' || trimmed === 'null' || /[\s\\@]/.test(trimmed)) return null;
  const wildcard = /^(?:https?:\/\/)?(localhost|127\.0\.0\.1|\[::1\]):\*\/?$/i.exec(trimmed);
  if (wildcard) return `http://${wildcard[1]?.toLowerCase()}:*`;
  const url = parseUrl(withScheme(trimmed));
  if (url === null) return null;
  const host = url.hostname.replace(/\.$/, '');
  const origin = `${url.protocol}//${host}${url.port === '' ? '' : `:${url.port}`}`;
  return isExact(origin, parseUrl(origin)) ? origin : null;
}

/** With the scheme it was meant to have: TLS, but for loopback, where hardly anything has a certificate. */
function withScheme(text: string): string {
  if (schemePattern.test(text)) return text.replace(/^ws(s?):/i, 'http$1:');
  const host = text.replace(/^\/\//, '');
  return `${/^(?:localhost|127\.|\[::1\])/i.test(host) ? 'http' : 'https'}://${host}`;
}
