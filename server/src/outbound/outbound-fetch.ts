import type { OutboundClient, OutboundRequest } from './outbound-client.ts';

type Method = NonNullable<OutboundRequest['method']>;

const methods: ReadonlySet<string> = new Set([
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'PATCH',
  'DELETE',
] satisfies Method[]);
/** Statuses with which a `Response` must have no body. */
const withoutBody = new Set([204, 205, 304]);

/** As much of `fetch` as libraries need that take one as an option: a URL and plain options. */
export type OutboundFetch = (url: string | URL, init?: RequestInit) => Promise<Response>;

/**
 * A `fetch` for libraries (oidc-provider, jose, openid-client …) that goes through the guarded client on behalf of one account.
 * A redirect is always handed out as the answer, as with `redirect: 'manual'`, and the body has arrived in whole, so that it
 * is bounded also for a library that reads it carelessly.
 *
 * The promise is rejected with OutboundError where `fetch` would reject with TypeError, and with TypeError for options that
 * make no call of ours.
 */
export function createOutboundFetch(
  client: OutboundClient,
  options: Pick<OutboundRequest, 'accountId' | 'timeoutMs' | 'maxBytes'>,
): OutboundFetch {
  return async (url, init = {}) => {
    const method = (init.method ?? 'GET').toUpperCase();
    if (!methods.has(method)) throw new TypeError(`${method} is no method for outbound calls`);
    const headers = new Headers(init.headers);
    const body = bodyOf(init.body, headers);
    const answer = await client.fetch(url, {
      ...options,
      method: method as Method,
      headers,
      ...(body !== undefined && { body }),
      signal: init.signal,
    });
    return new Response(withoutBody.has(answer.status) ? null : new Uint8Array(answer.body), {
      status: answer.status,
      headers: answer.headers,
    });
  };
}

function bodyOf(body: RequestInit['body'], headers: Headers): string | Uint8Array | undefined {
  if (body === undefined || body === null) return undefined;
  if (body instanceof URLSearchParams) {
    setType(headers, 'application/x-www-form-urlencoded;charset=UTF-8');
    return body.toString();
  }
  if (typeof body === 'string') {
    setType(headers, 'text/plain;charset=UTF-8');
    return body;
  }
  if (body instanceof Uint8Array) return body;
  throw new TypeError('the body of an outbound call is a string, URLSearchParams or bytes');
}

function setType(headers: Headers, type: string): void {
  if (!headers.has('Content-Type')) headers.set('Content-Type', type);
}
