import type { z } from 'zod';
import type { Principal } from '../authentication/principal.ts';
import type { RequestInfo } from '../edge/request-info.ts';
import type { ErrorCode } from '../errors.ts';
import type { NewEvent } from '../events/event.ts';
import type { Transaction } from '../postgres/database.ts';
import type { ManagementPermission } from '../scopes/scope.ts';
import type { Services } from '../services.ts';
import type { CursorCodec } from './pagination.ts';

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** What a handler answers. The body passes through the response schema of its status. */
export interface Answer {
  status?: number;
  body?: unknown;
  /**
   * Text instead of a body, of the response's content type: each part is made once the client has taken the ones before
   * it, and none any more once it is gone. What fails breaks the answer off.
   */
  parts?: AsyncIterable<string>;
  /** The row's version; makes the strong ETag. */
  version?: number;
  headers?: Record<string, string>;
}

/** Everything a handler may use. One transaction is open, with the principal's account set. */
export interface RouteContext<Params, Query, Body> {
  services: Services;
  principal: Principal;
  params: Params;
  query: Query;
  body: Body;
  tx: Transaction;
  request: RequestInfo;
  now: Date;
  ifMatch: string | undefined;
  /** Writes an event in the transaction of the change, with the caller as its actor. */
  record: (event: NewEvent) => Promise<void>;
  /** As `record`, for a change of many things at once: one statement. */
  recordAll: (events: readonly NewEvent[]) => Promise<void>;
  /**
   * Another transaction for the caller, who is confirmed in it anew: for `parts`, which are made when the handler's own
   * has ended.
   */
  later: <T>(read: (tx: Transaction) => Promise<T>) => Promise<T>;
  /** Runs once the transaction has committed and before the answer goes out. */
  afterCommit: (effect: () => void) => void;
  /** The cursors of this list, bound to account, path and every query member but `cursor` and `limit`. */
  cursors: CursorCodec;
}

/**
 * Who may call a route at all. `own` follows from the path: a path with an organization is open to keys of that
 * organization and above, one with an issuer to keys of that issuer and above, any other to account keys.
 * `issuer` is `own` without keys of an organization, which do not change what they are part of. `any` is open to every
 * secret key (the handler narrows what it sees), `operator` to the operator's account keys.
 */
export type RouteLevel = 'own' | 'issuer' | 'any' | 'operator';

interface RouteText {
  method: Method;
  /** With `{parameter}`s, as OpenAPI writes it. */
  path: string;
  /** `apiKeys.create`: the same spelling in code, SDKs and docs. */
  operationId: string;
  summary: string;
  description?: string;
}

/** One operation of the management API. OpenAPI comes from it and nowhere else. */
export interface RouteDefinition<
  Params extends z.ZodType = z.ZodType,
  Query extends z.ZodType = z.ZodType,
  Body extends z.ZodType = z.ZodType,
> extends RouteText {
  permission: ManagementPermission | null;
  level?: RouteLevel;
  params?: Params;
  query?: Query;
  body?: Body;
  /** A merge patch is taken as `application/merge-patch+json` as well. */
  isMergePatch?: boolean;
  /**
   * It reads what was metered: before it begins, every decision that this node has acknowledged is brought into the tables,
   * so that whoever has been answered finds its request there.
   */
  readsMetering?: boolean;
  /** It puts the issuer of the path out of use, and with it the caller where that is a key of the issuer. */
  endsIssuer?: boolean;
  /** The route takes an Idempotency-Key: it creates something. */
  creates?: boolean;
  /**
   * `isReport`: what is answered is no object, so it has no version and no ETag. `contentType`: it is no JSON; the handler
   * answers `parts` of it. `headers`: those beyond the ones that every answer of its kind has.
   */
  responses: Record<
    number,
    {
      description: string;
      schema?: z.ZodType;
      isReport?: boolean;
      contentType?: string;
      headers?: readonly string[];
    }
  >;
  /** Codes beyond the ones that every route of its kind can answer. */
  errors?: ErrorCode[];
  handler(context: RouteContext<z.output<Params>, z.output<Query>, z.output<Body>>): Promise<Answer>;
}

/** A route whose answers are made elsewhere (the hot path at the edge); it stands here for its contract only. */
export interface ContractOnlyRoute extends RouteText {
  handler: null;
  /** `any-key` takes a key in the header of any preset too, `issuer-key` in those of the issuer's profile alone. */
  security:
    | 'key'
    | 'any-key'
    | 'issuer-key'
    | 'access-token'
    | 'client'
    | 'none'
    | 'metrics-token'
    | 'operator';
  /** Refusals come in the dialect of the key's profile. So they do wherever the path names the issuer of a gateway. */
  speaksDialects?: boolean;
  /** Every method is answered alike; OpenAPI lists the usual ones. */
  anyMethod?: boolean;
  params?: z.ZodType;
  query?: z.ZodType;
  body?: z.ZodType;
  /** The body is a form, whose members are all texts. */
  isForm?: boolean;
  /** `isPageToo`: whoever accepts HTML is answered a page. */
  responses: Record<
    number,
    {
      description: string;
      schema?: z.ZodType;
      contentType?: string;
      headers?: readonly string[];
      isPageToo?: boolean;
    }
  >;
  errors?: ErrorCode[];
}

/** A route as `app.ts` lists it, its type parameters forgotten. */
export type Route = RouteDefinition<z.ZodType, z.ZodType, z.ZodType> | ContractOnlyRoute;

/** Declares an operation of the management API; the type parameters follow from its schemas. */
export function defineRoute<Params extends z.ZodType, Query extends z.ZodType, Body extends z.ZodType>(
  definition: RouteDefinition<Params, Query, Body>,
): Route {
  // The handler only ever sees what its own schemas have let through, so forgetting their types is sound.
  return definition as unknown as Route;
}

/** Declares an operation that the edge answers itself. */
export function defineContract(definition: Omit<ContractOnlyRoute, 'handler'>): Route {
  return { ...definition, handler: null };
}
