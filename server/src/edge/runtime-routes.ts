import { AppError, methodNotAllowed } from '../errors.ts';
import { idPrefixes, isId } from '../ids/ids.ts';
import type { EdgeAnswer } from './answer.ts';
import { readableByAnyPage } from './cached-document.ts';
import type { EdgeEndpoint, RawEndpoint } from './edge.ts';
import type { EdgeRequest } from './edge-request.ts';
import { splitIssuerPath } from './issuer-path.ts';
import type { EdgeInfo } from './request-info.ts';

type RuntimeMethod = 'GET' | 'POST' | 'PUT' | 'DELETE';

/** A path of the runtime, what an application and its users' browsers call, and who answers it. */
export interface RuntimeRoute {
  /**
   * From the slash after the issuer's id on: `/jwks.json`, `/auth/request-otp`. `/authorize/*` is each path with one more
   * segment that has no path of its own.
   */
  readonly path: string;
  /** `optional`: the same is answered without an issuer in front, as only `/auth/…` can be. */
  readonly issuer: 'required' | 'optional';
  readonly methods: Readonly<Partial<Record<RuntimeMethod, EdgeEndpoint | RawEndpoint>>>;
  /** For anybody, so a preflight of any page is told yes without a look at any key. */
  readonly isPublic?: boolean;
  /** Who answers what is refused before an endpoint meets it; without it, a problem is. */
  readonly refusing?: (error: () => AppError) => EdgeEndpoint;
}

/**
 * The runtime's part of the edge's dispatch: `/auth/…` and `/{issuer_id}/…`. HEAD is answered as GET and OPTIONS with
 * what the path takes. An endpoint meets well-formed ids alone.
 */
export class RuntimeRoutes {
  readonly #routes: ReadonlyMap<string, Answerers>;

  constructor(routes: readonly RuntimeRoute[]) {
    this.#routes = new Map(routes.map((route) => [route.path, answerersOf(route)]));
  }

  /** Who answers this request; null where the path is none of the runtime. */
  find(method: string | undefined, path: string): EdgeEndpoint | RawEndpoint | null {
    const { issuerId, answerers } = this.#at(path);
    if (answerers === null) return null;
    const answerer = answerers.byMethod.get(method ?? '');
    if (answerer === undefined) return answerers.wrongMethod;
    // What no id of ours can be names nothing, as an id does that nothing has.
    return issuerId === null || isId(idPrefixes.issuer, issuerId) ? answerer : answerers.notFound;
  }

  /** Who answers a preflight of a public path; null where that is not decided by the path alone. */
  findPreflight(path: string): EdgeEndpoint | null {
    return this.#at(path).answerers?.preflight ?? null;
  }

  #at(path: string): { issuerId: string | null; answerers: Answerers | null } {
    const { issuerId, rest } = splitIssuerPath(path);
    const answerers = this.#routes.get(rest) ?? this.#routes.get(anySegment(rest)) ?? null;
    if (issuerId === null && answerers?.needsIssuer === true) return { issuerId, answerers: null };
    return { issuerId, answerers };
  }
}

/** `/authorize/x` as the path of a route that takes any such. */
function anySegment(rest: string): string {
  const slash = rest.lastIndexOf('/');
  return slash > 0 && slash < rest.length - 1 ? `${rest.slice(0, slash)}/*` : rest;
}

interface Answerers {
  readonly needsIssuer: boolean;
  readonly byMethod: ReadonlyMap<string, EdgeEndpoint | RawEndpoint>;
  readonly wrongMethod: EdgeEndpoint;
  readonly notFound: EdgeEndpoint;
  readonly preflight: EdgeEndpoint | null;
}

function answerersOf(route: RuntimeRoute): Answerers {
  const { issuer, methods, isPublic = false } = route;
  const refusing = route.refusing ?? ((error: () => AppError) => new RefusingEndpoint(error, isPublic));
  const { GET: get } = methods;
  const own = Object.entries(methods);
  const byMethod = new Map<string, EdgeEndpoint | RawEndpoint>(
    get === undefined ? own : [...own, ['HEAD', get]],
  );
  const allow = [...byMethod.keys(), 'OPTIONS'].join(', ');
  byMethod.set('OPTIONS', new OptionsEndpoint(allow));
  const wrongMethod = () => methodNotAllowed(allow);
  return {
    needsIssuer: issuer === 'required',
    byMethod,
    wrongMethod: refusing(wrongMethod),
    notFound: refusing(() => new AppError('not_found')),
    preflight: isPublic ? new PublicPreflight(allow) : null,
  };
}

/** Answers with an error, whatever is asked. */
export class RefusingEndpoint implements EdgeEndpoint {
  readonly #error: () => AppError;
  readonly #isPublic: boolean;

  constructor(error: () => AppError, isPublic: boolean) {
    this.#error = error;
    this.#isPublic = isPublic;
  }

  handle(_request: EdgeRequest, _info: EdgeInfo, headers: string[]): Promise<EdgeAnswer> {
    if (this.#isPublic) headers.push(...readableByAnyPage);
    return Promise.reject(this.#error());
  }
}

/** RFC 9110 §9.3.7. */
class OptionsEndpoint implements EdgeEndpoint {
  readonly #allow: string;

  constructor(allow: string) {
    this.#allow = allow;
  }

  handle(_request: EdgeRequest, info: EdgeInfo, headers: string[]): Promise<EdgeAnswer> {
    headers.push('X-Request-Id', info.id, 'Allow', this.#allow);
    return Promise.resolve({ status: 204 });
  }
}

/** Without credentials, so that `*` stands for every header (Fetch standard §3.3.4). */
class PublicPreflight implements EdgeEndpoint {
  readonly #allow: string;

  constructor(allow: string) {
    this.#allow = allow;
  }

  handle(_request: EdgeRequest, info: EdgeInfo, headers: string[]): Promise<EdgeAnswer> {
    headers.push(
      'X-Request-Id',
      info.id,
      ...readableByAnyPage,
      'Access-Control-Allow-Methods',
      this.#allow,
      'Access-Control-Allow-Headers',
      '*',
      'Access-Control-Max-Age',
      '600',
    );
    return Promise.resolve({ status: 204 });
  }
}
