import type { RequestListener, Server } from 'node:http';
import Fastify, {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
} from 'fastify';
import { authenticateChallenge } from '../edge/answer.ts';
import { createClientErrorHandler } from '../edge/client-error.ts';
import { toAppError } from '../edge/edge.ts';
import { maxBodyBytes } from '../edge/read-body.ts';
import { requestInfoOf } from '../edge/request-info.ts';
import { AppError, type ErrorCode, methodNotAllowed } from '../errors.ts';
import { noteOf, noteOnRequest } from '../logs/request-note.ts';
import type { Services } from '../services.ts';
import { explainEmptyPart } from './empty-part.ts';
import { parseJson } from './json-body.ts';
import { problemContentType, toProblem } from './problem.ts';
import type { Route } from './route.ts';
import { registerRoutes } from './router.ts';

/**
 * Makes the Fastify side of the server: the management API and everything else that need not be quick.
 *
 * @param createServer takes Fastify's request listener and makes the server that stands before it
 */
export function createApp(
  services: Services,
  routes: readonly Route[],
  createServer: (listener: RequestListener) => Server,
): FastifyInstance {
  const app = Fastify({
    logger: false,
    bodyLimit: maxBodyBytes,
    exposeHeadRoutes: true,
    routerOptions: { maxParamLength: 64, caseSensitive: true },
    serverFactory: (listener) => createServer(listener as RequestListener),
    // The edge counts and closes connections itself.
    forceCloseConnections: false,
    clientErrorHandler: createClientErrorHandler(services.settings.publicUrl),
    requestIdHeader: false,
    genReqId: (request) => requestInfoOf(request as never).id,
    // What fails before a route is found would else be answered in a form of Fastify's own.
    frameworkErrors: (error, request, reply) => {
      sendProblem(services, request, reply, fromFastify(error));
    },
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(
    ['application/json', 'application/merge-patch+json'],
    { parseAs: 'buffer' },
    (_request, bytes, done) => {
      try {
        done(null, parseJson(bytes as Buffer));
      } catch (error) {
        done(error as Error);
      }
    },
  );
  // Where there is no route, that is what is wrong, whatever Fastify makes of the rest (a QUERY without a media type).
  app.setErrorHandler((error: FastifyError, request, reply) =>
    sendProblem(services, request, reply, request.is404 ? unknownRoute(routes, request) : fromFastify(error)),
  );
  app.setNotFoundHandler((request, reply) =>
    sendProblem(services, request, reply, unknownRoute(routes, request)),
  );
  app.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url ?? 'unknown';
    const note = noteOf(requestInfoOf(request.raw));
    services.metrics.observe(request.method, route, reply.statusCode, reply.elapsedTime / 1000);
    services.log.info(
      {
        method: request.method,
        route,
        status: reply.statusCode,
        duration_ms: Math.round(reply.elapsedTime),
        request_id: requestInfoOf(request.raw).id,
        account_id: request.principal?.accountId,
        key_id: request.principal?.keyId,
        support_grant_id: request.principal?.supportGrantId ?? undefined,
        code: note.code,
        field: note.field,
      },
      'request',
    );
  });
  registerRoutes(app, routes, services);
  return app;
}

const codeOfFastifyError: Record<string, ErrorCode> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'body_too_large',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported_media_type',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'bad_request',
  FST_ERR_BAD_URL: 'bad_request',
  FST_ERR_MAX_PARAM_LENGTH: 'route_not_found',
};

/** What Fastify holds the client to account for is never our failure, also where no code of ours says it better. */
function fromFastify(error: FastifyError | Error): unknown {
  const { code, statusCode = 500 } = error as Partial<FastifyError>;
  const known = code === undefined ? undefined : codeOfFastifyError[code];
  if (known !== undefined) return new AppError(known, { cause: error });
  return statusCode >= 400 && statusCode < 500 ? new AppError('bad_request', { cause: error }) : error;
}

function sendProblem(services: Services, request: FastifyRequest, reply: FastifyReply, error: unknown) {
  const info = requestInfoOf(request.raw);
  const appError = explainEmptyPart(toAppError(error), request.raw.url);
  noteOnRequest(info, { code: appError.code, field: fieldOf(appError) });
  if (appError.status >= 500)
    services.log.error({ err: appError.cause ?? error, request_id: info.id }, 'request failed');
  if (appError.status === 401) reply.header('WWW-Authenticate', authenticateChallenge);
  if (appError.status === 413) reply.header('Connection', 'close');
  // As bytes: to text Fastify would add a charset, which this media type does not have.
  return reply
    .code(appError.status)
    .headers({ ...appError.headers, 'Cache-Control': 'no-store', 'Content-Type': problemContentType })
    .send(Buffer.from(JSON.stringify(toProblem(appError, info.id, services.settings.publicUrl))));
}

/** Which member is wrong first; where nobody knows it, in which one it stands, since its name may be anything. */
function fieldOf({ errors: [first] = [] }: AppError): string | undefined {
  const whole = first?.path ?? '';
  const path = first?.code === 'unknown_member' ? whole.slice(0, Math.max(0, whole.lastIndexOf('.'))) : whole;
  return /^[\w.[\]]{1,200}$/.test(path) ? path : undefined;
}

/** 405 with what the path does answer, else 404. */
function unknownRoute(routes: readonly Route[], request: FastifyRequest): AppError {
  const path = request.url.split('?', 1)[0]!;
  const matching = routes.filter((route) =>
    new RegExp(`^${route.path.replaceAll('.', '\\.').replaceAll(/\{\w+\}/g, '[^/]+')}$`).test(path),
  );
  // A word in the path goes before a parameter in its place.
  const parametersOf = (route: Route) => route.path.split('{').length;
  const fewest = Math.min(...matching.map(parametersOf));
  const methods = matching
    .filter((route) => parametersOf(route) === fewest)
    .flatMap((route) => (route.method === 'GET' ? ['GET', 'HEAD'] : [route.method]));
  // One that the edge answers elsewhere, such as below a well-formed id alone.
  if (methods.length === 0 || methods.includes(request.method)) return new AppError('route_not_found');
  return methodNotAllowed([...new Set(methods)].join(', '));
}
