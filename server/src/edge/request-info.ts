import type { IncomingMessage } from 'node:http';
import { TLSSocket } from 'node:tls';
import { type CompiledIpRanges, canonicalIp, compileIpRanges, isIpAllowed } from '../api-keys/ip-ranges.ts';
import { idPrefixes, newId } from '../ids/ids.ts';

/** What is known of a request before its route is. */
export interface RequestInfo {
  /** `X-Request-Id` of the caller where well formed, else made here. */
  id: string;
  /** The client's address; forwarded ones only from trusted proxies. */
  ip: string;
  userAgent: string | null;
}

/** What the edge knows of a request besides what handlers may see. */
export interface EdgeInfo extends RequestInfo {
  /** The connection comes from a proxy whose forwarded headers count. */
  isFromTrustedProxy: boolean;
  /** TLS here or, by the word of a trusted proxy, in front of us. */
  isSecure: boolean;
  /** The connection itself comes from this machine. */
  isLoopback: boolean;
}

const wellFormedRequestId = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/;
/** On the request itself: a WeakMap costs the hot path about a microsecond, mostly in the garbage collector. */
const infoOfRequest = Symbol('edge info');

type ReadRequest = IncomingMessage & { [infoOfRequest]?: EdgeInfo };

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

  read(request: IncomingMessage): EdgeInfo {
    const peer = plainAddress(request.socket.remoteAddress ?? '');
    const isFromTrustedProxy = this.#isTrusted(peer);
    const headers = request.headers;
    const givenId = headers['x-request-id'];
    const info: EdgeInfo = {
      id:
        typeof givenId === 'string' && wellFormedRequestId.test(givenId)
          ? givenId
          : newId(idPrefixes.request),
      ip: isFromTrustedProxy ? this.#clientBehindProxies(peer, headers['x-forwarded-for']) : peer,
      userAgent: headers['user-agent']?.slice(0, 512) ?? null,
      isFromTrustedProxy,
      isSecure: isFromTrustedProxy
        ? lastOf(headers['x-forwarded-proto']) === 'https'
        : request.socket instanceof TLSSocket,
      isLoopback: isLoopbackAddress(peer),
    };
    (request as ReadRequest)[infoOfRequest] = info;
    return info;
  }

  #isTrusted(address: string): boolean {
    return this.#trusted !== null && isIpAllowed(this.#trusted, address);
  }

  /** From the right, the first address that is no trusted proxy: what stands left of it anyone could have written. */
  #clientBehindProxies(peer: string, forwardedFor: string | string[] | undefined): string {
    const hops = String(forwardedFor ?? '')
      .split(',')
      .map((hop) => canonicalHop(hop.trim()))
      .filter((hop) => hop !== '');
    for (const hop of hops.reverse()) {
      if (!this.#isTrusted(hop)) return hop;
    }
    return hops.at(-1) ?? peer;
  }
}

/** An IPv4 address that arrived on an IPv6 socket is the IPv4 address. */
function plainAddress(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
}

/** One spelling of an address that a proxy wrote; what is no address stays as it is, and no restriction allows it. */
function canonicalHop(hop: string): string {
  return canonicalIp(hop) ?? hop;
}

function isLoopbackAddress(address: string): boolean {
  return address.startsWith('127.') || address === '::1' || address === '';
}

function lastOf(header: string | string[] | undefined): string | undefined {
  return String(header ?? '')
    .split(',')
    .at(-1)
    ?.trim()
    .toLowerCase();
}
