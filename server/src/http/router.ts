import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { confirmCaller } from '../authentication/confirm-caller.ts';
import { isNarrowed, NarrowedCallerError } from '../authentication/narrowed-caller.ts';
import { mayDo, type Principal, toPrincipal } from '../authentication/principal.ts';
import { toAppError } from '../edge/edge.ts';
import { requestInfoOf } from '../edge/request-info.ts';
import { AppError, methodNotAllowed } from '../errors.ts';
import { actorOf } from '../events/actor.ts';
import { insertEvents } from '../events/event-store.ts';
import { idPrefixes, isId } from '../ids/ids.ts';
import { presets } from '../key-profiles/presets.ts';
import { planNamePattern } from '../plans/plan.ts';
import type { Transaction } from '../postgres/database.ts';
import type { Services } from '../services.ts';
import {
  enterAccount,
  readByGrant,
  requireSupportCaller,
  supportAccountHeader,
  supportGrantHeader,
} from '../support-grants/support-access.ts';
import { monthPattern } from '../usage/statement.ts';
import { environmentHeader } from '../verification/environment-header.ts';
import { carryOut } from './carry-out.ts';
import { etagOf } from './etag.ts';
import { once } from './idempotency.ts';
import { CursorCodec } from './pagination.ts';
import type { Answer, Route, RouteContext, RouteDefinition, RouteLevel } from './route.ts';
import { parseInput } from './validation.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Set before the body is read, on every route of the management API. */
    principal: Principal | null;
  }
}

/** A transaction that takes longer has waited for somebody, and its caller may have been put out of use meanwhile. */
const promptMs = 50;

/** How long what reads metering waits for the fold: not for a backlog of hours, nor for a database that says nothing. */
const longestFoldMs = 2_000;

type AnyRoute = RouteDefinition<z.ZodType, z.ZodType, z.ZodType>;

/** Registers every route that has a handler; the others are answered at the edge. */
export function registerRoutes(app: FastifyInstance, routes: readonly Route[], services: Services): void {
  app.decorateRequest('principal', null);
  for (const route of routes) {
    if (route.handler === null) continue;
    registerRoute(app, route as AnyRoute, services, literalSiblings(route, routes));
  }
}

/** By the words that another route has where this one has its last parameter (`import`): the methods they take. */
function literalSiblings({ path }: Route, routes: readonly Route[]): ReadonlyMap<string, string> {
  const methods = new Map<string, string>();
  const parent = path.replace(/\{\w+\}$/, '');
  if (parent === path) return methods;
  for (const sibling of routes) {
    const word = sibling.path.startsWith(parent) ? sibling.path.slice(parent.length) : '';
    if (!/^[a-z-]+$/.test(word)) continue;
    const known = methods.get(word);
    methods.set(word, known === undefined ? sibling.method : `${known}, ${sibling.method}`);
  }
  return methods;
}

function registerRoute(
  app: FastifyInstance,
  route: AnyRoute,
  services: Services,
  siblings: ReadonlyMap<string, string>,
): void {
  app.route({
    method: route.method,
    url: route.path.replaceAll(/\{(\w+)\}/g, ':$1'),
    // Before the body is read: who may not call does not get to send one.
    onRequest: async (request, reply) => {
      const principal = await authenticate(services, request, reply);
      request.principal = principal;
      const otherAccount = request.headers[supportAccountHeader.toLowerCase()];
      if (otherAccount !== undefined) requireSupportCaller(principal, route);
      const allowed = siblings.get(Object.values(request.params as Record<string, string>).at(-1) ?? '');
      if (allowed !== undefined) throw methodNotAllowed(allowed);
      authorize(route, principal, request.params as Record<string, string>);
      requireMediaType(route, request);
      if (otherAccount === undefined) return;
      const reader = await enterAccount(
        services.database,
        principal,
        String(otherAccount),
        services.clock.now(),
      );
      request.principal = reader;
      reply.header(supportGrantHeader, reader.supportGrantId);
    },
    handler: (request, reply) => handle(route, services, request, reply),
  });
}

