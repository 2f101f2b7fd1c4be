import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { routes } from '../../src/app.ts';
import { createOpenApiDocument } from '../../src/openapi/document.ts';
import { ApiContract, type Operation } from '../harness/openapi.ts';
import { Random } from '../harness/random.ts';
import { scaled } from '../harness/scale.ts';
import { startTestServer, type TestServer } from '../harness/server.ts';
import { RawConnection, type WireAnswer } from './raw-connection.ts';
import { type FuzzRequest, hostileRequest, validRequest } from './request-maker.ts';
import { FuzzWorld } from './world.ts';

/*
 * Attack: bytes that no client of good will would send, at every operation: bad JSON, wrong types, deep nesting, huge
 * numbers, NUL, lone surrogates, forged cursors, broken paths, queries, headers and methods, in any mixture.
 *
 * No answer may be a 5xx, and every one must be what the OpenAPI document of the running server says of its operation:
 * status, headers, content type, body and code.
 */

/** Of what ends something fewer in CI: after each that is carried out, the world is made anew. */
const requestsOf = (operation: Operation) => scaled(endsSomething(operation) ? 8 : 15, 10_000);
const connectionsAtOnce = 4;
const metricsToken = 'metrics-token-of-the-fuzz-run-0123456789';

let server: TestServer;
let contract: ApiContract;
let world: FuzzWorld;
/** Whether anything may have changed in it since it was made, or it has not been made yet. */
let isWorldUsed = true;
beforeAll(async () => {
  server = await startTestServer({ env: { GATELODGE_METRICS_TOKEN: metricsToken } });
  contract = await ApiContract.of(server);
  world = await FuzzWorld.create(server, metricsToken);
});
afterAll(() => server.close());

// Only for the names of the tests: what answers are held against is the document that the server itself gives.
const { operations } = new ApiContract(createOpenApiDocument(routes));

describe.each(operations.map(({ operationId }) => operationId))('%s', (operationId) => {
  test(
    'answers whatever it is sent within its contract',
    async () => {
      const operation = contract.operation(operationId);
      const requestsEach = requestsOf(operation);
      const random = new Random();
      if (isWorldUsed || !readsOnly(operation)) await world.renew(operation);
      else await world.complete(operation);
      isWorldUsed = !readsOnly(operation);
      const findings: string[] = [];
      const statuses = new Map<number, number>();
      let sent = 0;
      const work = async () => {
        const connection = new RawConnection(server.url);
        while (sent < requestsEach && findings.length < 5) {
          const isValid = sent++ < 2;
          const request = isValid ? validRequest(operation, world) : hostileRequest(operation, world, random);
          const { answer, problems } = await ask(connection, operation, request);
          if (problems.length > 0) findings.push(describeFinding(random, request, answer, problems));
          if (answer !== null && answer.status < 400 && !safeMethods.has(request.method)) isWorldUsed = true;
          if (answer !== null) statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
          // What has been carried out may have ended what the next request is about.
          if (answer !== null && answer.status < 300 && endsSomething(operation))
            await world.renew(operation);
        }
        connection.close();
      };
      // In CI one after the other, so that the same seed makes the same run.
      await Promise.all(Array.from({ length: scaled(1, connectionsAtOnce) }, work));
      expect(findings).toEqual([]);
      expect(sent).toBeGreaterThanOrEqual(requestsEach);
      // A browser is sent on.
      const carriedOut = [...statuses.keys()].filter((status) => status < 300 || status === 303);
      // Pages of a browser that has been there before; see device.test.ts, and hostile-input.test.ts of the login.
      if (!['oidc.postDevice', 'login.show', 'login.take'].includes(operationId))
        expect(carriedOut, `statuses ${JSON.stringify([...statuses])}`).not.toEqual([]);
      expect(statuses.size).toBeGreaterThan(1);
    },
    scaled(60_000, 1_800_000),
  );
});

