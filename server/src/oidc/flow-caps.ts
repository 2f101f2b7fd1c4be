import { NetworkCap } from '../limits/network-cap.ts';
import { paths } from './metadata.ts';
import { OAuthError } from './oauth-answer.ts';

/** Of what anybody may begin, each leaves a row; a minute from one network (of IPv6 a /64). */
const sameNetworkAMinute = {
  /** Sign-ins that are begun: those of a whole office, but no flood. Such rows last an hour at most. */
  begun: 600,
  /** By programs of clients, which speak for all of their users from one address. */
  pushed: 1_200,
  /** Codes of devices that are tried: there are 20^8, of which few are good. */
  tried: 30,
  /** Clients that register themselves, and stay: those of a whole office that starts with something. */
  registered: 60,
};

/** Bounds what can be had of the runtime without a credential. */
export class FlowCaps {
  readonly #begun: NetworkCap;
  readonly #pushed: NetworkCap;
  readonly #tried: NetworkCap;
  readonly #registered: NetworkCap;

  constructor(nowMs: () => number) {
    this.#begun = new NetworkCap(nowMs, sameNetworkAMinute.begun);
    this.#pushed = new NetworkCap(nowMs, sameNetworkAMinute.pushed);
    this.#tried = new NetworkCap(nowMs, sameNetworkAMinute.tried);
    this.#registered = new NetworkCap(nowMs, sameNetworkAMinute.registered);
  }

  /**
   * Counts a request for the library, or a registration.
   *
   * @param path from the slash after the issuer's id on, with its query
   * @throws slow_down (429) for one too many
   */
  count(method: string | undefined, path: string, ip: string): void {
    const [place = ''] = path.split('?', 1);
    const cap = this.#capOf(method, place);
    if (cap?.isOver(ip) !== true) return;
    throw new OAuthError(429, 'slow_down', 'too many from this network; try again in a minute', {
      'Retry-After': '60',
    });
  }

  #capOf(method: string | undefined, place: string): NetworkCap | null {
    if (place === paths.authorization) return this.#begun;
    if (place === paths.code_verification) return method === 'POST' ? this.#tried : this.#begun;
    if (method !== 'POST') return null;
    if (place === paths.registration) return this.#registered;
    return place === paths.pushed_authorization_request || place === paths.device_authorization
      ? this.#pushed
      : null;
  }
}
