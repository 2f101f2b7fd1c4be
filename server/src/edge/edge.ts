import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { AppError } from '../errors.ts';
import { explainEmptyPart } from '../http/empty-part.ts';
import { isUnavailable } from '../postgres/unavailable.ts';
import { authorizePathPrefix } from '../verification/authorize.ts';
import { type EdgeAnswer, problemAnswer, writeAnswer } from './answer.ts';
import { isPreflight } from './cors.ts';
import type { EdgeRequest } from './edge-request.ts';
import type { EdgeInfo, RequestInfoReader } from './request-info.ts';
import type { RuntimeRoutes } from './runtime-routes.ts';

/** An operation that the edge answers itself. `headers` collects what the answer needs, an error's too. */
export interface EdgeEndpoint {
  handle(request: EdgeRequest, info: EdgeInfo, headers: string[]): Promise<EdgeAnswer>;
}

/** An operation that writes its answer itself, since what carries it out knows no other way. */
export interface RawEndpoint {
  readonly isRaw: true;
  /** Rejects only with what is a fault of ours. */
  handleRaw(request: IncomingMessage, response: ServerResponse, info: EdgeInfo): Promise<void>;
}

export function isRawEndpoint(endpoint: EdgeEndpoint | RawEndpoint): endpoint is RawEndpoint {
  return 'isRaw' in endpoint;
}

interface Dependencies {
  requestInfo: RequestInfoReader;
  verify: EdgeEndpoint;
  verifyBatch: EdgeEndpoint;
  me: EdgeEndpoint;
  authorize: EdgeEndpoint;
  reportLeak: EdgeEndpoint;
  preflight: EdgeEndpoint;
  /** What lies below `/auth` and below an issuer's id. */
  runtime: RuntimeRoutes;
  docsBaseUrl: string;
  onError: (error: unknown, info: EdgeInfo) => void;
}

const noHost = 'A request by HTTP/1.1 has to name its Host.';
const severalHosts = 'A request names one Host.';

/** Probes of the machine that runs us come by plain HTTP from wherever it is; they tell nothing worth hiding. */
const plainHttpPaths = new Set(['/healthz', '/readyz']);

/**
 * The front of the server: what every request goes through (request id, HTTPS, preflights), the few operations that
 * have to be quick, and Fastify for everything else.
 */
export class Edge {
  readonly #deps: Dependencies;
  readonly #fastify: RequestListener;

  constructor(deps: Dependencies, fastify: RequestListener) {
    this.#deps = deps;
    this.#fastify = fastify;
  }

  /** The listener of a bare node:http server. */
  readonly listener: RequestListener = (request, response) => {
    const info = this.#deps.requestInfo.read(request);
    const { host } = request.headers;
    // A second Host comes joined to the first. Who is in front of us may have gone by either (RFC 9112 §3.2).
    const hostFault = host === undefined ? noHost : host.includes(',') ? severalHosts : null;
    if (hostFault !== null && (host !== undefined || request.httpVersion !== '1.0')) {
      this.#refuse(response, new AppError('bad_request', { detail: hostFault }), info);
      return;
    }
    const encoding = request.headers['transfer-encoding'];
    if (encoding !== undefined && encoding.toLowerCase() !== 'chunked') {
      // Where such a body ends nobody can tell (RFC 9112 §6.1). The parser finds that out as well, but only once the
      // request is on its way, and would hang up on one that is being carried out.
      const error = new AppError('bad_request', { detail: 'A Transfer-Encoding can only be chunked.' });
      this.#refuse(response, error, info, ['Connection', 'close']);
      return;
    }
    const path = pathOf(originForm(request));
    if (!info.isSecure && needsHttps(info, path)) {
      this.#refuse(response, httpsRequired(info), info);
      return;
    }
    const endpoint = isPreflight(request.method, request.headers)
      ? (this.#deps.runtime.findPreflight(path) ?? this.#deps.preflight)
      : this.#endpointOf(request.method, path);
    if (endpoint !== null) {
      if (isRawEndpoint(endpoint)) void this.#answerRaw(endpoint, request, response, info);
      else void this.#answer(endpoint, request, response, info);
      return;
    }
    response.setHeader('X-Request-Id', info.id);
    response.setHeader('X-Content-Type-Options', 'nosniff');
    this.#fastify(request, response);
  };

  /**
   * Answers a request that has come in whole and is for one of the quick operations, preflights apart; `headers` takes
   * the answer's. Never rejects.
   */
  answerWhole(request: EdgeRequest, headers: string[]): Promise<EdgeAnswer> {
    const { requestInfo, docsBaseUrl } = this.#deps;
    const info = requestInfo.read(request);
    const path = pathOf(request.url ?? '/');
    if (!info.isSecure && needsHttps(info, path))
      return Promise.resolve(problemAnswer(httpsRequired(info), info.id, docsBaseUrl, headers));
    const endpoint = this.#endpointOf(request.method, path);
    if (endpoint === null || isRawEndpoint(endpoint)) throw new Error('no quick operation');
    return this.#carryOut(endpoint, request, info, headers);
  }

  #endpointOf(method: string | undefined, path: string): EdgeEndpoint | RawEndpoint | null {
    const { verify, verifyBatch, me, authorize, reportLeak, runtime } = this.#deps;
    if (path === '/v1/keys/verify' && method === 'POST') return verify;
    if (path === '/v1/keys/verify-batch' && method === 'POST') return verifyBatch;
    if (path.startsWith(authorizePathPrefix)) return authorize;
    if (path === '/v1/me' && (method === 'GET' || method === 'HEAD')) return me;
    if (path === '/v1/keys/report-leak' && method === 'POST') return reportLeak;
    return path.startsWith('/v1/') ? null : runtime.find(method, path);
  }

