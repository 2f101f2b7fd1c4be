import { afterAll, expect, test } from 'vitest';
import { createCustomer, withScopes } from '../../test/harness/customer.ts';
import { exampleBodyOf, managementRoutes, pathOf, unknownIds } from '../../test/harness/management-routes.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { createKey } from '../../test/harness/test-issuer.ts';
import { permissionsOfAccount } from '../scopes/scope.ts';

const server = await startTestServer();
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api: operator } = server.operator;
const everything = [...permissionsOfAccount({ isOperator: true })];

// Written out, not derived: a route that opens itself to keys of a lower level has to be noticed.
const keyVerbs = [
  'rotate',
  'import',
  'create',
  'list',
  'get',
  'update',
  'disable',
  'enable',
  'revoke',
  'delete',
  'usage',
];
const openToEveryKey = ['events.list', 'usage.list', 'usage.export', 'usage.reportOutcomes'];
const openBelowOrganization = [
  'organizations.get',
  'organizations.explain',
  ...keyVerbs.map((verb) => `organization.apiKeys.${verb}`),
  ...['create', 'list', 'get', 'update', 'delete'].flatMap((verb) => [
    `organization.members.${verb}`,
    `organization.groups.${verb}`,
  ]),
  'organization.groups.listMembers',
];
const openBelowIssuer = [
  ...['get', 'update', 'suspend', 'activate', 'delete', 'createSandbox'].map((verb) => `issuers.${verb}`),
  'issuers.listSandboxMails',
  'keyProfiles.get',
  'keyProfiles.put',
  ...['list', 'get', 'rotate'].map((verb) => `signingKeys.${verb}`),
  'loginSettings.get',
  'loginSettings.update',
  'oidcSettings.get',
  'oidcSettings.update',
  ...['create', 'list', 'get', 'update', 'suspend', 'activate', 'delete'].map((verb) => `users.${verb}`),
  ...['create', 'list', 'get', 'update', 'rotateSecret', 'suspend', 'activate', 'delete'].map(
    (verb) => `clients.${verb}`,
  ),
  ...['list', 'get', 'revoke'].map((verb) => `sessions.${verb}`),
  ...['list', 'revoke'].map((verb) => `user.sessions.${verb}`),
  'user.organizations.list',
  ...['create', 'list', 'update', 'suspend', 'activate', 'delete'].map((verb) => `organizations.${verb}`),
  ...keyVerbs.map((verb) => `issuer.apiKeys.${verb}`),
];

test.each([
  ['organization', [...openToEveryKey, ...openBelowOrganization]],
  ['issuer', [...openToEveryKey, ...openBelowOrganization, ...openBelowIssuer]],
] as const)(
  'a key of an %s reaches what lies at or below it, whatever it may do',
  async (level, expected) => {
    const issuer = await operator.create('/v1/issuers', { name: 'x' });
    const issuerPath = `/v1/issuers/${issuer.id}`;
    const organization = await operator.create(`${issuerPath}/organizations`, { name: 'x' });
    const owner = level === 'issuer' ? issuerPath : `${issuerPath}/organizations/${organization.id}`;
    const caller = await withScopes(operator, everything, `${owner}/api-keys`);
    const ids = { ...unknownIds(), issuer_id: issuer.id, org_id: organization.id };
    const reached: string[] = [];
    for (const route of managementRoutes) {
      // A query that no route takes: whoever gets past the gate is told about that, and nothing is done.
      const answer = await caller.request(route.method, `${pathOf(route, ids).split('?')[0]}?surprise=1`);
      if (answer.status === 422) reached.push(route.operationId);
      else
        expect([route.operationId, answer.status, answer.body.code]).toEqual([
          route.operationId,
          403,
          'permission_denied',
        ]);
    }
    expect(reached.sort()).toEqual([...expected].sort());
  },
);

test('what lies beside a key is not found, as if it did not exist', async () => {
  const [own, other] = await Promise.all(
    ['own', 'other'].map((name) => operator.create('/v1/issuers', { name })),
  );
  const caller = await withScopes(operator, everything, `/v1/issuers/${own.id}/api-keys`);
  const routes = managementRoutes.filter(({ operationId }) => openBelowIssuer.includes(operationId));
  const before = await rows.snapshot();
  for (const route of routes) {
    const ask = (issuerId: string) =>
      caller.request(route.method, pathOf(route, { ...unknownIds(), issuer_id: issuerId }), {
        headers: { 'X-Request-Id': 'same' },
        ...(route.body && { body: exampleBodyOf(route) }),
      });
    const answer = await ask(other.id);
    expect([route.operationId, answer.status]).toEqual([route.operationId, 404]);
    expect(answer.text).toBe((await ask(unknownIds().issuer_id!)).text);
  }
  expect(await rows.snapshot()).toEqual(before);
});

test('only a live account key of the operator reaches the accounts', async () => {
  const routes = managementRoutes.filter(({ level }) => level === 'operator');
  expect(routes.map(({ operationId }) => operationId).sort()).toEqual(
    ['activate', 'create', 'delete', 'get', 'list', 'suspend', 'update'].map((verb) => `accounts.${verb}`),
  );
  const customer = await createCustomer(server);
  const issuer = `/v1/issuers/${server.demo.issuerId}`;
  const organization = await operator.create(`${issuer}/organizations`, { name: 'x' });
  const callers = [
    customer.api,
    operator.as(await createKey(operator, '/v1/api-keys', { environment: 'sandbox' })),
    await withScopes(operator, everything, `${issuer}/api-keys`),
    await withScopes(operator, everything, `${issuer}/organizations/${organization.id}/api-keys`),
  ];
  const before = await rows.snapshot();
  for (const caller of callers) {
    for (const route of routes) {
      const answer = await caller.request(route.method, pathOf(route, { account_id: customer.id }), {
        ...(route.body && { body: exampleBodyOf(route) }),
      });
      expect([route.operationId, answer.status, answer.body.code]).toEqual([
        route.operationId,
        403,
        'permission_denied',
      ]);
    }
  }
  expect(await rows.snapshot()).toEqual(before);
});

test('a sandbox key of an account may not rename it, since its name is live users’ to see', async () => {
  const customer = await createCustomer(server);
  const sandbox = customer.api.as(await createKey(customer.api, '/v1/api-keys', { environment: 'sandbox' }));
  const before = await rows.snapshot();
  const answer = await sandbox.patch('/v1/account', { name: 'Mallory Inc.' });
  expect([answer.status, answer.body.code]).toEqual([403, 'wrong_environment']);
  expect(await rows.snapshot()).toEqual(before);
});
