import { subscribe } from 'node:diagnostics_channel';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Validator } from '@seriousme/openapi-schema-validator';
import type { FastifyInstance } from 'fastify';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { errorsPage, renderErrorDocs } from '../../scripts/error-docs.ts';
import { routes } from '../src/app.ts';
import { errorTable } from '../src/errors.ts';
import { oidcContracts } from '../src/oidc/contracts.ts';
import { createOpenApiDocument } from '../src/openapi/document.ts';
import { ApiContract } from './harness/openapi.ts';
import { send } from './harness/raw-http.ts';
import { startTestServer, type TestServer } from './harness/server.ts';

let server: TestServer;
let contract: ApiContract;
/** `GET /v1/issuers/{issuer_id}` of every route that Fastify was given, but for the HEAD that it adds to a GET. */
const registered = new Set<string>();
subscribe('fastify.initialization', (message) => {
  const { fastify } = message as { fastify: FastifyInstance };
  fastify.addHook('onRoute', ({ method, url }) => {
    const path = url.replaceAll(/:(\w+)/g, '{$1}');
    for (const each of [method].flat()) if (each !== 'HEAD') registered.add(`${each} ${path}`);
  });
});
beforeAll(async () => {
  server = await startTestServer();
  contract = await ApiContract.of(server);
});
afterAll(() => server.close());

const emitted = fileURLToPath(new URL('../openapi.json', import.meta.url));

describe('the document', () => {
  test('is valid OpenAPI 3.1 by a validator that is not ours', async () => {
    const validator = new Validator();
    const result = await validator.validate(structuredClone(contract.document));
    expect(result).toMatchObject({ valid: true });
    expect(validator.version).toBe('3.1');
  });

  test('is the one that the repository holds and the one that the server serves', () => {
    const text = `${JSON.stringify(createOpenApiDocument(routes), null, 2)}\n`;
    expect(readFileSync(emitted, 'utf8')).toBe(text);
    expect(contract.document).toEqual(JSON.parse(text));
  });

  test('refers only to what is there', () => {
    const references = referencesIn(contract.document);
    expect(references.length).toBeGreaterThan(100);
    expect(references.filter((reference) => contract.at(reference) === undefined)).toEqual([]);
  });

  test('describes nothing that no operation uses', () => {
    const used = new Set(referencesIn(contract.document));
    const components = contract.document.components as Record<string, Record<string, unknown>>;
    const unused = ['schemas', 'responses', 'headers'].flatMap((kind) =>
      Object.keys(components[kind]!)
        .map((name) => `#/components/${kind}/${name}`)
        .filter((reference) => !used.has(reference)),
    );
    expect(unused).toEqual([]);
  });
});

describe('operations', () => {
  test('have an id of their own, and each route is one', () => {
    const ids = contract.operations.map(({ operationId }) => operationId);
    expect(new Set(ids).size).toBe(ids.length);
    const documented = new Set(contract.operations.map(({ method, path }) => `${method} ${path}`));
    expect(routes.filter((route) => !documented.has(`${route.method} ${route.path}`))).toEqual([]);
    const extra = contract.operations.filter(
      ({ path, method }) =>
        !routes.some((route) => route.path === path && (route.method === method || takesAnyMethod(route))),
    );
    expect(extra).toEqual([]);
  });

  test('have a summary, a described tag and every path parameter', () => {
    const tags = new Map(
      (contract.document.tags as { name: string; description?: string }[]).map((tag) => [
        tag.name,
        tag.description,
      ]),
    );
    for (const { operationId, path, parameters, definition } of contract.operations) {
      expect(definition.summary, operationId).toMatch(/^[A-Z].{8,}[^.]$/);
      for (const tag of definition.tags as string[]) expect(tags.get(tag), operationId).toBeTruthy();
      const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      const inPath = parameters.filter((parameter) => parameter.in === 'path');
      expect(inPath.map(({ name }) => name).sort(), operationId).toEqual(named.sort());
      expect(inPath.every(({ required }) => required)).toBe(true);
    }
  });

  test('show an example that their own schema accepts wherever they take a body', () => {
    const withBody = contract.operations.filter(({ body }) => body !== null);
    expect(withBody.length).toBeGreaterThan(10);
    const without = withBody.filter((operation) => !contract.acceptsBody(operation, operation.body?.example));
    expect(without.map(({ operationId }) => operationId)).toEqual([]);
  });
});