/** The caller; the answer gets its environment and CORS headers, whichever answer it will be. */
async function authenticate(
  services: Services,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<Principal> {
  const headers: string[] = [];
  try {
    const { record, secret } = await services.authenticator.authenticate(request.raw, headers);
    headers.push(...environmentHeader(record.issuer?.profile ?? presets.standard, record.environment));
    await services.meter.recordCall(record, null);
    return toPrincipal(record, secret);
  } finally {
    for (let at = 0; at < headers.length; at += 2) reply.header(headers[at]!, headers[at + 1]);
  }
}

/**
 * Permission first, then whether the path lies at or below the caller's own level. What lies elsewhere is not found,
 * as if it did not exist, and so is an id that no id of ours can be.
 */
function authorize(route: AnyRoute, principal: Principal, params: Record<string, string>): void {
  const level = route.level ?? 'own';
  if (level === 'operator' && !principal.isOperator) {
    throw new AppError('permission_denied', {
      detail: 'Only a live account key of the operator may do this.',
    });
  }
  if (route.permission !== null && !mayDo(principal, route.permission)) {
    throw new AppError('permission_denied', {
      detail: `The API key lacks the permission ${route.permission}.`,
    });
  }
  if (!reaches(level, principal, params)) {
    throw new AppError('permission_denied', {
      detail: 'This takes a key of a higher level: of the issuer or of the account.',
    });
  }
  const isElsewhere =
    (principal.issuerId !== null &&
      params.issuer_id !== undefined &&
      params.issuer_id !== principal.issuerId) ||
    (principal.organizationId !== null &&
      params.org_id !== undefined &&
      params.org_id !== principal.organizationId);
  if (isElsewhere || !Object.entries(params).every(isWellFormed)) throw new AppError('not_found');
}

/** Whether a key of this level may call the route at all, wherever its path points. */
function reaches(level: RouteLevel, principal: Principal, params: Record<string, string>): boolean {
  if (level === 'any' || principal.issuerId === null) return true;
  if (params.issuer_id === undefined) return false;
  return principal.organizationId === null || (level === 'own' && params.org_id !== undefined);
}

const parameterPrefixes: Record<string, (typeof idPrefixes)[keyof typeof idPrefixes]> = {
  account_id: idPrefixes.account,
  issuer_id: idPrefixes.issuer,
  org_id: idPrefixes.organization,
  client_id: idPrefixes.client,
  user_id: idPrefixes.user,
  member_id: idPrefixes.user,
  group_id: idPrefixes.group,
  session_id: idPrefixes.session,
  key_id: idPrefixes.apiKey,
  event_id: idPrefixes.event,
  grant_id: idPrefixes.supportGrant,
  signing_key_id: idPrefixes.signingKey,
};

function isWellFormed([name, value]: [string, string]): boolean {
  if (name === 'plan_name') return planNamePattern.test(value);
  if (name === 'month') return monthPattern.test(value);
  const prefix = parameterPrefixes[name];
  return prefix !== undefined && isId(prefix, value);
}

const jsonType = /^application\/json\s*(;\s*charset\s*=\s*"?utf-8"?\s*)?$/i;
const mergePatchType = /^application\/merge-patch\+json\s*(;\s*charset\s*=\s*"?utf-8"?\s*)?$/i;

/** Fastify's parsers know neither that only some routes take a merge patch nor that JSON is UTF-8 alone. */
function requireMediaType(route: AnyRoute, request: FastifyRequest): void {
  const type = request.headers['content-type'];
  if (type === undefined || route.method === 'GET' || jsonType.test(type)) return;
  if (route.isMergePatch === true && mergePatchType.test(type)) return;
  throw new AppError('unsupported_media_type');
}

async function handle(route: AnyRoute, services: Services, request: FastifyRequest, reply: FastifyReply) {
  const presented = request.principal;
  if (presented === null)
    throw new AppError('internal_error', { cause: new Error('a route ran without a principal') });
  const query = parseInput(route.query ?? emptyQuery, request.query, 'query');
  const body = parseBody(route, request);
  const info = requestInfoOf(request.raw);
  const effects: (() => void)[] = [];
  const now = services.clock.now();
  const inAccount = transactionsOf(route, services, request, presented);
  // What keeps the fold from its work is told by its log and by readiness; meanwhile what there is can be read. Where it
  // finds no database, neither is there anything to read (503).
  if (route.readsMetering === true) await services.fold.caughtUp(longestFoldMs);

  const answer = await inAccount(async (tx, principal, confirmAgain) => {
    effects.length = 0;
    const beganAtMs = performance.now();
    const eventContext = {
      accountId: principal.accountId,
      actor: actorOf(principal, info),
      requestId: info.id,
    };
    const context: RouteContext<unknown, unknown, unknown> = {
      services,
      principal,
      params: request.params,
      query,
      body,
      tx,
      request: info,
      now,
      ifMatch: request.headers['if-match'],
      record: (event) => insertEvents(tx, eventContext, [event]),
      recordAll: (events) => insertEvents(tx, eventContext, events),
      later: inAccount,
      afterCommit: (effect) => effects.push(effect),
      cursors: cursorsOf(services, principal, request, query),
    };
    const run = async () => {
      const answer = withinContract(route, await route.handler(context));
      // Who ends itself has been confirmed, and is no more.
      const endsItself = (request.params as Record<string, string>).key_id === principal.keyId;
      const hasWaited = performance.now() - beganAtMs > promptMs;
      if (route.method !== 'GET' && hasWaited && !endsItself) await confirmAgain();
      return answer;
    };
    const idempotencyKey = request.headers['idempotency-key'];
    if (route.creates !== true || idempotencyKey === undefined) return run();
    return once(
      tx,
      {
        accountId: principal.accountId,
        idempotencyKey: String(idempotencyKey),
        presentedSecret: principal.presentedSecret,
        permissions: principal.permissions,
        method: route.method,
        path: request.url,
        body,
      },
      {
        create: run,
        undo: () => {
          effects.length = 0;
        },
      },
    );
  });
  for (const effect of effects) effect();
  if (answer.parts !== undefined) return sendParts(reply, answer, answer.parts, services);
  return send(reply, answer);
}

/**
 * What is done in a transaction of the caller.
 *
 * @param confirmAgain for the end of what has taken long: that the caller still may do it and is who it was decided for
 */
type Work<T> = (tx: Transaction, principal: Principal, confirmAgain: () => Promise<void>) => Promise<T>;

/** Transactions of the caller's account, in each of which it is confirmed and may still do what the route does. */
function transactionsOf(
  route: AnyRoute,
  services: Services,
  request: FastifyRequest,
  presented: Principal,
): <T>(work: Work<T>) => Promise<T> {
  const info = requestInfoOf(request.raw);
  const { origin } = request.headers;
  const whence = {
    origin,
    hasBrowserHeaders: origin !== undefined || request.headers['sec-fetch-site'] !== undefined,
    ip: info.ip,
  };
  const { accountId, organizationId, issuerId, supportGrantId: grantId } = presented;
  const confirm = async (tx: Transaction, hasEndedIssuer: boolean) => {
    const now = services.clock.now();
    const principal =
      grantId === null ? await confirmCaller(tx, presented, whence, now, { hasEndedIssuer }) : presented;
    authorize(route, principal, request.params as Record<string, string>);
    return principal;
  };
  return (work) => {
    const confirmed = async (tx: Transaction) => {
      const principal = await confirm(tx, false);
      const confirmAgain = async () => {
        if (isNarrowed(principal, await confirm(tx, route.endsIssuer === true)))
          throw new NarrowedCallerError();
      };
      const run = () => work(tx, principal, confirmAgain);
      if (grantId === null) return run();
      const now = services.clock.now();
      return readByGrant(tx, { accountId, grantId }, { requestId: info.id, now }, run);
    };
    const attempt = () => carryOut(services.database, accountId, confirmed, statementLimits(route));
    // Once more as who the caller is now: for most requests nothing depends on what was taken from it.
    const attemptAgain = (error: unknown) => {
      if (error instanceof NarrowedCallerError) return attempt();
      throw error;
    };
    return services.accountSlots.run(
      accountId,
      () => attempt().catch(attemptAgain),
      organizationId ?? issuerId,
    );
  };
}

/** A read that takes long (a search through a million names) must not hold its connection for long. */
function statementLimits(route: AnyRoute): { statementTimeoutMs?: number } {
  return route.method === 'GET' ? { statementTimeoutMs: 3_000 } : {};
}

/** A body where none is taken is refused unless it is empty; a missing one reads as the empty object. */
function parseBody(route: AnyRoute, request: FastifyRequest): unknown {
  if (route.body === undefined) {
    const isEmpty = request.body === undefined || isEmptyObject(request.body);
    if (!isEmpty)
      throw new AppError('invalid_request', { detail: 'This operation takes no body; send none.' });
    return undefined;
  }
  return parseInput(route.body, request.body === undefined ? {} : request.body);
}

function isEmptyObject(value: unknown): boolean {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).length === 0
  );
}

