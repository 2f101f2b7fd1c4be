import { canonicalIp } from '../api-keys/ip-ranges.ts';
import type { Principal } from '../authentication/principal.ts';
import type { RequestInfo } from '../edge/request-info.ts';
import { scrub } from '../logs/scrub.ts';
import type { Actor } from './event.ts';

const maxUserAgent = 512;

/**
 * The caller of an operation as its events name it. Address and User-Agent are what the client and the proxies wrote:
 * what is no address is left out, and what looks like a secret (a key pasted into the wrong setting) is taken out.
 */
export function actorOf(principal: Pick<Principal, 'keyId'>, info: RequestInfo): Actor {
  return { type: 'api_key', id: principal.keyId, ...whence(info) };
}

/** The same of a user who acts by its own token. */
export function actorOfUser(userId: string, info: RequestInfo): Actor {
  return { type: 'user', id: userId, ...whence(info) };
}

/** Somebody whom the request does not name: what the installation did, and where the request came from. */
export function actorOfSystem(id: string, info: RequestInfo): Actor {
  return { type: 'system', id, ...whence(info) };
}

function whence(info: RequestInfo): Pick<Actor, 'ip' | 'user_agent'> {
  return {
    ip: canonicalIp(info.ip),
    // Cut only then: half a secret would not look like one. The first cut keeps a hostile header from costing time.
    user_agent:
      info.userAgent === null
        ? null
        : scrub(info.userAgent.slice(0, 2 * maxUserAgent)).slice(0, maxUserAgent),
  };
}
