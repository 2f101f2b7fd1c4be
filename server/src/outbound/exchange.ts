import { Agent as HttpAgent, type IncomingMessage, request as requestHttp } from 'node:http';
import { Agent as HttpsAgent, request as requestHttps } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { BoundedBody } from './bounded-body.ts';
import { OutboundError } from './outbound-error.ts';

/** What a receiver answered, whatever its status: redirects are answers like any other. */
export interface OutboundAnswer {
  /** 200 to 599. */
  readonly status: number;
  readonly headers: Headers;
  /** As it was sent: nothing is decompressed. */
  readonly body: Buffer;
  /** Whether the body went on past `maxBytes`; only where the call said `truncate`. */
  readonly isTruncated: boolean;
}

export interface Exchange {
  url: URL;
  method: string;
  headers: Headers;
  body: Buffer | undefined;
  /** The addresses that may be connected to, at least one. The name is not looked up again. */
  addresses: readonly string[];
  maxBytes: number;
  truncate: boolean;
  signal: AbortSignal;
  /** PEM of the authorities to trust in place of the usual ones. */
  ca: string | undefined;
}

const maxHeaderBytes = 16 * 1024;
/** Answers such as 103 that may come before the real one. */
const maxInterimAnswers = 8;
/** A name may have hundreds of addresses, each of which would be tried. */
const maxAddresses = 8;

// A connection of its own for each call: one that is kept would be to an address checked for somebody else’s URL. Agents made
// here also take no proxy from the environment, past which our check of the address would mean nothing.
const httpAgent = new HttpAgent({ keepAlive: false });
const httpsAgent = new HttpsAgent({ keepAlive: false, maxCachedSessions: 0 });

/** Sends one request and reads its answer. @throws OutboundError, or anything at all once `signal` is aborted */
export function exchange(call: Exchange): Promise<OutboundAnswer> {
  const isHttps = call.url.protocol === 'https:';
  const progress = { isConnected: false, isSecured: false };
  return new Promise((resolve, reject) => {
    const fail = (error: unknown) => reject(asOutboundError(error, isHttps, progress));
    const options = {
      method: call.method,
      headers: Object.fromEntries(call.headers),
      lookup: pinnedTo(call.addresses.slice(0, maxAddresses)),
      autoSelectFamilyAttemptTimeout: 1_000,
      maxHeaderSize: maxHeaderBytes,
      insecureHTTPParser: false,
      signal: call.signal,
    };
    const request = isHttps
      ? requestHttps(call.url, {
          ...options,
          agent: httpsAgent,
          // Said aloud, for NODE_TLS_REJECT_UNAUTHORIZED in the environment would turn it off.
          rejectUnauthorized: true,
          ca: call.ca,
        })
      : requestHttp(call.url, { ...options, agent: httpAgent });
    request.on('error', fail);
    request.once('socket', (socket) => {
      socket.once('connect', () => (progress.isConnected = true));
      socket.once('secureConnect', () => (progress.isSecured = true));
    });
    let interimAnswers = 0;
    request.on('information', () => {
      if (++interimAnswers > maxInterimAnswers) request.destroy(new OutboundError('too_large'));
    });
    // Without somebody who listens for it nothing at all would be heard of such an answer.
    request.once('upgrade', (_response, socket) => {
      socket.destroy();
      fail(withoutStatus());
    });
    request.once('response', (response) => {
      read(response, call).then(resolve, fail);
    });
    request.end(call.body);
  });
}

/** In place of a look-up: the addresses that have been checked, so that no second answer of DNS can slip in another. */
function pinnedTo(addresses: readonly string[]): LookupFunction {
  const all = addresses.map((address) => ({ address, family: isIP(address) }));
  return (_name, { all: wantsAll }, callback) => {
    if (wantsAll) callback(null, all);
    else callback(null, all[0]?.address ?? '', all[0]?.family);
  };
}

/** Leaving the loop early closes the connection. */
async function read(response: IncomingMessage, call: Exchange): Promise<OutboundAnswer> {
  const { statusCode = 0 } = response;
  if (statusCode < 200 || statusCode > 599) {
    response.destroy();
    throw withoutStatus();
  }
  const body = new BoundedBody(call.maxBytes);
  let isTruncated = false;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    isTruncated = !body.add(chunk);
    if (isTruncated && call.truncate) break;
    if (isTruncated) throw new OutboundError('too_large');
  }
  return { status: statusCode, headers: headersOf(response), body: body.read(), isTruncated };
}

function withoutStatus(): OutboundError {
  return new OutboundError('network', { message: 'The answer has no status that ends a request.' });
}

function headersOf({ rawHeaders }: IncomingMessage): Headers {
  const headers = new Headers();
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    headers.append(rawHeaders[index] ?? '', rawHeaders[index + 1] ?? '');
  }
  return headers;
}

/** Ends of a connection, which a handshake meets as any other part does. */
const disconnects = new Set(['ECONNRESET', 'EPIPE', 'ETIMEDOUT']);

function asOutboundError(
  error: unknown,
  isHttps: boolean,
  { isConnected, isSecured }: { isConnected: boolean; isSecured: boolean },
): OutboundError {
  if (error instanceof OutboundError) return error;
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'HPE_HEADER_OVERFLOW') return new OutboundError('too_large', { code, cause: error });
  const isHandshake = isHttps && isConnected && !isSecured && !disconnects.has(code ?? '');
  return new OutboundError(isHandshake ? 'tls' : 'network', { code, cause: error });
}
