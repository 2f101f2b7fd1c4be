import type { HttpAnswer } from './http.ts';

interface Cookie {
  readonly name: string;
  readonly value: string;
  readonly path: string;
  readonly domain: string;
  readonly isHostOnly: boolean;
  readonly isSecure: boolean;
  /** Milliseconds since 1970; none for a cookie of the browser's session. */
  readonly expiresAtMs: number | undefined;
}

/** Cookies as a browser keeps them (RFC 6265 §5), as far as signing in needs them. */
export class CookieJar {
  readonly #cookies = new Map<string, Cookie>();

  /** Keeps what an answer sets, and forgets what it expires. */
  keep(answer: HttpAnswer): void {
    for (const field of answer.fields('set-cookie')) {
      const cookie = parseCookie(field, answer.url);
      if (cookie === undefined) continue;
      const key = `${cookie.domain} ${cookie.path} ${cookie.name}`;
      if (cookie.expiresAtMs !== undefined && cookie.expiresAtMs <= Date.now()) this.#cookies.delete(key);
      else this.#cookies.set(key, cookie);
    }
  }

  /** The `Cookie` field of a request to a URL, longest path first; empty where there is none to send. */
  headerFor(url: URL): string {
    return [...this.#cookies.values()]
      .filter((cookie) => isFor(cookie, url))
      .sort((one, other) => other.path.length - one.path.length)
      .map(({ name, value }) => `${name}=${value}`)
      .join('; ');
  }
}

function parseCookie(field: string, url: URL): Cookie | undefined {
  const [pair = '', ...parts] = field.split(';');
  const equals = pair.indexOf('=');
  if (equals < 1) return undefined;
  const attributes = new Map(
    parts.map((part) => {
      const [name = '', ...value] = part.split('=');
      return [name.trim().toLowerCase(), value.join('=').trim()] as const;
    }),
  );
  const domain = (attributes.get('domain') ?? '').replace(/^\./, '').toLowerCase();
  if (domain !== '' && !isWithin(url.hostname, domain)) return undefined;
  const path = attributes.get('path') ?? '';
  return {
    name: pair.slice(0, equals).trim(),
    value: pair.slice(equals + 1).trim(),
    path: path.startsWith('/') ? path : defaultPath(url.pathname),
    domain: domain === '' ? url.hostname : domain,
    isHostOnly: domain === '',
    isSecure: attributes.has('secure'),
    expiresAtMs: expiryOf(attributes),
  };
}

function expiryOf(attributes: ReadonlyMap<string, string>): number | undefined {
  const maxAge = attributes.get('max-age');
  if (maxAge !== undefined && /^-?\d+$/.test(maxAge)) return Date.now() + Number(maxAge) * 1_000;
  const expires = Date.parse(attributes.get('expires') ?? '');
  return Number.isNaN(expires) ? undefined : expires;
}

/** RFC 6265 §5.1.4. */
function defaultPath(pathname: string): string {
  const end = pathname.lastIndexOf('/');
  return end <= 0 ? '/' : pathname.slice(0, end);
}

function isFor(cookie: Cookie, url: URL): boolean {
  if (cookie.expiresAtMs !== undefined && cookie.expiresAtMs <= Date.now()) return false;
  // Browsers send secure cookies to loopback over http as well.
  if (cookie.isSecure && url.protocol !== 'https:' && !isLoopback(url.hostname)) return false;
  const isDomain = cookie.isHostOnly ? url.hostname === cookie.domain : isWithin(url.hostname, cookie.domain);
  if (!isDomain) return false;
  const { path } = cookie;
  return (
    url.pathname === path ||
    (url.pathname.startsWith(path) && (path.endsWith('/') || url.pathname[path.length] === '/'))
  );
}

function isWithin(hostname: string, domain: string): boolean {
  return hostname === domain || hostname.endsWith(`.${domain}`);
}

/** Names and addresses of this machine, as URLs write them. */
export function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}