describe('what the server registers', () => {
  // Attack: a route that is registered but not listed is in no matrix and in no fuzz run.
  test('is listed in app.ts, every route of it', () => {
    const listed = new Set(routes.map((route) => `${route.method} ${route.path}`));
    expect(registered.size).toBeGreaterThan(40);
    expect([...registered].filter((route) => !listed.has(route))).toEqual([]);
  });

  test('answers every route that is listed', async () => {
    const atTheEdge = routes.filter((route) => !registered.has(`${route.method} ${route.path}`));
    // The operations that the edge answers itself, and no other.
    expect(atTheEdge.map(({ operationId }) => operationId).sort()).toEqual([
      'auth.logout',
      'auth.me',
      'auth.refresh',
      'auth.requestOtp',
      'auth.verifyOtp',
      'authorize.check',
      'discovery.get',
      'discovery.getByHost',
      'issuer.auth.logout',
      'issuer.auth.me',
      'issuer.auth.refresh',
      'issuer.auth.requestOtp',
      'issuer.auth.verifyOtp',
      'jwks.get',
      'keys.reportLeak',
      'keys.verify',
      'keys.verifyBatch',
      'login.asset',
      'login.show',
      'login.take',
      'me.get',
      ...oidcContracts.map(({ operationId }) => operationId).sort(),
    ]);
    for (const route of routes) {
      const path = route.path.replaceAll(/\{\w+\}/g, 'x');
      const answer = await send(`${server.url}${path}`, { method: route.method });
      expect(answer.body?.code, route.operationId).not.toBe('route_not_found');
    }
  });

  test('a method that a path does not take is 405 with Allow, a path that is none 404', async () => {
    for (const route of routes.filter((candidate) => !takesAnyMethod(candidate))) {
      const path = route.path.replaceAll(/\{\w+\}/g, 'x');
      const answer = await send(`${server.url}${path}`, { method: 'PROPFIND' });
      // What users ask by a token speaks the flat dialect.
      const code = String(answer.body.code).toLowerCase();
      expect([answer.status, code], route.operationId).toEqual([405, 'method_not_allowed']);
      expect(String(answer.headers.allow).split(', ')).toContain(route.method);
    }
    const unknown = await send(`${server.url}/v1/nothing`);
    expect([unknown.status, unknown.body.code]).toEqual([404, 'route_not_found']);
  });
});

describe('error codes', () => {
  /** Answered where no operation is: the introduction of the document tells of them. */
  const outsideOfOperations = ['route_not_found', 'method_not_allowed'];
  test('of the table are each told by some operation, and operations tell of no other', () => {
    const told = new Set(
      contract.operations.flatMap(({ definition }) =>
        Object.values(definition.responses as Record<string, unknown>).flatMap(
          (response) => (contract.resolve(response)['x-codes'] ?? []) as string[],
        ),
      ),
    );
    const missing = Object.keys(errorTable).filter(
      (code) => !told.has(code) && !outsideOfOperations.includes(code),
    );
    expect(missing).toEqual([]);
    expect([...told].filter((code) => !(code in errorTable))).toEqual([]);
    for (const code of outsideOfOperations)
      expect((contract.document.info as { description: string }).description).toContain(code);
  });
});

describe('the page of errors', () => {
  test('is what the table of errors makes, and names every code', () => {
    const page = readFileSync(errorsPage, 'utf8');
    expect(page).toBe(renderErrorDocs());
    for (const code of Object.keys(errorTable)) expect(page).toContain(`\`${code}\``);
  });
});

function takesAnyMethod(route: (typeof routes)[number]): boolean {
  return route.handler === null && route.anyMethod === true;
}

function referencesIn(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(referencesIn);
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) =>
    name === '$ref' && typeof inner === 'string' ? [inner] : referencesIn(inner),
  );
}
