import { resolve } from 'node:path';
import ipaddr from 'ipaddr.js';
import { z } from 'zod';
import { parseSenderAddress } from '../mail/sender-address.ts';
import { readAuthorities } from '../mail/smtp-authorities.ts';
import { parseSmtpUrl } from '../mail/smtp-url.ts';
import { parseKeyText } from '../secrets/key-text.ts';

/*
 * Parsers of single settings, from the text of a variable to its value. Their messages say what to write and never
 * repeat the text: whether it may be shown is decided in one place, by the settings table.
 */

/** A whole number of `min`…`max`, written in decimal digits. */
export function wholeNumber(min: number, max: number) {
  return z.string().transform((text, context) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    return fail(context, `must be a whole number of ${min} to ${max}`);
  });
}

/** A TCP port; 0 lets the system choose one. */
export const port = z.string().transform((text, context) => {
  // A Kubernetes Service called `gatelodge` puts GATELODGE_PORT=tcp://… into the environment of every pod.
  if (text.startsWith('tcp://')) {
    return fail(context, 'was set by a Kubernetes service link; set enableServiceLinks: false on the pod');
  }
  const value = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  return value <= 65_535 ? value : fail(context, 'must be a port number of 1 to 65535');
});

/** An address or host name to listen on. */
export const listenHost = z
  .string()
  .regex(
    /^[A-Za-z0-9.:_-]{1,253}$/,
    'must be an IP address or host name to listen on, such as 127.0.0.1 or ::',
  );

/** The origin of an HTTP service, without a trailing slash: `https://auth.example.com`. */
export const origin = z.string().transform((text, context) => {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    return fail(context, 'must be an http or https URL, such as https://auth.example.com');
  }
  if (url.username || url.password) return fail(context, 'must not contain a user name or password');
  // Issuers are paths below it and discovery (RFC 8414) sits at the host's root, so it cannot be a path itself.
  if (url.pathname !== '/') return fail(context, 'must have no path: give Gatelodge a host name of its own');
  if (url.search || url.hash) return fail(context, 'must have no query and no fragment');
  return url.origin;
});

/** A link that a page may show. */
export const link = z.string().transform((text, context) => {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url && ['http:', 'https:', 'mailto:'].includes(url.protocol) && !url.password) return url.href;
  return fail(context, 'must be an http, https or mailto URL');
});

/** A path, made absolute from the working directory. */
export const path = z.string().transform((text, context) => {
  if (text.includes('-----BEGIN')) return fail(context, 'must be the path of a PEM file, not its content');
  if (text.includes('\0') || text.includes('\n')) return fail(context, 'must be a path');
  return resolve(text);
});

/** The path of a PEM file with certificates of authorities, which is read to see that it is one. */
export const authoritiesFile = path.transform((file, context) => {
  const read = readAuthorities(file);
  return read.ok ? file : fail(context, read.problem);
});

/** A URL with one of `schemes`; `example` is shown when it is not. */
export function serviceUrl(schemes: readonly string[], example: string) {
  return z.string().transform((text, context) => {
    // `postgres://user@/name?host=/socket/directory` names a unix socket; WHATWG URLs want a host there.
    const withHost = text.replace(/^(\w+:\/\/[^/?#]*@)(?=[/?]|$)/, '$1localhost');
    const scheme = /^([a-z]+):\/\//.exec(text)?.[1];
    if (scheme && schemes.includes(scheme) && URL.canParse(withHost)) return text;
    return fail(
      context,
      `must be a URL such as ${example} (special characters of a password percent-encoded)`,
    );
  });
}

/** Networks in CIDR notation, divided by commas or spaces, in canonical form; a lone address means itself. */
export const networks = z.string().transform((text, context) => {
  const entries = text.split(/[\s,]+/).filter((entry) => entry !== '');
  const parsed: string[] = [];
  for (const entry of entries) {
    const network = parseNetwork(entry);
    if ('problem' in network) return fail(context, network.problem);
    parsed.push(network.cidr);
  }
  return parsed;
});

/** A mail address, with or without a display name: `Gatelodge <no-reply@example.com>`. */
export const mailSender = z
  .string()
  .max(320)
  .transform(
    (text, context) =>
      parseSenderAddress(text) ?? fail(context, 'must be an address, such as no-reply@example.com'),
  );

/** The URL of a mail server, with `?tls=`. */
export const smtpServer = z.string().transform((text, context) => {
  const parsed = parseSmtpUrl(text);
  return parsed.ok ? parsed.server : fail(context, parsed.problem);
});

/** A bare mail address. */
export const mailAddress = z
  .string()
  .max(254)
  .regex(/^[^\s@<>]+@[^\s@<>]+$/, 'must be a mail address, such as owner@example.com');

/** The text of a 32-byte key. */
export const keyText = z.string().transform((text, context) => {
  const parsed = parseKeyText(text);
  return 'problem' in parsed ? fail(context, parsed.problem) : text;
});

/** A bearer token that an operator chose. */
export const token = z
  .string()
  .regex(
    /^[\x21-\x7e]{20,512}$/,
    'must be 20 to 512 printable characters without spaces; `openssl rand -hex 32` makes one',
  );

/** One of a few words. */
export function oneOf<const Words extends readonly [string, ...string[]]>(words: Words) {
  return z.enum(words, { error: `must be one of ${words.join(', ')}` });
}

function parseNetwork(entry: string): { cidr: string } | { problem: string } {
  const [address = '', length, ...rest] = entry.split('/');
  const isIpv4 = ipaddr.IPv4.isValidFourPartDecimal(address);
  // ipaddr.js also reads octal, hexadecimal and shortened IPv4; in a list that grants trust they would hide a mistake.
  if (rest.length > 0 || !(isIpv4 || ipaddr.IPv6.isValid(address)) || address.includes('%')) {
    return { problem: 'must be a list of networks such as 10.0.0.0/8, 2001:db8::/32' };
  }
  const ip = ipaddr.parse(address);
  if (ip instanceof ipaddr.IPv6 && ip.isIPv4MappedAddress()) {
    return { problem: 'must name an IPv4 network in IPv4 notation, not as ::ffff:…' };
  }
  const bits = isIpv4 ? 32 : 128;
  const prefix = length === undefined ? bits : /^\d{1,3}$/.test(length) ? Number(length) : Number.NaN;
  if (!(prefix <= bits)) return { problem: `must have prefix lengths of 0 to ${bits}` };
  const network = (isIpv4 ? ipaddr.IPv4 : ipaddr.IPv6).networkAddressFromCIDR(`${address}/${prefix}`);
  const cidr = `${network.toString()}/${prefix}`;
  if (network.toNormalizedString() !== ip.toNormalizedString()) {
    return { problem: `has a network whose host bits are set: write ${cidr} or ${ip.toString()}/${bits}` };
  }
  return { cidr };
}

function fail(context: z.RefinementCtx, message: string): never {
  context.addIssue({ code: 'custom', message });
  return z.NEVER;
}
