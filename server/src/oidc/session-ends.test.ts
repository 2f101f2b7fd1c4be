import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { OidcBrowser } from '../../test/harness/oidc-browser.ts';
import { claimsOf, OidcClient, type Tokens } from '../../test/harness/oidc-client.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';

const server = await startTestServer();
const node = await startTestServer({ nodeOf: server });
afterAll(async () => {
  await node.close();
  await server.close();
});
const { id: accountId, api } = await createCustomer(server);

/** An issuer with a user who is signed in to a client, in a browser that stays. */
async function signedIn() {
  const issuer = await TestIssuer.create(server, {}, {}, api);
  const client = await OidcClient.create(server, issuer);
  const user = await api.create(`${issuer.path}/users`, { username: 'ada@example.com' });
  const browser = new OidcBrowser(server);
  const tokens = await client.signIn(browser, { userId: user.id });
  return { issuer, client, user, browser, tokens, sid: claimsOf(tokens.access_token).sid as string };
}

/** What the tokens are good for, by way of a node. */
async function standing(client: OidcClient, tokens: Tokens, at = server) {
  const there = client.at(at);
  return {
    userinfo: (await there.userinfo(tokens.access_token)).status,
    isActive: await there.isActive(tokens.access_token).catch(() => 'refused'),
    refresh: (await there.refresh(tokens.refresh_token!)).status,
  };
}

/** Whether the browser gets a code without its user being asked who it is. */
async function isSignedIn(client: OidcClient, browser: OidcBrowser): Promise<string> {
  const { parameters } = await client.code(browser, { userId: 'nobody' }, { prompt: 'none' });
  return parameters.has('code') ? 'signed in' : parameters.get('error')!;
}

const nothing = { userinfo: 401, isActive: false, refresh: 400 };

describe.each([
  ['a revoked session', async ({ issuer, sid }) => api.post(`${issuer.path}/sessions/${sid}/revoke`)],
  [
    'all sessions of the user revoked',
    async ({ issuer, user }) => api.post(`${issuer.path}/users/${user.id}/sessions/revoke`),
  ],
  ['a suspended user', async ({ issuer, user }) => api.post(`${issuer.path}/users/${user.id}/suspend`)],
  ['a deleted user', async ({ issuer, user }) => api.delete(`${issuer.path}/users/${user.id}`)],
] as [string, (there: Awaited<ReturnType<typeof signedIn>>) => Promise<never>][])('%s', (_, end) => {
  test('ends tokens and the browser’s login at once, on every node', async () => {
    const there = await signedIn();
    const { client, browser, tokens } = there;
    expect((await client.userinfo(tokens.access_token)).status).toBe(200);
    expect((await client.at(node).userinfo(tokens.access_token)).status).toBe(200);
    succeeded(await end(there));
    expect(await standing(client, tokens, node)).toEqual(nothing);
    expect(await standing(client, tokens)).toEqual(nothing);
    expect(await isSignedIn(client, browser.at(node))).toBe('login_required');
    expect(await isSignedIn(client, browser)).toBe('login_required');
  });
});

test('a browser that is signed in to no client yet has to sign in anew as well', async () => {
  const { issuer, user } = await signedIn();
  const external = await OidcClient.create(server, issuer, { type: 'external' });
  const browser = new OidcBrowser(server);
  await external.code(browser, { userId: user.id, refusesConsent: true });
  const first = await OidcClient.create(server, issuer);
  expect(await isSignedIn(first, browser)).toBe('signed in');
  succeeded(await api.post(`${issuer.path}/users/${user.id}/sessions/revoke`));
  expect(await isSignedIn(first, browser)).toBe('login_required');
});

test('a suspended client: nobody signs in, and its tokens are refused', async () => {
  const { issuer, client, tokens, browser } = await signedIn();
  const other = await OidcClient.create(server, issuer);
  expect(await other.at(node).isActive(tokens.access_token)).toBe(true);
  succeeded(await api.post(`${issuer.path}/clients/${client.id}/suspend`));
  expect((await client.refresh(tokens.refresh_token!)).status).toBe(401);
  expect((await client.userinfo(tokens.access_token)).status).toBe(401);
  expect(await other.isActive(tokens.access_token)).toBe(false);
  const { status, text } = await browser.request(
    `/${issuer.id}/authorize?client_id=${client.id}&scope=openid`,
  );
  expect([status, text.includes('invalid_client')]).toEqual([400, true]);
  await within1s(async () => expect(await other.at(node).isActive(tokens.access_token)).toBe(false));
});

test('a suspended issuer or account: 403 in the form of OAuth, at once here and within a second elsewhere', async () => {
  const { issuer, client, tokens, browser } = await signedIn();
  const refused = async (at = server) => [
    (await client.at(at).refresh(tokens.refresh_token!)).status,
    (await client.at(at).userinfo(tokens.access_token)).status,
    (await client.at(at).post('/introspect', { token: tokens.access_token })).status,
    (await browser.at(at).request(`/${issuer.id}/authorize?client_id=${client.id}`)).status,
  ];
  const paths = [`${issuer.path}`, `/v1/accounts/${accountId}`];
  for (const [at, path] of paths.entries()) {
    const by = at === 0 ? api : server.operator.api;
    expect((await client.at(node).userinfo(tokens.access_token)).status).toBe(200);
    succeeded(await by.post(`${path}/suspend`));
    expect(await refused()).toEqual([403, 403, 403, 403]);
    const { body } = await client.refresh(tokens.refresh_token!);
    expect(body).toEqual({ error: 'access_denied', error_description: expect.stringContaining('suspended') });
    await within1s(async () => expect(await refused(node)).toEqual([403, 403, 403, 403]));
    succeeded(await by.post(`${path}/activate`));
    await within1s(async () =>
      expect((await client.at(node).userinfo(tokens.access_token)).status).toBe(200),
    );
  }
});

test('a suspended organization: a token for it alone is for nothing', async () => {
  const { issuer, client, user, browser } = await signedIn();
  const organization = await issuer.createOrganization();
  const path = `${issuer.path}/organizations/${organization.id}`;
  await api.create(`${path}/members`, { member_id: user.id, scopes: ['invoices:read'] });
  const tokens = await client.signIn(browser, { userId: user.id }, { org: organization.id });
  expect(claimsOf(tokens.access_token).org_id).toBe(organization.id);
  expect((await client.userinfo(tokens.access_token)).body.org_id).toBe(organization.id);
  expect((await client.at(node).userinfo(tokens.access_token)).status).toBe(200);
  succeeded(await api.post(`${path}/suspend`));
  expect(await standing(client, tokens)).toEqual(nothing);
  await within1s(async () => expect(await standing(client, tokens, node)).toEqual(nothing));
});

/** Retried until it holds, for a second at the most. */
async function within1s(check: () => Promise<void>): Promise<void> {
  const until = performance.now() + 1_000;
  for (;;) {
    try {
      await check();
      return;
    } catch (error) {
      if (performance.now() > until) throw error;
    }
  }
}
