import ipaddr from 'ipaddr.js';
import { canonicalIp } from '../api-keys/ip-ranges.ts';

const minuteMs = 60_000;
/** How much more a whole site may, which has 65,536 networks to take turns with. */
const networksOfSite = 10;
const maxAddresses = 10_000;
/** How much more all those may together that come when so many addresses are counted already. */
const networksOfTheRest = 10;
/** No address has this name. */
const theRest = '';

/**
 * How often a minute an address may do something that nobody has to show a credential for, on this node. Whoever has an
 * IPv6 address has a whole /64 of them, so that is what counts as one. Its memory is bounded.
 */
export class NetworkCap {
  readonly #nowMs: () => number;
  readonly #networks: Counters;
  /** Of IPv6 counted first, so that one site can't take every place there is for networks. */
  readonly #sites: Counters;
  #minute = 0;

  /** @param most how often a minute */
  constructor(nowMs: () => number, most: number) {
    this.#nowMs = nowMs;
    this.#networks = new Counters(most, most * networksOfTheRest);
    this.#sites = new Counters(most * networksOfSite, most * networksOfTheRest);
  }

  /** Counts once more, and says whether that is once too often. */
  isOver(ip: string): boolean {
    const minute = Math.floor(this.#nowMs() / minuteMs);
    if (minute !== this.#minute) {
      this.#networks.clear();
      this.#sites.clear();
      this.#minute = minute;
    }
    const network = networkOf(ip);
    if (network.includes(':') && this.#sites.isOver(siteOf(network))) return true;
    return this.#networks.isOver(network);
  }
}

/** How often each of a bounded number of things was seen; those that find no room are counted together. */
class Counters {
  readonly #most: number;
  readonly #mostOfTheRest: number;
  readonly #counts = new Map<string, number>();

  constructor(most: number, ofTheRest: number) {
    this.#most = most;
    this.#mostOfTheRest = ofTheRest;
  }

  isOver(name: string): boolean {
    const bucket = this.#counts.has(name) || this.#counts.size < maxAddresses ? name : theRest;
    const count = (this.#counts.get(bucket) ?? 0) + 1;
    this.#counts.set(bucket, count);
    return count > (bucket === theRest ? this.#mostOfTheRest : this.#most);
  }

  clear(): void {
    this.#counts.clear();
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
