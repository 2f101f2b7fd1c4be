import type { IncomingMessage, ServerResponse } from 'node:http';
import { idPrefixes, isId } from '../ids/ids.ts';
import { type Log, serializeRequest } from '../logs/log.ts';
import { noteOf } from '../logs/request-note.ts';
import type { EdgeAnswer } from './answer.ts';
import { type EdgeEndpoint, isRawEndpoint, type RawEndpoint, toAppError } from './edge.ts';
import type { EdgeRequest } from './edge-request.ts';
import { splitIssuerPath } from './issuer-path.ts';
import type { EdgeInfo } from './request-info.ts';
import { RefusingEndpoint, type RuntimeRoute } from './runtime-routes.ts';

/**
 * The same route, each request of which has a line in the log as those of the management API have; a refused one says
 * why. The URL is no part of it: codes, states and the names of sign-ins stand there. Preflights are passed over.
 */
export function loggedRoute(route: RuntimeRoute, log: Pick<Log, 'info'>): RuntimeRoute {
  const { path, issuer, methods, isPublic = false } = route;
  const pattern = issuer === 'required' ? `/:issuer_id${path}` : path;
  const refusing = route.refusing ?? ((error) => new RefusingEndpoint(error, isPublic));
  const logged = (endpoint: EdgeEndpoint | RawEndpoint) =>
    isRawEndpoint(endpoint)
      ? new LoggedRawEndpoint(endpoint, pattern, log)
      : new LoggedEndpoint(endpoint, pattern, log);
  return {
    ...route,
    methods: Object.fromEntries(
      Object.entries(methods).map(([method, endpoint]) => [method, logged(endpoint)]),
    ),
    refusing: (error) => new LoggedEndpoint(refusing(error), pattern, log),
  };
}

class LoggedEndpoint implements EdgeEndpoint {
  readonly #endpoint: EdgeEndpoint;
  readonly #pattern: string;
  readonly #log: Pick<Log, 'info'>;

  constructor(endpoint: EdgeEndpoint, pattern: string, log: Pick<Log, 'info'>) {
    this.#endpoint = endpoint;
    this.#pattern = pattern;
    this.#log = log;
  }

  async handle(request: EdgeRequest, info: EdgeInfo, headers: string[]): Promise<EdgeAnswer> {
    const { write } = begin(request, info, this.#pattern, this.#log);
    try {
      const answer = await this.#endpoint.handle(request, info, headers);
      write(answer.status);
      return answer;
    } catch (error) {
      write(undefined, error);
      throw error;
    }
  }
}

class LoggedRawEndpoint implements RawEndpoint {
  readonly isRaw = true;
  readonly #endpoint: RawEndpoint;
  readonly #pattern: string;
  readonly #log: Pick<Log, 'info'>;

  constructor(endpoint: RawEndpoint, pattern: string, log: Pick<Log, 'info'>) {
    this.#endpoint = endpoint;
    this.#pattern = pattern;
    this.#log = log;
  }

  async handleRaw(request: IncomingMessage, response: ServerResponse, info: EdgeInfo): Promise<void> {
    const { write, measure } = begin(request, info, this.#pattern, this.#log);
    // What is looked up for this line alone comes after the answer.
    response.once('finish', measure);
    try {
      await this.#endpoint.handleRaw(request, response, info);
      write(response.statusCode);
    } catch (error) {
      write(undefined, error);
      throw error;
    }
  }
}

/** Who answers may change the URL, so what is told of it is read first. */
function begin(request: EdgeRequest, info: EdgeInfo, routePattern: string, log: Pick<Log, 'info'>) {
  const startedMs = performance.now();
  let endedMs: number | undefined;
  const { method = '' } = request;
  const { issuerId } = splitIssuerPath(request.url ?? '');
  const write = (answered: number | undefined, error?: unknown): void => {
    const appError = error === undefined ? undefined : toAppError(error);
    const { clientId, code, reason, circumstance, droppedScopes } = noteOf(info);
    log.info(
      serializeRequest({
        method,
        routePattern,
        status: answered ?? appError?.status ?? 500,
        durationMs: (endedMs ?? performance.now()) - startedMs,
        requestId: info.id,
        issuerId: issuerId !== null && isId(idPrefixes.issuer, issuerId) ? issuerId : undefined,
        clientId,
        code: appError?.code ?? code,
        reason: appError?.detail ?? reasonOf(reason, code === undefined ? undefined : circumstance),
        droppedScopes,
      }),
      'request',
    );
  };
  return {
    write,
    /** The answer has gone out. */
    measure: () => {
      endedMs = performance.now();
    },
  };
}

function reasonOf(...parts: readonly (string | undefined)[]): string | undefined {
  return parts.filter((part) => part !== undefined).join('; ') || undefined;
}
