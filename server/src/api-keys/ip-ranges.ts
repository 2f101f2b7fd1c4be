import { isIPv4, isIPv6 } from 'node:net';
import ipaddr from 'ipaddr.js';

type Address = ipaddr.IPv4 | ipaddr.IPv6;

/** Ranges made ready for matching; see `compileIpRanges`. */
export type CompiledIpRanges = readonly (readonly [Address, number])[];

export type IpRangeParse = { ok: true; range: string } | { ok: false; message: string; suggestion?: string };

/** The longest range there is: 45 characters of IPv6 with an embedded IPv4 address, a slash and a netmask. */
const maxTextLength = 64;
const mappedBits = 96;

/**
 * Reads an address or a CIDR range, IPv4 or IPv6, into its one canonical form: always with a prefix length, IPv6 as
 * in RFC 5952, and an IPv4-mapped IPv6 range as the IPv4 range it stands for. Refuses what people read in two ways:
 * leading zeros (octal to some), fewer than four parts, zone ids, and addresses with host bits set in a range.
 */
export function parseIpRange(text: string): IpRangeParse {
  const [addressText = '', bitsText, ...rest] = text.length > maxTextLength ? ['', ''] : text.split('/');
  const parsed = parseStrictly(addressText);
  if (parsed === null || rest.length > 0) return refuse(text, addressText);
  const bits = bitsText === undefined ? widthOf(parsed) : parsePrefixLength(bitsText, widthOf(parsed));
  if (bits === null) return refusePrefixLength(parsed, bitsText ?? '');
  const address = unmapped(parsed);
  if (address === parsed) return canonicalRange(address, bits);
  if (bits < mappedBits) {
    return {
      ok: false,
      message: `an IPv4-mapped range needs a prefix of at least /${mappedBits}; write it as IPv4`,
    };
  }
  return canonicalRange(address, bits - mappedBits);
}

/**
 * The one spelling of an address: IPv4 in four decimals, also for an IPv4-mapped IPv6 address, IPv6 as in RFC 5952
 * without its zone. null where the text is no address. Whoever counts by address counts by this.
 */
export function canonicalIp(text: string): string | null {
  return parseRemote(text)?.toString() ?? null;
}

/**
 * Makes a list of ranges ready for `isIpAllowed`; keep the result, it takes some microseconds to make.
 * Takes what `parseIpRange` accepts and throws an Error for anything else. An empty list allows no address, so a
 * caller for whom no list means no restriction has to see to that.
 */
export function compileIpRanges(list: readonly string[]): CompiledIpRanges {
  return list.map((text) => {
    const parsed = parseIpRange(text);
    if (!parsed.ok) throw new Error(`not an IP range: ${text.slice(0, maxTextLength)}`);
    return ipaddr.parseCIDR(parsed.range);
  });
}

/** Says whether an address, however it is spelled, lies in one of the ranges. What is no address lies in none. */
export function isIpAllowed(ranges: CompiledIpRanges, ip: string): boolean {
  const address = parseRemote(ip);
  return address !== null && ranges.some((range) => isInRange(address, range));
}

/**
 * Says whether every address of the `inner` ranges is one of `outer`, both as `parseIpRange` writes them. Here an empty
 * list is any address, as it is on a key. Ranges that cover another one only together are not seen to.
 */
export function areRangesWithin(outer: readonly string[], inner: readonly string[]): boolean {
  if (outer.length === 0) return true;
  const outerRanges = compileIpRanges(outer);
  return (
    inner.length > 0 &&
    compileIpRanges(inner).every(([network, bits]) =>
      outerRanges.some((range) => range[1] <= bits && isInRange(network, range)),
    )
  );
}

function isInRange(address: Address, [network, bits]: CompiledIpRanges[number]): boolean {
  return address.kind() === network.kind() && address.match(network, bits);
}

