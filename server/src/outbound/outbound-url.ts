import { isIP } from 'node:net';
import type { AddressPolicy } from './address-policy.ts';
import { badPorts } from './bad-ports.ts';

/** A URL that may be called, or what is wrong with it and how to mend it, in words for whoever wrote it. */
export type UrlCheck =
  | { ok: true; url: URL }
  | { ok: false; reason: 'blocked_url' | 'blocked_address'; message: string };

/** What a URL may have at most, in characters. */
export const maxUrlLength = 2_048;

/** Names that never lead to the internet: RFC 6761, RFC 6762, RFC 8375, ICANN’s `internal`, and those without a dot. */
const localName = /^[^.]+\.?$|(?:^|\.)(?:localhost|local|internal|home\.arpa)\.?$/;

const allowSetting = 'GATELODGE_OUTBOUND_ALLOW';

/**
 * Checks the URL of a webhook, a logout endpoint, a metadata document and the like when it is set: its form and, where its host
 * is an address, that address. What a name leads to is decided again at each call.
 */
export function checkOutboundUrl(text: string, policy: AddressPolicy): UrlCheck {
  if (text.length > maxUrlLength) return badForm(`shorten the URL to at most ${maxUrlLength} characters`);
  // URL parsers drop some of these and turn the backslash into a slash: what is read is not what was called.
  if (/[\s\p{Cc}\\]/u.test(text)) {
    return badForm('remove spaces, control characters and backslashes, or percent-encode them');
  }
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null) return badForm('write an absolute URL, such as https://example.com/hook');
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return badForm('use an https URL');
  if (url.username !== '' || url.password !== '') return badForm('remove the user name and password');
  if (text.includes('#')) return badForm('remove the fragment (# and what follows it)');
  if (url.port !== '' && badPorts.has(Number(url.port))) {
    return badForm(`choose another port: ${url.port} belongs to a service that is not HTTP`);
  }
  return checkHost(url, policy) ?? { ok: true, url };
}

/** The host of a URL without the brackets of an IPv6 address. */
export function hostOf(url: URL): string {
  return url.hostname.replace(/^\[(.*)\]$/, '$1');
}

/** Whether a name means this machine whatever a resolver says (RFC 6761). */
export function isLoopbackName(host: string): boolean {
  return /(?:^|\.)localhost\.?$/.test(host);
}

function checkHost(url: URL, policy: AddressPolicy): UrlCheck | null {
  const host = hostOf(url);
  if (isIP(host) !== 0) {
    const [verdict] = policy.judge([host]);
    if (verdict === 'blocked') return badAddress();
    return url.protocol === 'http:' && verdict !== 'named' ? needsHttps() : null;
  }
  if (policy.namesAny) return null;
  if (localName.test(host)) return badAddress();
  return url.protocol === 'http:' ? needsHttps() : null;
}

function badForm(message: string): UrlCheck {
  return { ok: false, reason: 'blocked_url', message };
}

/** Told alike of an address that is blocked and of a name that leads to one. */
export function badAddress(): UrlCheck & { ok: false } {
  return {
    ok: false,
    reason: 'blocked_address',
    message: `use a host on the internet: this one is private, reserved or this server itself (whoever runs the server can name its network in ${allowSetting})`,
  };
}

/** In the clear only where the operator vouches for the network. */
export function needsHttps(): UrlCheck & { ok: false } {
  return {
    ok: false,
    reason: 'blocked_url',
    message: `use https; plain http reaches only networks that ${allowSetting} names`,
  };
}
