import { TLSSocket } from 'node:tls';
import { type CompiledIpRanges, canonicalIp, compileIpRanges, isIpAllowed } from '../api-keys/ip-ranges.ts';
import { idPrefixes, newId } from '../ids/ids.ts';
import { scrub } from '../logs/scrub.ts';
import type { EdgeRequest } from './edge-request.ts';

/** What is known of a request before its route is. */
export interface RequestInfo {
  /** `X-Request-Id` of the caller where well formed, else made here. */
  id: string;
  /** The client's address; forwarded ones only from trusted proxies. */
  ip: string;
  /** As it was sent; see `actorOf` for what may be kept of it. */
  userAgent: string | null;
}

/** What the edge knows of a request besides what handlers may see. */
export interface EdgeInfo extends RequestInfo {
  /** The connection comes from a proxy whose forwarded headers count. */
  isFromTrustedProxy: boolean;
  /** TLS here or, by the word of a trusted proxy, in front of it. */
  isSecure: boolean;
  /** The connection itself comes from this machine. */
  isLoopback: boolean;
}

/** How many addresses of X-Forwarded-For are looked at, from the right. No chain of proxies is that long. */
const maxHops = 32;
/** What is no address may be text of any length. */
const maxHopLength = 64;

const wellFormedRequestId = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/;
/** No secret is as short as a UUID, what most callers send; the others are looked through. */
const harmlessLength = 36;
/** On the request itself: a WeakMap costs the hot path about a microsecond, mostly in the garbage collector. */
const infoOfRequest = Symbol('edge info');

type ReadRequest = EdgeRequest & { [infoOfRequest]?: EdgeInfo };

/** What `RequestInfoReader.read` found out about this request. */
export function requestInfoOf(request: ReadRequest): EdgeInfo {
  const info = request[infoOfRequest];
  if (info === undefined) throw new Error('a request reached a route without passing the edge');
  return info;
}

/** Reads who sent a request; forwarded headers count only from the proxies that the settings trust. */
export class RequestInfoReader {
  readonly #trusted: CompiledIpRanges | null;

  constructor(trustedProxies: readonly string[]) {
    this.#trusted = trustedProxies.length === 0 ? null : compileIpRanges(trustedProxies);
  }

  read(request: EdgeRequest): EdgeInfo {
    const peer = plainAddress(request.socket.remoteAddress ?? '');
    const isFromTrustedProxy = this.#isTrusted(peer);
    const headers = request.headers;
    const givenId = headers['x-request-id'];
    const info: EdgeInfo = {
      id: typeof givenId === 'string' && isRequestId(givenId) ? givenId : newId(idPrefixes.request),
      ip: isFromTrustedProxy ? this.#clientBehindProxies(peer, headers['x-forwarded-for']) : peer,
      userAgent: headers['user-agent'] ?? null,
      isFromTrustedProxy,
      isSecure:
        request.socket instanceof TLSSocket ||
        (isFromTrustedProxy && lastOf(headers['x-forwarded-proto']) === 'https'),
      isLoopback: isLoopbackAddress(peer),
    };
    (request as ReadRequest)[infoOfRequest] = info;
    return info;
  }

  #isTrusted(address: string): boolean {
    return this.#trusted !== null && isIpAllowed(this.#trusted, address);
  }

  /**
   * From the right, the first address that is no trusted proxy: what stands left of it anyone could have written, and
   * none of it is read.
   */
  #clientBehindProxies(peer: string, forwardedFor: string | string[] | undefined): string {
    const list = String(forwardedFor ?? '');
    let client = peer;
    let end = list.length;
    for (let hops = 0; end > 0 && hops < maxHops; hops++) {
      const comma = list.lastIndexOf(',', end - 1);
      const hop = canonicalHop(list.slice(comma + 1, end).trim());
      end = comma;
      if (hop === '') continue;
      client = hop;
      if (!this.#isTrusted(hop)) break;
    }
    return client;
  }
}

/** An id stands in events and answers, and a text in which the log would redact something is a secret gone astray. */
function isRequestId(text: string): boolean {
  return wellFormedRequestId.test(text) && (text.length <= harmlessLength || scrub(text) === text);
}

/** An IPv4 address that arrived on an IPv6 socket is the IPv4 address. */
function plainAddress(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
}

/**
 * One spelling of an address that a proxy wrote, without the port that some add (`1.2.3.4:5`, `[2001:db8::1]:5`). What
 * is no address stays as it is, and no restriction allows it.
 */
function canonicalHop(hop: string): string {
  const text = hop.slice(0, maxHopLength);
  const withPort = /^(?:\[([^\]]+)\](?::\d{1,5})?|([\d.]+):\d{1,5})$/.exec(text);
  return canonicalIp(withPort?.[1] ?? withPort?.[2] ?? text) ?? text;
}

/** A connection that is gone already has no address, and is nobody's then. */
function isLoopbackAddress(address: string): boolean {
  return address.startsWith('127.') || address === '::1';
}

function lastOf(header: string | string[] | undefined): string {
  const list = String(header ?? '');
  return list
    .slice(list.lastIndexOf(',') + 1)
    .trim()
    .toLowerCase();
}