function canonicalRange(address: Address, bits: number): IpRangeParse {
  const network = networkOf(address, bits);
  if (network === address.toString()) return { ok: true, range: `${network}/${bits}` };
  return {
    ok: false,
    message: `the address has bits set beyond /${bits}: write ${network}/${bits} for the range or ${address.toString()}/${widthOf(address)} for the one address`,
    suggestion: `${network}/${bits}`,
  };
}

function widthOf(address: Address): 32 | 128 {
  return address.kind() === 'ipv4' ? 32 : 128;
}

function networkOf(address: Address, bits: number): string {
  const cidr = `${address.toString()}/${bits}`;
  const network =
    address.kind() === 'ipv4'
      ? ipaddr.IPv4.networkAddressFromCIDR(cidr)
      : ipaddr.IPv6.networkAddressFromCIDR(cidr);
  return network.toString();
}

/** An address as a socket or a proxy gives it: link-local IPv6 may come with its zone, which says nothing about whose it is. */
function parseRemote(text: string): Address | null {
  if (text.length > maxTextLength) return null;
  const zone = text.indexOf('%');
  const parsed = parseStrictly(zone === -1 || !text.includes(':') ? text : text.slice(0, zone));
  return parsed && unmapped(parsed);
}

/**
 * Node decides what an address is: ipaddr.js also reads `0x7f.1`, `010.0.0.1` and `2130706433`, which no one writes in
 * good faith.
 */
function parseStrictly(text: string): Address | null {
  if (isIPv4(text)) return ipaddr.IPv4.parse(text);
  return isIPv6(text) && !text.includes('%') ? ipaddr.IPv6.parse(withoutDottedTail(text)) : null;
}

/** `::ffff:1.2.3.4` as `::ffff:102:304`, since ipaddr.js takes `::1.2.3.4`, another address, for the same. */
function withoutDottedTail(text: string): string {
  const tailAt = text.lastIndexOf(':') + 1;
  const tail = text.slice(tailAt);
  if (!tail.includes('.')) return text;
  const [a = 0, b = 0, c = 0, d = 0] = ipaddr.IPv4.parse(tail).octets;
  return `${text.slice(0, tailAt)}${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
}

function unmapped(address: Address): Address {
  return address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress() ? address.toIPv4Address() : address;
}

function parsePrefixLength(text: string, width: number): number | null {
  return /^(?:0|[1-9][0-9]{0,2})$/.test(text) && Number(text) <= width ? Number(text) : null;
}

function refusePrefixLength(address: Address, text: string): IpRangeParse {
  const maskBits = isIPv4(text) ? ipaddr.IPv4.parse(text).prefixLengthFromSubnetMask() : null;
  if (maskBits !== null && address.kind() === 'ipv4') {
    const suggestion = `${networkOf(address, maskBits)}/${maskBits}`;
    return { ok: false, message: `write the netmask as a prefix length: ${suggestion}`, suggestion };
  }
  const width = widthOf(address);
  return {
    ok: false,
    message: `the prefix length after the slash is a number from 0 to ${width}, such as ${address.toString()}/${width}`,
  };
}

function refuse(text: string, addressText: string): IpRangeParse {
  const trimmed = text.trim();
  if (trimmed !== text && parseIpRange(trimmed).ok) {
    return { ok: false, message: `remove the spaces: ${trimmed}`, suggestion: trimmed };
  }
  if (/^[0-9.]+$/.test(addressText) && /(?:^|\.)0[0-9]/.test(addressText)) {
    return {
      ok: false,
      message: 'write IPv4 addresses without leading zeros, which some programs read as octal',
    };
  }
  if (addressText.includes('%')) return { ok: false, message: 'remove the zone (% and what follows it)' };
  if (addressText.includes('*')) {
    return { ok: false, message: 'wildcards are not taken; write the range as CIDR, such as 203.0.113.0/24' };
  }
  return {
    ok: false,
    message: 'write an IP address or a CIDR range, such as 203.0.113.7, 203.0.113.0/24 or 2001:db8::/32',
  };
}
