import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { exampleBodyOf, managementRoutes, pathOf } from '../../test/harness/management-routes.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { signIn } from '../../test/harness/sign-in.ts';
import { createKey, succeeded } from '../../test/harness/test-issuer.ts';

const server = await startTestServer();
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api: operator } = server.operator;

/** The event of every operation that changes something; one that is missing here has none to show. */
const eventOf: Record<string, string> = {
  'account.update': 'account.updated',
  'accounts.create': 'account.created',
  'accounts.update': 'account.updated',
  'accounts.suspend': 'account.suspended',
  'accounts.activate': 'account.activated',
  'accounts.delete': 'account.deletion_requested',
  'supportGrants.create': 'support-grant.created',
  'supportGrants.revoke': 'support-grant.revoked',
  'plans.create': 'plan.created',
  'plans.update': 'plan.updated',
  'plans.delete': 'plan.deleted',
  'issuers.create': 'issuer.created',
  'issuers.update': 'issuer.updated',
  'issuers.suspend': 'issuer.suspended',
  'issuers.activate': 'issuer.activated',
  'issuers.delete': 'issuer.deleted',
  'issuers.createSandbox': 'issuer.created',
  'keyProfiles.put': 'key-profile.updated',
  'loginSettings.update': 'login-settings.updated',
  'oidcSettings.update': 'oidc-settings.updated',
  'users.create': 'user.created',
  'users.update': 'user.updated',
  'users.suspend': 'user.suspended',
  'users.activate': 'user.activated',
  'users.delete': 'user.deleted',
  'clients.create': 'client.created',
  'clients.update': 'client.updated',
  'clients.rotateSecret': 'client.secret_rotated',
  'clients.suspend': 'client.suspended',
  'clients.activate': 'client.activated',
  'clients.delete': 'client.deleted',
  'signingKeys.rotate': 'signing-key.rotated',
  'sessions.revoke': 'session.terminated',
  'user.sessions.revoke': 'session.terminated',
  'organizations.create': 'organization.created',
  'organizations.update': 'organization.updated',
  'organizations.suspend': 'organization.suspended',
  'organizations.activate': 'organization.activated',
  'organizations.delete': 'organization.deleted',
  'organization.members.create': 'organization.membership.created',
  'organization.members.update': 'organization.membership.updated',
  'organization.members.delete': 'organization.membership.deleted',
  'organization.groups.create': 'organization.group.created',
  'organization.groups.update': 'organization.group.updated',
  'organization.groups.delete': 'organization.group.deleted',
  ...Object.fromEntries(
    ['apiKeys', 'issuer.apiKeys', 'organization.apiKeys'].flatMap((noun) => [
      [`${noun}.create`, 'api-key.created'],
      [`${noun}.import`, 'api-key.imported'],
      [`${noun}.rotate`, 'api-key.rotated'],
      [`${noun}.update`, 'api-key.updated'],
      [`${noun}.disable`, 'api-key.disabled'],
      [`${noun}.enable`, 'api-key.enabled'],
      [`${noun}.revoke`, 'api-key.revoked'],
      [`${noun}.delete`, 'api-key.deleted'],
    ]),
  ),
};

/** What only adds to usage is no change of anything, and neither is a question. */
const withoutEvent = ['usage.reportOutcomes', 'organizations.explain'];
const mutations = managementRoutes.filter(
  ({ method, operationId }) => method !== 'GET' && !withoutEvent.includes(operationId),
);

test('every operation that changes something has its event', () => {
  expect(mutations.map(({ operationId }) => operationId).sort()).toEqual(Object.keys(eventOf).sort());
});

