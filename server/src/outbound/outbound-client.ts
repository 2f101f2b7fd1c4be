import { isIP } from 'node:net';
import { packageVersion } from '../version.ts';
import { AddressPolicy } from './address-policy.ts';
import { type CallSlotLimits, CallSlots } from './call-slots.ts';
import { exchange, type OutboundAnswer } from './exchange.ts';
import { NameResolver } from './name-resolver.ts';
import { OutboundError, type OutboundReason, outboundReasons } from './outbound-error.ts';
import {
  badAddress,
  checkOutboundUrl,
  hostOf,
  isLoopbackName,
  needsHttps,
  type UrlCheck,
} from './outbound-url.ts';
import { outgoingHeaders } from './outgoing-headers.ts';

export type { OutboundAnswer } from './exchange.ts';

export interface OutboundRequest {
  /** On whose behalf; null for a call of the installation’s own. Bounds how many calls are under way. */
  accountId: string | null;
  method?: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Those that say where and how the message goes (`Host`, `Content-Length`, `Cookie` …) are ours and left out. */
  headers?: Headers | Readonly<Record<string, string>> | Iterable<[string, string]>;
  body?: string | Uint8Array;
  /** For everything from the look-up of the name to the end of the body. 10,000 unless given. */
  timeoutMs?: number;
  /** What the body of the answer may have. 65,536 unless given. */
  maxBytes?: number;
  /** Cuts a longer body off instead of failing with `too_large`, for whom the status is what counts. */
  truncate?: boolean;
  /** Gives up earlier: with `timeout` for the reason of `AbortSignal.timeout`, else by throwing the signal’s reason. */
  signal?: AbortSignal | null | undefined;
}

export interface OutboundOptions {
  /** Networks in CIDR notation that may be called although private; plain http reaches these only. */
  allow: readonly string[];
  /** For tests: the DNS servers to ask, as `address:port`. */
  dnsServers?: readonly string[];
  /** For tests: PEM of the authorities to trust in place of the usual ones. */
  ca?: string;
  /** For tests. */
  ownAddresses?: () => readonly string[];
  slots?: Partial<CallSlotLimits>;
}

const defaultSlots: CallSlotLimits = {
  overall: 64,
  reserved: 16,
  perAccount: 8,
  waiting: 100,
  waitMs: 2_000,
};

/**
 * The one way by which the server calls a URL that somebody else chose: webhooks, logout, client metadata, keys. It reaches the
 * internet by https, and what GATELODGE_OUTBOUND_ALLOW names; everything private, reserved or local is refused, at whatever
 * spelling or name (OWASP SSRF prevention, security considerations of RFC 9700 and of Standard Webhooks).
 *
 * A name is looked up once per call and all its addresses are checked before one of them is connected to. Redirects are
 * answers, never followed; no proxy, no cookies, no compression, no connection kept.
 */
