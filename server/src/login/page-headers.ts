/** Where the forms of a page may lead: nowhere but to ourselves, and to where the client has the user sent back. */
export interface FormTargets {
  /** null where no form of the page ends at the client. */
  readonly redirectUri: string | null;
}

export const onlyHere: FormTargets = { redirectUri: null };

/**
 * Browsers also hold the redirects that follow a form to `form-action` (CSP 3 §6.3.1; Chromium does), those of the
 * client's own server included: a callback may well go on to another host of the client's. So whatever scheme the client
 * is sent back by is allowed, and other schemes are not.
 */
function formAction({ redirectUri }: FormTargets): string {
  if (redirectUri === null) return "'self'";
  const url = URL.parse(redirectUri);
  if (url === null) return "'self'";
  return url.protocol === 'http:' ? "'self' http: https:" : `'self' ${url.protocol}`;
}

const yearSeconds = 31_536_000;

/**
 * What every page is answered with: no script, style or picture of anybody else, in nobody's frame.
 *
 * `Referrer-Policy: same-origin` tells other sites nothing, and leaves forms their Origin, which `no-referrer` would make
 * `null` (Fetch standard §3.2).
 */
export function pageHeaders(
  targets: FormTargets,
  { isSecure }: { isSecure: boolean },
): Readonly<Record<string, string>> {
  return {
    'Content-Type': 'text/html; charset=utf-8',
    'Cache-Control': 'no-store',
    'Content-Security-Policy': [
      "default-src 'none'",
      "style-src 'self'",
      "script-src 'self'",
      "img-src 'self' data:",
      `form-action ${formAction(targets)}`,
      "frame-ancestors 'none'",
      "base-uri 'none'",
    ].join('; '),
    'X-Content-Type-Options': 'nosniff',
    'X-Frame-Options': 'DENY',
    'Referrer-Policy': 'same-origin',
    'X-Robots-Tag': 'noindex',
    ...(isSecure && { 'Strict-Transport-Security': `max-age=${yearSeconds}` }),
  };
}
