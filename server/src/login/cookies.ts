import type { IncomingMessage } from 'node:http';

/** Pairs of a longer header are none of ours. */
const mostBytes = 16 * 1024;

/** The value of a cookie; undefined where the browser has sent none of this name. The first one counts, as its path is longer. */
export function readCookie({ headers }: Pick<IncomingMessage, 'headers'>, name: string): string | undefined {
  const { cookie = '' } = headers;
  if (cookie.length > mostBytes) return undefined;
  const prefix = `${name}=`;
  return cookie
    .split(';')
    .map((pair) => pair.trim())
    .find((pair) => pair.startsWith(prefix))
    ?.slice(prefix.length);
}

export interface CookieAttributes {
  readonly path: string;
  readonly maxAgeSeconds: number;
  readonly isSecure: boolean;
}

/** A `Set-Cookie` that no script reads and that no other site's request but a link brings along. */
export function cookieLine(name: string, value: string, attributes: CookieAttributes): string {
  const { path, maxAgeSeconds, isSecure } = attributes;
  const parts = [`${name}=${value}`, `Path=${path}`, `Max-Age=${maxAgeSeconds}`, 'HttpOnly', 'SameSite=Lax'];
  return [...parts, ...(isSecure ? ['Secure'] : [])].join('; ');
}
