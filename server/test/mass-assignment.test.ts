import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { routes } from '../src/app.ts';
import type { JsonSchema } from '../src/openapi/components.ts';
import { type ApiAnswer, ApiClient } from './harness/api-client.ts';
import { alwaysThere } from './harness/management-routes.ts';
import { ApiContract, type Operation } from './harness/openapi.ts';
import { Rows } from './harness/rows.ts';
import { isSoak } from './harness/scale.ts';
import { startTestServer, type TestServer } from './harness/server.ts';
import { createTenant, type Tenant } from './harness/tenant.ts';

/*
 * Attack (better-auth CVE-2025-61928 minted keys for others this way): a body names its own owner, status, privileges
 * or secrets beside what it may say, at the top or deep inside, and hopes that something copies all that it is given.
 */

/** Names that no schema or table of ours may have, and that other software would have obeyed. */
const namesElsewhere = [
  'accountId',
  'admin',
  'constructor',
  'is_admin',
  'organisation_id',
  'owner',
  'owner_id',
  'parent_id',
  'permissions',
  'principal',
  'prototype',
  'role',
  'roles',
  'tenant_id',
  'toString',
  'user_id',
  'hasOwnProperty',
];

/** Those that would change whose something is. */
const owning = new Set(['account_id', 'issuer_id', 'organization_id', 'is_operator', 'status']);

/** The operator’s operations are asked by the operator, all others by the tenant whose objects they are about. */
function callersOf(route: (typeof routes)[number]): ApiClient {
  // The key of an account alone belongs to no issuer.
  if (/^auth\.(request|verify)Otp$/.test(route.operationId))
    return new ApiClient(server.url, tenant.issuer.key);
  return route.handler !== null && route.level === 'operator' ? server.operator.api : tenant.api;
}

/** Schemas of the OIDC runtime, which takes forms and passes over what it does not know, as OAuth wants it. */
const ofOAuth = new Set([
  'ProviderMetadata',
  'ClientRegistration',
  'RegisteredClient',
  'KeyToLookAt',
  'TokenToLookAt',
  'TokenRequest',
  'TokenAnswer',
]);

let server: TestServer;
let contract: ApiContract;
let rows: Rows;
let tenant: Tenant;
let names: string[];
beforeAll(async () => {
  server = await startTestServer();
  contract = await ApiContract.of(server);
  rows = await Rows.open(server.database);
  tenant = await createTenant(server, 'tenant');
  const columns = await rows.query<{ name: string }>(
    `select distinct column_name as name from information_schema.columns where table_schema = 'gatelodge'`,
  );
  const schemas = (contract.document.components as { schemas: Record<string, JsonSchema> }).schemas;
  names = [
    ...new Set([
      ...namesElsewhere,
      ...columns.map(({ name }) => name),
      // But for those of OAuth, whose names are in no body of ours.
      ...Object.entries(schemas)
        .filter(([name]) => !ofOAuth.has(name))
        .flatMap(([, schema]) => Object.keys((schema.properties ?? {}) as object)),
    ]),
  ].sort();
});
afterAll(async () => {
  await rows.close();
  await server.close();
});

const operations = () =>
  routes
    .filter((route) => route.handler !== null || route.body !== undefined)
    // Passes over what it does not know, as RFC 7591 §3.1 wants it; see server/src/oidc/register.test.ts.
    .filter(({ operationId }) => operationId !== 'oidc.register')
    .map((route) => ({ route, operation: contract.operation(route.operationId) }));

test('the names are those of every table and every schema', () => {
  expect(names.length).toBeGreaterThan(80);
  for (const name of [
    ...['account_id', 'issuer_id', 'organization_id', 'id', 'status', 'operator', 'is_operator', 'version'],
    ...[
      'created_by',
      'digest',
      'hint',
      'secret_plain',
      'last_used_at',
      'digest_generation',
      'twin_of',
      'plan',
    ],
  ]) {
    expect(names).toContain(name);
  }
});

