import type { IncomingHttpHeaders } from 'node:http';
import { isOriginAllowed, isWellFormedOrigin } from '../api-keys/origins.ts';

/** The answer headers a page on another origin may read: the Fetch standard hides all others. */
export const exposedHeaders = [
  'X-Environment',
  'Retry-After',
  'X-RateLimit-Limit',
  'X-RateLimit-Remaining',
  'X-RateLimit-Reset',
  'RateLimit',
  'RateLimit-Policy',
  'X-Request-Id',
  'Deprecation',
  'Sunset',
] as const;

const exposedHeadersText = exposedHeaders.join(', ');
const usualEnvironmentHeader = 'x-environment';
const preflightMaxAgeSeconds = '600';

/** A real preflight (Fetch standard §4.8): everything else that is OPTIONS is an ordinary request. */
export function isPreflight(method: string | undefined, headers: IncomingHttpHeaders): boolean {
  return (
    method === 'OPTIONS' &&
    headers.origin !== undefined &&
    headers['access-control-request-method'] !== undefined
  );
}

/**
 * The CORS headers of an answer to a request that carried this Origin, as a flat list of names and values.
 * Never with credentials: a key is sent by the page itself, so a cookie has no part in it. What no browser could have
 * sent (`*`, two origins at once) is not echoed: no page gains by it, and it would say something else than it did.
 *
 * @param isAllowed whether a page on that origin may read the answer
 * @param environmentHeader what the key profile calls the header that tells the environment
 */
export function corsHeaders(
  origin: string | undefined,
  isAllowed: boolean,
  environmentHeader = usualEnvironmentHeader,
): string[] {
  if (origin === undefined || !isAllowed || !isWellFormedOrigin(origin)) return ['Vary', 'Origin'];
  return [
    'Vary',
    'Origin',
    'Access-Control-Allow-Origin',
    origin,
    'Access-Control-Expose-Headers',
    environmentHeader.toLowerCase() === usualEnvironmentHeader
      ? exposedHeadersText
      : `${environmentHeader}, ${exposedHeadersText}`,
  ];
}

/**
 * Whether a page on this origin may read what is answered about a key, whatever the answer: also a refusal for another
 * reason must not tell a page that the key's list keeps out whether the key lives.
 */
export function mayPageRead(
  key: { readonly origins: readonly string[]; readonly browsers: 'allow' | 'deny' },
  origin: string | undefined,
): boolean {
  return origin !== undefined && key.browsers !== 'deny' && isOriginAllowed(key.origins, origin);
}

/**
 * The headers of a preflight's answer, as a flat list of names and values.
 *
 * @param allowableHeaders the request headers that may be allowed, in lower case; of the asked names only these are.
 */
export function preflightHeaders(
  headers: IncomingHttpHeaders,
  isAllowed: boolean,
  allowableHeaders: ReadonlySet<string>,
): string[] {
  const vary = ['Vary', 'Origin, Access-Control-Request-Method, Access-Control-Request-Headers'];
  const origin = headers.origin;
  if (!isAllowed || origin === undefined) return vary;
  const asked = String(headers['access-control-request-headers'] ?? '')
    .split(',')
    .map((name) => name.trim().toLowerCase())
    .filter((name) => allowableHeaders.has(name));
  return [
    ...vary,
    'Access-Control-Allow-Origin',
    origin,
    'Access-Control-Allow-Methods',
    'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS',
    ...(asked.length > 0 ? ['Access-Control-Allow-Headers', asked.join(', ')] : []),
    'Access-Control-Max-Age',
    preflightMaxAgeSeconds,
  ];
}
