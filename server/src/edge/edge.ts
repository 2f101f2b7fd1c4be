import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { AppError } from '../errors.ts';
import { isUnavailable } from '../postgres/unavailable.ts';
import { authorizePathPrefix } from '../verification/authorize.ts';
import { writeProblem } from './answer.ts';
import { isPreflight } from './cors.ts';
import type { EdgeInfo, RequestInfoReader } from './request-info.ts';

/** An operation that the edge answers itself. `headers` collects what the answer needs, an error's too. */
export interface EdgeEndpoint {
  handle(
    request: IncomingMessage,
    response: ServerResponse,
    info: EdgeInfo,
    headers: string[],
  ): Promise<void>;
}

interface Dependencies {
  requestInfo: RequestInfoReader;
  verify: EdgeEndpoint;
  verifyBatch: EdgeEndpoint;
  me: EdgeEndpoint;
  authorize: EdgeEndpoint;
  reportLeak: EdgeEndpoint;
  preflight: EdgeEndpoint;
  docsBaseUrl: string;
  onError: (error: unknown, info: EdgeInfo) => void;
}

const noHost = 'A request by HTTP/1.1 has to name its Host.';
const severalHosts = 'A request names one Host.';

/** Probes of the machine that runs us come by plain HTTP from wherever it is; they tell nothing worth hiding. */
const plainHttpPaths = new Set(['/healthz', '/readyz']);

/**
 * The front of the server, on bare node:http: what every request goes through (request id, HTTPS, preflights), the
 * few operations that have to be quick, and Fastify for everything else.
 */
export function createEdge(deps: Dependencies, fastify: RequestListener): RequestListener {
  const answer = (
    endpoint: EdgeEndpoint,
    request: IncomingMessage,
    response: ServerResponse,
    info: EdgeInfo,
  ) => {
    const headers: string[] = [];
    endpoint.handle(request, response, info, headers).catch((error: unknown) => {
      const appError = toAppError(error);
      if (appError.status >= 500) deps.onError(error, info);
      // The rest of a body that nobody will read must not hold the connection.
      if (!request.complete && appError.status === 413) headers.push('Connection', 'close');
      writeProblem(response, appError, info.id, deps.docsBaseUrl, headers);
    });
  };
  return (request, response) => {
    const info = deps.requestInfo.read(request);
    const { host } = request.headers;
    // A second Host comes joined to the first. Who is in front of us may have gone by either (RFC 9112 §3.2).
    const hostFault = host === undefined ? noHost : host.includes(',') ? severalHosts : null;
    if (hostFault !== null && (host !== undefined || request.httpVersion !== '1.0')) {
      writeProblem(response, new AppError('bad_request', { detail: hostFault }), info.id, deps.docsBaseUrl);
      return;
    }
    const encoding = request.headers['transfer-encoding'];
    if (encoding !== undefined && encoding.toLowerCase() !== 'chunked') {
      // Where such a body ends nobody can tell (RFC 9112 §6.1). The parser finds that out as well, but only once the
      // request is on its way, and would hang up on one that is being carried out.
      const error = new AppError('bad_request', { detail: 'A Transfer-Encoding can only be chunked.' });
      writeProblem(response, error, info.id, deps.docsBaseUrl, ['Connection', 'close']);
      return;
    }
    const url = originForm(request);
    const queryAt = url.indexOf('?');
    const path = queryAt === -1 ? url : url.slice(0, queryAt);
    if (!info.isSecure && needsHttps(info, path)) {
      writeProblem(response, httpsRequired(info), info.id, deps.docsBaseUrl);
      return;
    }
    if (isPreflight(request.method, request.headers)) return answer(deps.preflight, request, response, info);
    if (path === '/v1/keys/verify' && request.method === 'POST')
      return answer(deps.verify, request, response, info);
    if (path === '/v1/keys/verify-batch' && request.method === 'POST')
      return answer(deps.verifyBatch, request, response, info);
    if (path.startsWith(authorizePathPrefix)) return answer(deps.authorize, request, response, info);
    if (path === '/v1/me' && (request.method === 'GET' || request.method === 'HEAD'))
      return answer(deps.me, request, response, info);
    if (path === '/v1/keys/report-leak' && request.method === 'POST')
      return answer(deps.reportLeak, request, response, info);
    response.setHeader('X-Request-Id', info.id);
    response.setHeader('X-Content-Type-Options', 'nosniff');
    fastify(request, response);
  };
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