const emptyQuery = z.strictObject({});

function cursorsOf(
  services: Services,
  principal: Principal,
  request: FastifyRequest,
  query: unknown,
): CursorCodec {
  const { cursor: _cursor, limit: _limit, ...filters } = query as Record<string, unknown>;
  const path = request.url.split('?', 1)[0];
  const scope = [principal.accountId, path, Object.entries(filters).sort(([a], [b]) => (a < b ? -1 : 1))];
  const { secrets } = services;
  const accepted = secrets.generations('cursor').map(({ key }) => key);
  return new CursorCodec(secrets.current('cursor').key, scope, accepted);
}

/** What the response schema does not declare does not leave the house. */
function withinContract(route: AnyRoute, answer: Answer): Answer {
  const status = answer.status ?? 200;
  const declared = route.responses[status];
  if (declared === undefined)
    throw new AppError('internal_error', { cause: new Error(`${route.operationId} declares no ${status}`) });
  if (declared.contentType !== undefined)
    return {
      ...answer,
      status,
      headers: { ...answer.headers, 'Content-Type': `${declared.contentType}; charset=utf-8` },
    };
  if (declared.schema === undefined) return { ...answer, status, body: undefined };
  return { ...answer, status, body: declared.schema.parse(answer.body) };
}

function send(reply: FastifyReply, answer: Answer) {
  writeHead(reply, answer);
  return answer.body === undefined ? reply.send() : reply.send(answer.body);
}

/** No part is made before the client has taken the one before it, and HEAD makes none. */
function sendParts(reply: FastifyReply, answer: Answer, parts: AsyncIterable<string>, { log }: Services) {
  writeHead(reply, answer);
  if (reply.request.method === 'HEAD') return reply.send();
  const stream = Readable.from(parts, { highWaterMark: 1 });
  stream.once('error', (error) => {
    const { code } = toAppError(error);
    log.warn({ err: error, code, request_id: requestInfoOf(reply.request.raw).id }, 'an answer broke off');
  });
  return reply.send(stream);
}

function writeHead(reply: FastifyReply, answer: Answer): void {
  reply.code(answer.status ?? 200);
  if (answer.headers) reply.headers(answer.headers);
  if (answer.version !== undefined) reply.header('ETag', etagOf(answer.version));
  reply.header('Cache-Control', 'no-store');
}
