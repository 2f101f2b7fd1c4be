import { Resolver } from 'node:dns/promises';
import { OutboundError } from './outbound-error.ts';

/** Codes that mean an answer without addresses of the family asked for. */
const noAddresses = new Set(['ENODATA', 'ENOTFOUND']);

/** More than any service has; an answer of DNS has room for thousands, each of which would be judged. */
const maxAddresses = 64;

interface Options {
  /** `address:port` of the DNS servers to ask instead of those of this machine; for tests. */
  servers?: readonly string[] | undefined;
}

/**
 * Asks DNS for all addresses of a name. Not by getaddrinfo: its blocking look-ups run on the threads that also write the
 * ledger, so that names whose servers do not answer would hold up every decision about a key.
 */
export class NameResolver {
  readonly #servers: readonly string[] | undefined;

  constructor({ servers }: Options = {}) {
    this.#servers = servers;
  }

  /**
   * Every IPv4 and IPv6 address of the name, asked for once each; aliases are followed. Gives up as soon as `signal` does.
   *
   * @throws OutboundError `network` where it has none or too many, or DNS does not tell
   */
  async resolve(name: string, signal: AbortSignal): Promise<string[]> {
    // One of its own each time, so that giving up on one name ends no other’s look-up.
    const resolver = new Resolver({ timeout: 2_000, tries: 2 });
    if (this.#servers !== undefined) resolver.setServers(this.#servers);
    const cancel = () => resolver.cancel();
    signal.addEventListener('abort', cancel);
    try {
      const answers = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)]);
      const addresses = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
      if (addresses.length > maxAddresses) throw new OutboundError('network', { code: 'ETOOMANYADDRESSES' });
      if (addresses.length > 0) return addresses;
      const failures = answers.flatMap((answer) =>
        answer.status === 'rejected' ? [answer.reason as NodeJS.ErrnoException] : [],
      );
      const failure = failures.find(({ code = '' }) => !noAddresses.has(code)) ?? failures[0];
      throw new OutboundError('network', { code: failure?.code ?? 'ENODATA', cause: failure });
    } finally {
      signal.removeEventListener('abort', cancel);
    }
  }
}