describe('a member that the operation does not declare', () => {
  test('is refused at the top of every body, and changes nothing', async () => {
    let asked = 0;
    const withBody = operations().filter(({ operation: { body } }) => body !== null);
    for (const [nth, { route, operation }] of withBody.entries()) {
      const declared = membersOf(operation.body!.schema);
      const before = await rows.snapshot();
      const alien = names.filter((candidate) => !declared.includes(candidate));
      // Every name beside many others, and by itself one in eight at each operation.
      const alone = alien.filter((name, index) => isSoak || owning.has(name) || (index + nth) % 8 === 0);
      for (const members of [...inParts(alien), ...alone.map((name) => [name])]) {
        const answer = await call(route, operation, withMembers(operation.body!.example, [], members));
        const { secret = '' } = operation.body!.example as { secret?: string };
        // A leak report repeats no part of the secret that it is about.
        const paths = members.map((name) => (secret.includes(name) ? '' : name));
        expectUnknown(answer, paths, `${operation.operationId} with ${members.join(', ')}`);
        asked += members.length;
      }
      expect(await rows.snapshot(), operation.operationId).toEqual(before);
    }
    expect(asked).toBeGreaterThan(800);
  }, 180_000);

  test('is refused inside of every object of a body, and changes nothing', async () => {
    let places = 0;
    for (const { route, operation } of operations().filter(({ operation: { body } }) => body !== null)) {
      const before = await rows.snapshot();
      for (const { path, declared } of objectsIn(operation.body!.schema)) {
        for (const alien of inParts(names.filter((name) => !declared.includes(name)))) {
          const body = withMembers(operation.body!.example, path, alien);
          const answer = await call(route, operation, body);
          expectUnknown(
            answer,
            alien.map((name) => [...path, name].join('.')),
            `${operation.operationId} in ${path.join('.')}`,
          );
        }
        places++;
      }
      expect(await rows.snapshot(), operation.operationId).toEqual(before);
    }
    // The restrictions of keys at three levels, created and patched, and the objects in a key profile.
    expect(places).toBeGreaterThanOrEqual(10);
  });

  test('is refused as a body of every operation that takes none, and changes nothing', async () => {
    const before = await rows.snapshot();
    const bodyless = operations().filter(
      ({ operation }) => operation.body === null && operation.form === null && operation.method !== 'GET',
    );
    expect(bodyless.length).toBeGreaterThan(15);
    for (const { route, operation } of bodyless) {
      for (const name of ['account_id', 'id', 'status', 'is_operator', 'version', 'force']) {
        const answer = await call(route, operation, { [name]: 'x' });
        expect([answer.status, answer.body.code], operation.operationId).toEqual([422, 'invalid_request']);
      }
    }
    expect(await rows.snapshot()).toEqual(before);
  });

  test('is refused in the query of every operation of the management API, and changes nothing', async () => {
    const before = await rows.snapshot();
    for (const { route, operation } of operations().filter(({ route: { handler } }) => handler !== null)) {
      const declared = operation.parameters.filter((each) => each.in === 'query').map(({ name }) => name);
      // A parameter named like a credential is refused before anything else: a key must not stand in a URL.
      const alien = names.filter((name) => !declared.includes(name) && name !== 'api_key');
      for (const part of inParts(alien)) {
        const query = new URLSearchParams(part.map((name): [string, string] => [name, 'x']));
        const answer = await call(route, operation, operation.body?.example, query);
        expectUnknown(
          answer,
          part.map((name) => `query.${name}`),
          operation.operationId,
        );
      }
      const withKey = new URLSearchParams({ api_key: 'x' });
      expect((await call(route, operation, operation.body?.example, withKey)).status).toBe(401);
    }
    expect(await rows.snapshot()).toEqual(before);
  });

  // Attack: `__proto__` is no member to a careless parser, and pollutes every object to a careless copy.
  test('called __proto__ is refused wherever it stands, and pollutes nothing', async () => {
    const before = await rows.snapshot();
    for (const { route, operation } of operations().filter(({ operation: { body } }) => body !== null)) {
      for (const path of [
        [],
        ...objectsIn(operation.body!.schema).map((object) => object.path),
        ['metadata'],
      ]) {
        const body = JSON.stringify(withMembers(operation.body!.example, path, ['is_operator'])).replace(
          '"is_operator":"x"',
          '"__proto__":{"is_operator":true,"status":"active"}',
        );
        const answer = await callersOf(route).request(operation.method, pathOf(operation), { rawBody: body });
        expect([400, 422], `${operation.operationId}: ${answer.text}`).toContain(answer.status);
      }
    }
    expect(({} as { is_operator?: boolean }).is_operator).toBeUndefined();
    expect(await rows.snapshot()).toEqual(before);
  });
});

