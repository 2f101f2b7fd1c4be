import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { routes } from '../src/app.ts';
import type { Route } from '../src/http/route.ts';
import { idPrefixes, newId } from '../src/ids/ids.ts';
import { type DumpScope, dumpOf, idsIn } from './harness/account-dump.ts';
import { alwaysThere, unknownIds, withIds } from './harness/management-routes.ts';
import { ApiContract } from './harness/openapi.ts';
import { Rows } from './harness/rows.ts';
import { startTestServer, type TestServer } from './harness/server.ts';
import { SqlLog } from './harness/sql-log.ts';
import { createTenant, createTenantIssuer, type Tenant, type TenantIssuer } from './harness/tenant.ts';
import type { TestKey } from './harness/test-issuer.ts';

/*
 * Attack: a caller puts the ids of somebody else's objects into every path there is. It must learn nothing, not even
 * whether they exist: the answer is, byte for byte, the one that an id nobody has gets, and the same statements run.
 */

let server: TestServer;
let contract: ApiContract;
let sql: SqlLog;
let rows: Rows;
let ours: Tenant;
let theirs: Tenant;
let operators: Owner & { issuer: TenantIssuer };
beforeAll(async () => {
  server = await startTestServer();
  contract = await ApiContract.of(server);
  rows = await Rows.open(server.database);
  [ours, theirs] = [await createTenant(server, 'ours'), await createTenant(server, 'theirs')];
  const { api, key } = server.operator;
  operators = {
    key: { ...key, path: `/v1/api-keys/${key.id}` },
    issuer: await createTenantIssuer(server, api, 'operators', 'first'),
    supportGrantId: newId(idPrefixes.supportGrant),
    planName: (await api.create('/v1/plans', { name: 'operators-plan' })).name,
  };
  // It looks up whom it tells by the same look-ups as requests do.
  await server.running.services.backchannelLogout.close();
  sql = new SqlLog(server);
});
afterAll(async () => {
  await rows.close();
  await server.close();
});

/** The ids that a path may take, by parameter; of keys there are several, one for each level they can stand at. */
interface Ids {
  issuer_id: string;
  org_id: string;
  user_id: string;
  member_id: string;
  group_id: string;
  client_id: string;
  session_id: string;
  key_id: readonly string[];
  grant_id: string;
  signing_key_id: string;
  plan_name: string;
}

interface CallerCase {
  name: string;
  key: () => TestKey;
  own: () => Ids;
  foreign: () => Ids;
  victim: () => DumpScope;
  /** Texts of the victim's that no answer may show. */
  traces: () => Promise<readonly string[]>;
}

type Owner = Pick<Tenant, 'key' | 'supportGrantId' | 'planName'>;
const idsOf = ({ key, supportGrantId, planName }: Owner, issuer: TenantIssuer, at: 0 | 1 = 0): Ids => ({
  issuer_id: issuer.id,
  org_id: issuer.organizations[at].id,
  user_id: issuer.userId,
  member_id: issuer.organizations[at].memberId,
  group_id: issuer.organizations[at].groupId,
  client_id: issuer.client.id,
  session_id: issuer.sessionId,
  key_id: [key.id, issuer.key.id, issuer.organizations[at].key.id],
  grant_id: supportGrantId,
  signing_key_id: issuer.signingKeyId,
  plan_name: planName,
});
const otherAccount = {
  foreign: () => idsOf(theirs, theirs.issuer),
  victim: () => ({ accountId: theirs.accountId }),
  traces: async () => ['theirs', ...(await idsIn(rows, { accountId: theirs.accountId }))],
};
const siblingIssuer = {
  foreign: () => idsOf(ours, ours.sibling),
  victim: () => ({ issuerId: ours.sibling.id }),
  traces: async () => [
    'ours sibling',
    'ours-sibling',
    'of sibling',
    ...(await idsIn(rows, { issuerId: ours.sibling.id })),
  ],
};