test('after all of it the server is well and has logged no failure', async () => {
  const ready = await fetch(`${server.url}/readyz`);
  expect(ready.status).toBe(200);
  const failures = server.logLines.filter((line) => /"level":"(error|fatal)"/.test(line));
  expect(failures.slice(0, 5)).toEqual([]);
});

async function ask(
  connection: RawConnection,
  operation: Operation,
  request: FuzzRequest,
): Promise<{ answer: WireAnswer | null; problems: string[] }> {
  let answer: WireAnswer | null;
  try {
    answer = await connection.exchange(request.bytes, request.method === 'HEAD');
  } catch (error) {
    connection.close();
    if (request.mayBeCut) return { answer: null, problems: [] };
    return { answer: null, problems: [String(error)] };
  }
  if (answer === null) return { answer, problems: request.mayBeCut ? [] : ['the connection was closed'] };
  if (answer.status >= 500) return { answer, problems: [`status ${answer.status}`] };
  const problems = contract.problemsOf(operationAsked(operation, request), answer);
  if (problems.length > 0 && request.isElsewhere && isAnsweredElsewhere(request, answer))
    return { answer, problems: [] };
  return { answer, problems };
}

/** With another method the request may be for another operation of the same path; HEAD is GET without the content. */
function operationAsked(operation: Operation, { method }: FuzzRequest): Operation {
  const ofPath = (wanted: string) =>
    contract.operations.find((other) => other.path === operation.path && other.method === wanted);
  if (method === 'HEAD') return { ...(ofPath('GET') ?? operation), method };
  return ofPath(method) ?? operation;
}

/** Where path or method are no longer the operation's, what no operation is answers in one of these ways. */
function isAnsweredElsewhere({ method }: FuzzRequest, { status, headers, text }: WireAnswer): boolean {
  if (headers['x-request-id'] === undefined) return false;
  if (method === 'OPTIONS' && status === 204) return text === '';
  const expected: Record<number, string[]> = {
    400: ['bad_request'],
    401: ['missing_key', 'invalid_key', 'ambiguous_credentials', 'invalid_token'],
    403: ['permission_denied'],
    404: ['route_not_found', 'not_found'],
    405: ['method_not_allowed'],
  };
  if (method === 'HEAD') return status in expected && text === '';
  if (headers['content-type'] === 'application/json') {
    // What signs users in speaks the dialects of keys.
    const { code, error } = JSON.parse(text) as { code?: string; error?: { code?: string } };
    const isKnown = expected[status]?.includes(String(error?.code ?? code).toLowerCase()) === true;
    return isKnown && (status === 404 || (status === 405 && headers.allow !== undefined));
  }
  if (headers['content-type'] !== 'application/problem+json') return false;
  const problem = JSON.parse(text) as { code: string; status: number; request_id: string };
  return (
    expected[status]?.includes(problem.code) === true &&
    problem.status === status &&
    problem.request_id === headers['x-request-id'] &&
    (status !== 405 || headers.allow !== undefined)
  );
}

/** Of what is suspended, disabled or revoked there is still something to be said. */
const safeMethods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);

/** Of the management API; elsewhere a GET may go on with something. */
function readsOnly({ method, path }: Operation): boolean {
  return safeMethods.has(method) && path.startsWith('/v1/');
}

function endsSomething({ method }: Operation): boolean {
  return method === 'DELETE';
}

function describeFinding(
  random: Random,
  { bytes }: FuzzRequest,
  answer: WireAnswer | null,
  problems: readonly string[],
): string {
  const request = JSON.stringify(bytes.toString('latin1').slice(0, 1_500));
  const answered =
    answer === null
      ? 'nothing'
      : `${answer.status} ${JSON.stringify(answer.headers)} ${answer.text.slice(0, 500)}`;
  return `seed ${random.seed}: ${problems.join('; ')}\n  asked ${request}\n  answered ${answered}`;
}