  async #answer(
    endpoint: EdgeEndpoint,
    request: IncomingMessage,
    response: ServerResponse,
    info: EdgeInfo,
  ): Promise<void> {
    const headers: string[] = [];
    const answer = await this.#carryOut(endpoint, request, info, headers);
    // The rest of a body that nobody will read must not hold the connection.
    if (!request.complete && answer.status === 413) headers.push('Connection', 'close');
    try {
      writeAnswer(response, headers, answer);
    } catch (error) {
      // A field that node:http does not take: whatever it was to say, it is not said.
      this.#deps.onError(error, info);
      response.destroy();
    }
  }

  async #answerRaw(
    endpoint: RawEndpoint,
    request: IncomingMessage,
    response: ServerResponse,
    info: EdgeInfo,
  ): Promise<void> {
    // Whoever answers may change it.
    const { url } = request;
    try {
      await endpoint.handleRaw(request, response, info);
    } catch (error) {
      const appError = toAppError(error);
      if (appError.status >= 500) this.#deps.onError(error, info);
      if (response.headersSent) response.destroy();
      else this.#refuse(response, explainEmptyPart(appError, url), info);
    }
  }

  async #carryOut(
    endpoint: EdgeEndpoint,
    request: EdgeRequest,
    info: EdgeInfo,
    headers: string[],
  ): Promise<EdgeAnswer> {
    try {
      return await endpoint.handle(request, info, headers);
    } catch (error) {
      const appError = toAppError(error);
      if (appError.status >= 500) this.#deps.onError(error, info);
      const explained = explainEmptyPart(appError, request.url);
      return problemAnswer(explained, info.id, this.#deps.docsBaseUrl, headers);
    }
  }

  #refuse(response: ServerResponse, error: AppError, info: EdgeInfo, headers: string[] = []): void {
    writeAnswer(response, headers, problemAnswer(error, info.id, this.#deps.docsBaseUrl, headers));
  }
}

function pathOf(url: string): string {
  const queryAt = url.indexOf('?');
  return queryAt === -1 ? url : url.slice(0, queryAt);
}

/** Whoever calls from the proxy's own machine is taken for the proxy, which says in what way it was called itself. */
function httpsRequired({ isFromTrustedProxy }: EdgeInfo): AppError {
  if (!isFromTrustedProxy) return new AppError('https_required');
  return new AppError('https_required', {
    detail:
      'Your address is a trusted proxy (GATELODGE_TRUSTED_PROXIES): use HTTPS, or send X-Forwarded-Proto: https where TLS ended in front of it.',
  });
}

/**
 * Whether plain HTTP may not reach this path. A proxy is asked whether TLS ended at it, and one on this machine too: it
 * passes on what came from elsewhere. But with a request to authorize it speaks of the request that it holds and asks
 * about, for which it has to answer itself; the question comes from the proxy and goes no further than to us.
 */
function needsHttps({ isLoopback, isFromTrustedProxy }: EdgeInfo, path: string): boolean {
  if (plainHttpPaths.has(path)) return false;
  if (path.startsWith(authorizePathPrefix)) return !isLoopback && !isFromTrustedProxy;
  return !isLoopback || isFromTrustedProxy;
}

/**
 * Path and query of a request. A server takes the whole URL as well (RFC 9112 §3.2.2); from here on nothing meets it,
 * so that no check on a path can be passed by.
 */
function originForm(request: IncomingMessage): string {
  const url = request.url ?? '/';
  if (url.startsWith('/')) return url;
  const path = url.replace(/^https?:\/\/[^/?#]*/i, '');
  request.url = path.startsWith('/') ? path : `/${path}`;
  return request.url;
}

/** What an error of whatever kind becomes for the caller; only the log learns more. */
export function toAppError(error: unknown): AppError {
  if (error instanceof AppError) return error;
  if (isUnavailable(error))
    return new AppError('unavailable', { headers: { 'Retry-After': '1' }, cause: error });
  return new AppError('internal_error', { cause: error });
}
