/**
 * Why a call was not made or came to nothing.
 *
 * - `blocked_url`, `blocked_address`: refused by us, before any connection
 * - `busy`: not tried, since too many calls are under way here or the node is stopping; says nothing of the receiver
 * - `timeout`: the answer was not complete in time, name look-up, connection and body together
 * - `too_large`: more header fields or more body than asked for
 * - `tls`: the receiver’s certificate or protocol was not accepted
 * - `network`: no such name, no connection, or an answer that is not HTTP
 */
export const outboundReasons = [
  'blocked_url',
  'blocked_address',
  'busy',
  'timeout',
  'too_large',
  'tls',
  'network',
] as const;

export type OutboundReason = (typeof outboundReasons)[number];

const messages: Record<OutboundReason, string> = {
  blocked_url: 'The URL is not one that may be called.',
  blocked_address: 'The host is, or its name leads to, an address that may not be called.',
  busy: 'Too many calls are under way; this one was not made.',
  timeout: 'The receiver did not answer in time.',
  too_large: 'The answer is larger than is accepted.',
  tls: 'The receiver’s TLS certificate or protocol was not accepted.',
  network: 'The receiver could not be reached or did not answer in HTTP.',
};

interface Options {
  /** In place of the reason’s own sentence. */
  message?: string;
  /** The system’s name of what went wrong, such as `ECONNREFUSED` or `CERT_HAS_EXPIRED`. */
  code?: string | undefined;
  cause?: unknown;
}

/**
 * A call that did not bring an answer. Its message and code may be shown to whoever chose the URL: they hold no address that a
 * name led to and nothing that the receiver sent. `cause` is for the log.
 */
export class OutboundError extends Error {
  readonly reason: OutboundReason;
  readonly code: string | undefined;

  constructor(reason: OutboundReason, { message = messages[reason], code, cause }: Options = {}) {
    super(code === undefined ? message : `${message} (${code})`, { cause });
    this.name = 'OutboundError';
    this.reason = reason;
    this.code = code;
  }

  /** Whether the same call may succeed later without anybody changing its URL or our settings. */
  get isTemporary(): boolean {
    return this.reason !== 'blocked_url' && this.reason !== 'blocked_address';
  }
}