export class OutboundClient {
  readonly #policy: AddressPolicy;
  readonly #resolver: NameResolver;
  readonly #slots: CallSlots;
  readonly #ca: string | undefined;
  readonly #underWay = new Set<AbortController>();
  #isClosed = false;
  readonly #counts = Object.fromEntries(
    ['answered', 'abandoned', ...outboundReasons].map((outcome) => [outcome, 0]),
  ) as Record<'answered' | 'abandoned' | OutboundReason, number>;

  constructor({ allow, dnsServers, ca, ownAddresses, slots }: OutboundOptions) {
    this.#policy = new AddressPolicy({ allow, ...(ownAddresses && { ownAddresses }) });
    this.#resolver = new NameResolver({ servers: dnsServers });
    this.#slots = new CallSlots({ ...defaultSlots, ...slots });
    this.#ca = ca;
  }

  /** Calls so far by how they ended; `abandoned` ones were given up by who made them. */
  get counts(): Readonly<Record<string, number>> {
    return this.#counts;
  }

  /** Calls that are being made now. */
  get underWay(): number {
    return this.#underWay.size;
  }

  /** Whether a URL may be set as one to call later: its form and, where its host is an address, that address. */
  checkUrl(text: string): UrlCheck {
    return checkOutboundUrl(text, this.#policy);
  }

  /**
   * The same, and what the name leads to at present; asks DNS, so not within a transaction. A name that leads nowhere yet, or
   * is not found out about in time, is no reason to refuse it: it is looked at again at each call.
   */
  async checkUrlAndName(
    text: string,
    { accountId, timeoutMs = 2_000 }: Pick<OutboundRequest, 'accountId' | 'timeoutMs'>,
  ): Promise<UrlCheck> {
    const check = this.checkUrl(text);
    if (!check.ok) return check;
    try {
      await this.#inTurn({ accountId, timeoutMs }, (signal) => this.#addressesOf(check.url, signal));
    } catch (error) {
      if (!(error instanceof OutboundError)) throw error;
      if (error.reason === 'blocked_address') return badAddress();
      if (error.reason === 'blocked_url') return needsHttps();
    }
    return check;
  }

  /**
   * Makes one call, waiting its turn where many are under way.
   *
   * @throws OutboundError where it brings no answer
   */
  async fetch(url: string | URL, request: OutboundRequest): Promise<OutboundAnswer> {
    try {
      const answer = await this.#fetch(String(url), request);
      this.#counts.answered++;
      return answer;
    } catch (error) {
      this.#counts[error instanceof OutboundError ? error.reason : 'abandoned']++;
      throw error;
    }
  }

  /** Gives up what is under way and takes no more: for a node that stops. */
  close(): void {
    this.#isClosed = true;
    for (const call of this.#underWay) call.abort(new OutboundError('busy'));
  }

  async #fetch(text: string, request: OutboundRequest): Promise<OutboundAnswer> {
    const check = this.checkUrl(text);
    if (!check.ok) throw new OutboundError(check.reason, { message: sentence(check.message) });
    const { url } = check;
    const headers = outgoingHeaders(request.headers, { 'User-Agent': `Gatelodge/${packageVersion}` });
    const { method = 'GET', body, maxBytes = 65_536, truncate = false } = request;
    return this.#inTurn(request, async (signal) => {
      const addresses = await this.#addressesOf(url, signal);
      return exchange({
        url,
        method,
        headers,
        body: body === undefined ? undefined : Buffer.from(body),
        addresses,
        maxBytes,
        truncate,
        signal,
        ca: this.#ca,
      });
    });
  }

  #inTurn<T>(
    request: Pick<OutboundRequest, 'accountId' | 'timeoutMs' | 'signal'>,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    return this.#slots.run(request.accountId, () => this.#withDeadline(request, work));
  }

  /** One answer of DNS, refused as a whole if a single address in it is: who mixes them in tries to get there. */
  async #addressesOf(url: URL, signal: AbortSignal): Promise<readonly string[]> {
    const host = hostOf(url);
    if (isLoopbackName(host)) return this.#loopback();
    const addresses = isIP(host) === 0 ? await this.#resolver.resolve(host, signal) : [host];
    const verdicts = this.#policy.judge(addresses);
    const isAllNamed = verdicts.every((verdict) => verdict === 'named');
    if (url.protocol === 'http:' && !isAllNamed) throw refusalOf(needsHttps());
    if (verdicts.includes('blocked')) throw refusalOf(badAddress());
    return addresses;
  }

  /** Both of them are this machine, so here it is enough that one is named. */
  #loopback(): string[] {
    const both = ['127.0.0.1', '::1'];
    const verdicts = this.#policy.judge(both);
    const named = both.filter((_address, index) => verdicts[index] === 'named');
    if (named.length === 0) throw refusalOf(badAddress());
    return named;
  }

  /** Runs `work` with a signal for the first of deadline, caller’s signal and close, and never waits longer than that. */
  async #withDeadline<T>(
    { timeoutMs = 10_000, signal }: Pick<OutboundRequest, 'timeoutMs' | 'signal'>,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    if (this.#isClosed) throw new OutboundError('busy');
    const call = new AbortController();
    const giveUp = () => call.abort(reasonOf(signal));
    const timer = setTimeout(() => call.abort(new OutboundError('timeout')), timeoutMs);
    signal?.addEventListener('abort', giveUp);
    this.#underWay.add(call);
    if (signal?.aborted) giveUp();
    try {
      call.signal.throwIfAborted();
      return await Promise.race([work(call.signal), rejectionOf(call.signal)]);
    } catch (error) {
      // Whatever the connection says of being cut off, this is why.
      throw call.signal.aborted ? call.signal.reason : error;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', giveUp);
      this.#underWay.delete(call);
    }
  }
}

function reasonOf(signal: AbortSignal | null | undefined): unknown {
  const reason: unknown = signal?.reason;
  const isTimeout = reason instanceof DOMException && reason.name === 'TimeoutError';
  return isTimeout ? new OutboundError('timeout', { cause: reason }) : reason;
}

function rejectionOf(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
}

function refusalOf({ reason, message }: UrlCheck & { ok: false }): OutboundError {
  return new OutboundError(reason, { message: sentence(message) });
}

/** The words for a form field, as an error of their own. */
function sentence(message: string): string {
  return `${message.charAt(0).toUpperCase()}${message.slice(1)}.`;
}
