import { hash, randomBytes } from 'node:crypto';
import ipaddr from 'ipaddr.js';
import { canonicalIp } from '../api-keys/ip-ranges.ts';

const minuteMs = 60_000;
/** How much more a whole site may, which has 65,536 networks to take turns with. */
const networksOfSite = 10;

/**
 * How often a minute an address may do something that nobody has to show a credential for, on this node. Whoever has an
 * IPv6 address has a whole /64 of them, so that is what counts as one. Its memory is bounded.
 */
export class NetworkCap {
  readonly #nowMs: () => number;
  readonly #most: number;
  // Of one kind of address nobody takes anything from the other.
  readonly #ofIpv4 = new Sketch();
  readonly #ofIpv6 = new Sketch();
  readonly #ofSites = new Sketch();
  #minute = 0;

  /** @param most how often a minute */
  constructor(nowMs: () => number, most: number) {
    this.#nowMs = nowMs;
    this.#most = most;
  }

  /** Counts once more, and says whether that is once too often. */
  isOver(ip: string): boolean {
    const minute = Math.floor(this.#nowMs() / minuteMs);
    if (minute !== this.#minute) {
      for (const sketch of [this.#ofIpv4, this.#ofIpv6, this.#ofSites]) sketch.clear();
      this.#minute = minute;
    }
    const network = networkOf(ip);
    if (!network.includes(':')) return this.#ofIpv4.count(network) > this.#most;
    // The site first, so that one that is over makes no difference to its neighbours.
    if (this.#ofSites.count(siteOf(network)) > this.#most * networksOfSite) return true;
    return this.#ofIpv6.count(network) > this.#most;
  }
}

const rows = 4;
/** A power of two. */
const width = 16_384;

/**
 * How often each of any number of things was seen, in memory that does not grow: a count-min sketch (Cormode and
 * Muthukrishnan 2005) with conservative update. It may say too many and never too few: to be taken for over a cap, a thing
 * that was hardly seen has to share each of its four places, which nobody can foresee, with things seen as often as that.
 */
class Sketch {
  readonly #key = randomBytes(16).toString('latin1');
  readonly #counts = new Uint32Array(rows * width);

  /** Counts it once more, and says how often that makes. */
  count(name: string): number {
    const digest = hash('sha256', this.#key + name, 'buffer');
    const places = Array.from(
      { length: rows },
      (_, row) => row * width + (digest.readUInt32LE(row * 4) % width),
    );
    const count = Math.min(...places.map((place) => this.#counts[place]!)) + 1;
    for (const place of places) this.#counts[place] = Math.max(this.#counts[place]!, count);
    return count;
  }

  clear(): void {
    this.#counts.fill(0);
  }
}

/** The address itself, of IPv6 its /64; one bucket for all that is no address. */
export function networkOf(ip: string): string {
  const address = canonicalIp(ip);
  if (address === null) return 'none';
  return address.includes(':') ? ipaddr.IPv6.networkAddressFromCIDR(`${address}/64`).toString() : address;
}

/** @param network an IPv6 network of `networkOf` */
function siteOf(network: string): string {
  return ipaddr.IPv6.networkAddressFromCIDR(`${network}/48`).toString();
}