const callers: CallerCase[] = [
  {
    name: 'an account’s key and another account',
    key: () => ours.key,
    own: () => idsOf(ours, ours.issuer),
    ...otherAccount,
  },
  {
    name: 'an account’s sandbox key and another account',
    key: () => ours.sandboxKey,
    own: () => idsOf({ ...ours, key: ours.sandboxKey }, ours.twin),
    ...otherAccount,
  },
  {
    name: 'an account’s sandbox key and the sandbox of another account',
    key: () => ours.sandboxKey,
    own: () => idsOf({ ...ours, key: ours.sandboxKey }, ours.twin),
    ...otherAccount,
    foreign: () => idsOf(theirs, theirs.twin),
  },
  {
    name: 'an issuer’s key and another account',
    key: () => ours.issuer.key,
    own: () => idsOf(ours, ours.issuer),
    ...otherAccount,
  },
  {
    name: 'an issuer’s key and another issuer of its account',
    key: () => ours.issuer.key,
    own: () => idsOf(ours, ours.issuer),
    ...siblingIssuer,
  },
  {
    name: 'an organization’s key and another account',
    key: () => ours.issuer.organizations[0].key,
    own: () => idsOf(ours, ours.issuer),
    ...otherAccount,
  },
  {
    name: 'an organization’s key and another issuer of its account',
    key: () => ours.issuer.organizations[0].key,
    own: () => idsOf(ours, ours.issuer),
    ...siblingIssuer,
  },
  {
    name: 'an organization’s key and another organization of its issuer',
    key: () => ours.issuer.organizations[0].key,
    own: () => idsOf(ours, ours.issuer),
    foreign: () => idsOf(ours, ours.issuer, 1),
    victim: () => ({ issuerId: ours.issuer.id }),
    traces: async () => {
      const [, { id, externalId, key, memberId, groupId }] = ours.issuer.organizations;
      return [id, externalId, key.id, memberId, groupId, 'two of first', 'two.first'];
    },
  },
  {
    name: 'the operator’s key and another account',
    key: () => operators.key,
    own: () => idsOf(operators, operators.issuer),
    ...otherAccount,
    // That the account is there, and its name, is what the operator's own trail tells.
    traces: async () => {
      const all = await otherAccount.traces();
      return all.filter((trace) => trace !== 'theirs' && trace !== theirs.accountId);
    },
  },
];

const handled = routes.filter((route) => route.handler !== null);
/** The path with the parameters that stand for something of somebody's. */
const pathOf = ({ path }: Route) =>
  Object.entries(alwaysThere).reduce((filled, [name, value]) => filled.replace(`{${name}}`, value), path);
const parametersOf = (route: Route) => [...pathOf(route).matchAll(/\{(\w+)\}/g)].map(([, name]) => name!);

test('the matrix knows every parameter of every path', () => {
  expect(handled.length).toBeGreaterThan(40);
  expect(routes.flatMap(parametersOf).filter((name) => !(name in unknownIds()))).toEqual([]);
});

describe.each(callers)('$name', (caller) => {
  test('every route answers foreign ids as ids that nobody has, by the same statements', async () => {
    const before = await dumpOf(rows, caller.victim());
    const traces = await caller.traces();
    let asked = 0;
    for (const route of handled) {
      for (const [theirPath, randomPath] of pathPairs(route, caller)) {
        for (const headers of headersFor(route)) {
          const known = await call(route, theirPath, caller, headers);
          const unknown = await call(route, randomPath, caller, headers);
          expect(known, `${route.method} ${theirPath}`).toEqual(unknown);
          expect([403, 404], `${route.operationId}: ${known.text}`).toContain(known.status);
          expect(leaksOf(known, traces)).toEqual([]);
          asked++;
        }
      }
    }
    expect(asked).toBeGreaterThan(30);
    expect(await dumpOf(rows, caller.victim())).toEqual(before);
  });

  test('no list, creation or object of its own shows anything foreign', async () => {
    const before = await dumpOf(rows, caller.victim());
    const traces = await caller.traces();
    const isOperators = caller.key().id === operators.key.id;
    const isShared = caller.foreign().issuer_id === caller.own().issuer_id;
    for (const route of handled) {
      // What ends the caller itself, what the operator is there for, and what changes the issuer that both are of.
      if (/suspend|disable|revoke/.test(route.path) || route.method === 'DELETE') continue;
      if (isOperators && (route.level === 'operator' || route.path.includes('{grant_id}'))) continue;
      if (isShared && route.method !== 'GET') continue;
      const answer = await call(route, ownPath(route, caller.own()), caller, {});
      expect([200, 201, 403, 409], `${route.operationId}: ${answer.text}`).toContain(answer.status);
      expect(leaksOf(answer, traces), route.operationId).toEqual([]);
    }
    expect(await dumpOf(rows, caller.victim())).toEqual(before);
  });
});