/** An answer tells at most 50 errors. */
function inParts(all: readonly string[]): string[][] {
  const size = 40;
  return Array.from({ length: Math.ceil(all.length / size) }, (_, part) =>
    all.slice(part * size, (part + 1) * size),
  );
}

function expectUnknown(answer: ApiAnswer, paths: readonly string[], what: string): void {
  // What speaks a dialect has room for one text, which names the first of them.
  if (answer.body?.code === 'INVALID_REQUEST') {
    expect(answer.status, what).toBe(422);
    expect(answer.body.error, what).toContain('is not a member of this request');
    return;
  }
  expect([answer.status, answer.body?.code], `${what}: ${answer.text.slice(0, 300)}`).toEqual([
    422,
    'invalid_request',
  ]);
  // A dialect that is told as a problem has that one text as its detail.
  if (answer.body.errors === undefined) {
    expect(answer.body.detail, what).toContain('is not a member of this request');
    return;
  }
  const refused = (answer.body.errors as { path: string; code: string }[])
    .filter(({ code }) => code === 'unknown_member')
    .map(({ path }) => path);
  expect(refused, what).toEqual(expect.arrayContaining([...paths]));
}

function call(
  route: (typeof routes)[number],
  operation: Operation,
  body: unknown,
  query = new URLSearchParams(),
): Promise<ApiAnswer> {
  for (const { name, in: place, required, example } of operation.parameters)
    if (place === 'query' && required) query.set(name, String(example));
  const path = `${pathOf(operation)}${query.size > 0 ? `?${query}` : ''}`;
  return callersOf(route).request(operation.method, path, body === undefined ? {} : { body });
}

function pathOf({ path }: Operation): string {
  const { key, issuer, accountId, supportGrantId, planName } = tenant;
  const { id: organization, key: organizationKey, memberId, groupId } = issuer.organizations[0];
  const keyOfPath = path.includes('{org_id}')
    ? organizationKey
    : path.includes('{issuer_id}')
      ? issuer.key
      : key;
  return path
    .replace('{account_id}', accountId)
    .replace('{issuer_id}', issuer.id)
    .replace('{org_id}', organization)
    .replace('{user_id}', issuer.userId)
    .replace('{member_id}', memberId)
    .replace('{group_id}', groupId)
    .replace('{client_id}', issuer.client.id)
    .replace('{session_id}', issuer.sessionId)
    .replace('{key_id}', keyOfPath.id)
    .replace('{grant_id}', supportGrantId)
    .replace('{signing_key_id}', issuer.signingKeyId)
    .replace('{plan_name}', planName)
    .replace('{month}', alwaysThere.month!);
}

/** The objects inside of a body whose members are declared, by their path. */
function objectsIn(schema: JsonSchema, path: string[] = []): { path: string[]; declared: string[] }[] {
  return alternativesOf(schema).flatMap(({ properties = {} }) =>
    Object.entries(properties as Record<string, JsonSchema>).flatMap(([name, inner]) => [
      ...alternativesOf(inner)
        .filter((alternative) => alternative.additionalProperties === false)
        .map((alternative) => ({ path: [...path, name], declared: membersOf(alternative) })),
      ...objectsIn(inner, [...path, name]),
    ]),
  );
}

function membersOf(schema: JsonSchema): string[] {
  return alternativesOf(schema).flatMap(({ properties = {} }) => Object.keys(properties as object));
}

function alternativesOf(schema: JsonSchema): JsonSchema[] {
  const resolved = contract.resolve(schema);
  const { anyOf } = resolved as { anyOf?: JsonSchema[] };
  return anyOf === undefined ? [resolved] : anyOf.flatMap(alternativesOf);
}

/** A copy of a body with more members in the object at `path`. */
function withMembers(body: unknown, path: readonly string[], members: readonly string[]): object {
  const object = { ...(body as Record<string, unknown>) };
  const [next, ...rest] = path;
  if (next === undefined) return { ...object, ...Object.fromEntries(members.map((name) => [name, 'x'])) };
  return { ...object, [next]: withMembers(object[next] ?? {}, rest, members) };
}
