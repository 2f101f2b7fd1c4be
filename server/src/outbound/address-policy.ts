import { isIPv4 } from 'node:net';
import { networkInterfaces } from 'node:os';
import ipaddr from 'ipaddr.js';
import { canonicalIp, compileIpRanges, isIpAllowed } from '../api-keys/ip-ranges.ts';

/**
 * What a call may do with an address: `named` ones stand in GATELODGE_OUTBOUND_ALLOW, `public` ones belong to the internet, and
 * nothing may connect to a `blocked` one.
 */
export type AddressVerdict = 'named' | 'public' | 'blocked';

/** IANA’s IPv4 special-purpose registry, multicast and reserved space, and one metadata service that lies outside of them. */
export const specialIpv4 = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.31.196.0/24',
  '192.52.193.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '192.175.48.0/24',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
  // Azure’s platform endpoint, which answers every virtual machine there.
  '168.63.129.16/32',
] as const;

/** All that IANA has given to global unicast; the rest of IPv6 is local, reserved, multicast, or a spelling of IPv4. */
const globalIpv6 = '2000::/3';

/** IANA’s IPv6 special-purpose registry within that: Teredo and other protocols, documentation, AS112, 6to4. */
export const specialIpv6 = [
  '2001::/23',
  '2001:db8::/32',
  '2002::/16',
  '2620:4f:8000::/48',
  '3fff::/20',
] as const;

const blockedIpv4 = compileIpRanges(specialIpv4);
const blockedIpv6 = compileIpRanges(specialIpv6);
const global = compileIpRanges([globalIpv6]);
const nat64 = compileIpRanges(['64:ff9b::/96']);

interface Options {
  /** Networks in CIDR notation that may be called although they are blocked otherwise. */
  allow: readonly string[];
  /** The addresses of this machine; those of its network interfaces unless given. */
  ownAddresses?: () => readonly string[];
}

/**
 * Decides by address, so that no spelling of a URL and no name can get around it. Blocks what is private, reserved or local to
 * a link, and this machine’s own addresses, since a firewall that guards them from outside lets us through.
 */
export class AddressPolicy {
  readonly #named: ReturnType<typeof compileIpRanges>;
  readonly #ownAddresses: () => readonly string[];

  constructor({ allow, ownAddresses = interfaceAddresses }: Options) {
    this.#named = compileIpRanges(allow);
    this.#ownAddresses = ownAddresses;
  }

  /** Whether there is anything that only GATELODGE_OUTBOUND_ALLOW opens. */
  get namesAny(): boolean {
    return this.#named.length > 0;
  }

  /** @param addresses in any spelling that a socket or a resolver gives; what is no address is blocked */
  judge(addresses: readonly string[]): AddressVerdict[] {
    const own = new Set(this.#ownAddresses().map(canonicalIp));
    return addresses.map((address) => this.#judgeOne(address, own));
  }

  #judgeOne(address: string, own: ReadonlySet<string | null>): AddressVerdict {
    const ip = canonicalIp(address);
    if (ip === null) return 'blocked';
    if (isIpAllowed(this.#named, ip)) return 'named';
    // Where IPv4 is reached through NAT64 alone (RFC 6052), every IPv4 address looks like this, the public ones too.
    const meant = isIpAllowed(nat64, ip) ? lastFourBytes(ip) : ip;
    const isPublic = isIPv4(meant)
      ? !isIpAllowed(blockedIpv4, meant)
      : isIpAllowed(global, meant) && !isIpAllowed(blockedIpv6, meant);
    return isPublic && !own.has(meant) ? 'public' : 'blocked';
  }
}

function lastFourBytes(ip: string): string {
  return ipaddr.parse(ip).toByteArray().slice(-4).join('.');
}

function interfaceAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((addresses = []) =>
    addresses.map(({ address }) => address),
  );
}