/** An account with one of everything, fresh, because some operations leave little of it. */
async function makeTenancy(level: 'account' | 'issuer' | 'organization') {
  const { id, key, api } = await createCustomer(server);
  const issuer = await api.create('/v1/issuers', { name: 'x', environment: 'live' });
  const issuerPath = `/v1/issuers/${issuer.id}`;
  const organization = await api.create(`${issuerPath}/organizations`, { name: 'x' });
  const user = await api.create(`${issuerPath}/users`, { username: 'x@example.com' });
  const member = await api.create(`${issuerPath}/users`, { username: 'member@example.com' });
  const below = `${issuerPath}/organizations/${organization.id}`;
  await api.create(`${below}/members`, { member_id: member.id, scopes: ['reports:read'] });
  const group = await api.create(`${below}/groups`, { name: 'x', scopes: ['reports:read'] });
  const client = await api.create(`${issuerPath}/clients`, {
    name: 'x',
    settings: { openid: { redirect_uris: ['https://x.example/callback'] } },
  });
  const session = await signIn(server, issuer.id, user.id);
  const owner = {
    account: '/v1',
    issuer: issuerPath,
    organization: below,
  }[level];
  const { id: keyId } = await createKey(api, `${owner}/api-keys`);
  const grant = await api.create('/v1/account/support-grants', { reason: 'x', expires_in_seconds: 3600 });
  const plan = await api.create('/v1/plans', { name: 'x' });
  const ids = {
    account_id: id,
    issuer_id: issuer.id,
    org_id: organization.id,
    user_id: user.id,
    member_id: member.id,
    group_id: group.id,
    client_id: client.id,
    session_id: session.session_id,
    key_id: keyId,
    grant_id: grant.id,
    plan_name: plan.name,
  };
  return { id, key, api, ids };
}

describe('one change is one event in each trail that it concerns', () => {
  test.each(mutations.map((route) => [route.operationId, route] as const))('%s', async (name, route) => {
    const level = route.path.includes('{org_id}')
      ? 'organization'
      : route.path.includes('{issuer_id}')
        ? 'issuer'
        : 'account';
    const { id, key, api, ids } = await makeTenancy(level);
    const isOperators = route.level === 'operator';
    const caller = isOperators ? operator : api;
    const path = pathOf(route, ids);
    // What is to be activated has to be suspended first.
    const opposite = { activate: 'suspend', enable: 'disable' }[name.split('.').at(-1)!];
    if (opposite !== undefined) succeeded(await caller.post(path.replace(/\w+$/, opposite)));

    const { result: answer, events } = await rows.eventsOf(() =>
      caller.request(route.method, name === 'accounts.delete' ? `${path}&force=true` : path, {
        headers: { 'User-Agent': 'tests/1.0' },
        ...(route.body && { body: exampleBodyOf(route, ids) }),
      }),
    );
    expect([200, 201, 202, 204]).toContain(answer.status);
    const operatorsAccount = server.operator.accountId;
    // The job that deletes an account takes the account's own trail with it, and may be done by now.
    const isDeletion = name === 'accounts.delete';
    // Of a rotation two keys tell: the old one that it has a successor, and the successor that it was made.
    const isRotation = name.endsWith('.rotate');
    const created = eventOf[name]!.replace('.rotated', '.created');
    if (isRotation) expect(events.map(({ type }) => type)).toEqual([eventOf[name], created]);
    // And of a suspended user its sessions, which have ended.
    const isSuspension = name === 'users.suspend';
    if (isSuspension)
      expect(events.map(({ type }) => type)).toEqual(['user.suspended', 'session.terminated']);
    const told = events.filter(
      ({ type }) =>
        !(isDeletion && type === 'account.deleted') &&
        !(isRotation && type === created) &&
        !(isSuspension && type === 'session.terminated'),
    );
    const customersAccount = answer.body?.data?.id ?? id;
    const trails = isOperators ? [operatorsAccount, customersAccount] : [id];
    const left = isDeletion && told.length === 1 ? [operatorsAccount] : trails;
    expect(new Set(told.map(({ account_id }) => account_id))).toEqual(new Set(left));
    expect(told.length).toBe(left.length);
    for (const event of told) {
      expect(event.type).toBe(eventOf[name]);
      expect(event.request_id).toBe(answer.headers.get('X-Request-Id'));
      expect(event.actor).toEqual(
        isOperators && event.account_id !== operatorsAccount
          ? { type: 'system', id: 'operator', ip: null, user_agent: null }
          : {
              type: 'api_key',
              id: isOperators ? server.operator.key.id : key.id,
              ip: '127.0.0.1',
              user_agent: 'tests/1.0',
            },
      );
      const secrets = JSON.stringify(answer.body ?? '').match(/[0-9A-Za-z]{44}|gl_cs_[\w-]{43}/g) ?? [];
      for (const secret of secrets) expect(JSON.stringify(event)).not.toContain(secret);
    }
  });
});
