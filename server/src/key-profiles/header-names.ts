/** A header that a profile names must look like this, or be Authorization where that is allowed. */
export const customHeaderPattern = /^[Xx]-[A-Za-z0-9-]{1,60}$/;

interface TakenHeaders {
  /** Completes the sentence "<name> …". */
  because: string;
  names: readonly string[];
  /** Beginnings that are taken as a whole. */
  families: readonly string[];
}

/**
 * Headers that something else on the way reads or writes. A key header among them would be overwritten, logged or
 * acted upon by a proxy; an answer header among them would let a profile steer one (X-Accel-Redirect, X-Sendfile)
 * or switch off a protection in the browser. Lower case.
 */
const takenHeaders: readonly TakenHeaders[] = [
  {
    because: 'is used by Gatelodge itself',
    names: ['x-environment'],
    families: ['x-gatelodge', 'x-idempoten', 'x-ratelimit', 'x-rate-limit', 'x-request-id'],
  },
  {
    because: 'is set or obeyed by proxies',
    names: [
      'x-backend-server',
      'x-cluster-client-ip',
      'x-correlation-id',
      'x-forwarded',
      'x-host',
      'x-originating-ip',
      'x-request-start',
      'x-runtime',
      'x-scheme',
      'x-served-by',
      'x-true-client-ip',
      'x-url-scheme',
      'x-via',
    ],
    families: [
      'x-accel-',
      'x-amz-',
      'x-amzn-',
      'x-appengine-',
      'x-arr-',
      'x-auth-request-',
      'x-azure-',
      'x-b3-',
      'x-cache',
      'x-client-cert',
      'x-client-ip',
      'x-cloud-trace-',
      'x-envoy-',
      'x-fastly-',
      'x-forward-',
      'x-forwarded-',
      'x-goog-',
      'x-http-host-',
      'x-lighttpd-',
      'x-litespeed-',
      'x-middleware-',
      'x-ms-',
      'x-nextjs-',
      'x-nginx-',
      'x-original-',
      'x-proxy',
      'x-rack-',
      'x-real-',
      'x-remote-',
      'x-reproxy-',
      'x-rewrite-',
      'x-sendfile',
      'x-ssl-',
      'x-varnish',
      'x-vercel-',
    ],
  },
  {
    because: 'tells some programs who the caller is',
    names: ['x-credential-identifier', 'x-user', 'x-username'],
    families: [
      'x-anonymous-consumer',
      'x-authenticated-',
      'x-consumer-',
      'x-grafana-',
      'x-impersonat',
      'x-kubernetes-',
      'x-webauth-',
    ],
  },
  {
    because: 'overrides the method of a request in some frameworks',
    names: ['x-method'],
    families: ['x-http-method', 'x-method-override'],
  },
  {
    because: 'is used by browsers',
    names: [
      'x-client-data',
      'x-do-not-track',
      'x-pingback',
      'x-powered-by',
      'x-purpose',
      'x-requested-with',
      'x-sourcemap',
    ],
    families: [
      'x-chrome-',
      'x-content-',
      'x-csrf',
      'x-dns-',
      'x-download-',
      'x-firefox-',
      'x-frame-',
      'x-moz',
      'x-permitted-',
      'x-robots-',
      'x-ua-',
      'x-wap-',
      'x-webkit-',
      'x-xsrf',
      'x-xss-',
    ],
  },
];

/** Where a profile names a header. Only the environment header may be X-Environment; only a key header Authorization. */
export type HeaderRole = 'key' | 'tenant' | 'environment';

/** Says why a well-formed header name can't serve in this role, as the end of a sentence; null if it can. */
export function takenHeaderReason(name: string, role: HeaderRole): string | null {
  const lower = name.toLowerCase();
  if (role === 'environment' && lower === 'x-environment') return null;
  const taken = takenHeaders.find(
    ({ names, families }) => names.includes(lower) || families.some((family) => lower.startsWith(family)),
  );
  return taken?.because ?? null;
}