test('an account’s key that may do everything is held back by the ids themselves, on every route', async () => {
  const [caller] = callers as [CallerCase];
  for (const route of handled.filter(({ path }) => path.includes('{'))) {
    const isOperators = route.handler !== null && route.level === 'operator';
    for (const [theirPath] of pathPairs(route, caller)) {
      const answer = await call(route, theirPath, caller, {});
      expect(answer.status, route.operationId).toBe(isOperators ? 403 : 404);
    }
    if (route.method !== 'GET' || isOperators) continue;
    const own = await call(route, ownPath(route, caller.own()), caller, {});
    // A live issuer, as its own is, has no mailbox.
    expect(own.status, route.operationId).toBe(route.operationId === 'issuers.listSandboxMails' ? 409 : 200);
  }
});

// ── Requests ────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Every way of mixing own and foreign ids in a path, from the first foreign one on all foreign, beside the same path
 * with random ids in place of the foreign ones.
 */
function pathPairs(route: Route, { key, own, foreign, victim }: CallerCase): [string, string][] {
  const scope = victim();
  const parameters = parametersOf(route);
  if (parameters.includes('account_id')) {
    if (!('accountId' in scope) || key().id === operators.key.id) return [];
    return [
      [
        route.path.replace('{account_id}', scope.accountId),
        route.path.replace('{account_id}', newId(idPrefixes.account)),
      ],
    ];
  }
  const pairs: [string, string][] = [];
  const random = unknownIds();
  for (let foreignFrom = 0; foreignFrom < parameters.length; foreignFrom++) {
    for (const keyId of parameters.includes('key_id') ? foreign().key_id : ['']) {
      const theirs = { ...foreign(), key_id: keyId };
      const isForeign = (name: string) => theirs[name as keyof Ids] !== own()[name as keyof Ids];
      if (!parameters.slice(foreignFrom).every(isForeign)) continue;
      const fill = (foreignId: (name: string) => string) =>
        parameters.reduce((path, name, index) => {
          const ownId = own()[name as keyof Ids];
          return path.replace(`{${name}}`, index < foreignFrom ? String(ownId) : foreignId(name));
        }, pathOf(route));
      pairs.push([fill((name) => theirs[name as keyof Ids]), fill((name) => random[name]!)]);
    }
  }
  return pairs;
}

function ownPath(route: Route, own: Ids): string {
  return parametersOf(route).reduce((path, name) => {
    const ids = name === 'account_id' ? ours.accountId : own[name as keyof Ids];
    return path.replace(`{${name}}`, typeof ids === 'string' ? ids : keyAt(route, ids));
  }, pathOf(route));
}

/** The key of the level that the path is of. */
function keyAt(route: Route, ids: readonly string[]): string {
  if (route.path.includes('{org_id}')) return ids.at(-1)!;
  return route.path.includes('{issuer_id}') ? ids.at(-2)! : ids[0]!;
}

/** What creates is asked with an Idempotency-Key as well, which takes other statements. */
function headersFor(route: Route): Record<string, string>[] {
  if (route.handler === null || route.creates !== true) return [{}];
  return [{}, { 'Idempotency-Key': 'tenancy-matrix' }];
}

/** Asks with a body and a query that are valid, so that nothing but the ids can be what is refused. */
async function call(
  route: Route,
  path: string,
  { key, own }: Pick<CallerCase, 'key' | 'own'>,
  headers: Record<string, string>,
) {
  const { body, parameters } = contract.operation(route.operationId);
  const query = new URLSearchParams(
    parameters
      .filter((parameter) => parameter.in === 'query' && parameter.required)
      .map(({ name, example }): [string, string] => [name, String(example)]),
  );
  sql.clear();
  const answer = await server.operator.api
    .as(key())
    .request(route.method, `${path}${query.size > 0 ? `?${query}` : ''}`, {
      ...(body && { body: withIds(body.example, own()) }),
      headers: { 'X-Request-Id': 'tenancy-matrix', ...headers },
    });
  const { date: _date, ...told } = Object.fromEntries(answer.headers);
  return { status: answer.status, headers: told, text: answer.text, statements: sql.statements };
}

function leaksOf(answer: object, traces: readonly string[]): string[] {
  const text = JSON.stringify(answer);
  return traces.filter((trace) => text.includes(trace));
}
