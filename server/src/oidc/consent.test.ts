import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { OidcBrowser, pkce } from '../../test/harness/oidc-browser.ts';
import { claimsOf, OidcClient, redirectUri } from '../../test/harness/oidc-client.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';
import type { LoadedInteraction } from './interactions.ts';

const server = await startTestServer();
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
const issuerUrl = `${server.running.services.settings.publicUrl}/${issuer.id}`;
const { id: userId } = await api.create(`${issuer.path}/users`, { username: 'ada@example.com' });
const { id: tenant } = await issuer.createOrganization();
await api.create(`${issuer.path}/organizations/${tenant}/members`, {
  member_id: userId,
  scopes: ['invoices:read', 'invoices:write', 'users:admin'],
});

const external = (settings: object = {}, openid: object = {}) =>
  OidcClient.create(server, issuer, { type: 'external', settings, openid });
const change = async (client: OidcClient, patch: object) =>
  succeeded(await api.patch(`${issuer.path}/clients/${client.id}`, patch));

/** Signs the user in; answers the tokens and what was asked on the way. */
async function signIn(client: OidcClient, browser: OidcBrowser, parameters: Record<string, string> = {}) {
  const consents: LoadedInteraction['asked'][] = [];
  const onStep = ({ step, asked }: LoadedInteraction) => step === 'consent' && consents.push(asked);
  return { ...(await client.signIn(browser, { userId, onStep }, parameters)), consents };
}

const scopesIn = ({ organizations }: { organizations: { scopes: string[] }[] }) => organizations[0]!.scopes;

async function scopesEverywhere(client: OidcClient, token: string) {
  const userinfo = await client.userinfo(token);
  const introspection = await client.post('/introspect', { token });
  return [scopesIn(userinfo.body), scopesIn(introspection.body)];
}

describe('what the user is asked', () => {
  test('is all that the client wants, also what it has been allowed before', async () => {
    const client = await external({ organization_scopes: ['invoices:read'] });
    const browser = new OidcBrowser(server);
    const shown = {
      openid: ['openid', 'profile', 'email'],
      claims: [],
      resources: { [issuerUrl]: [] },
      organization_scopes: ['invoices:read'],
      organizations: null,
    };
    expect((await signIn(client, browser)).consents).toEqual([shown]);
    expect((await signIn(client, browser)).consents).toEqual([]);
    expect((await signIn(client, browser, { prompt: 'consent' })).consents).toEqual([shown]);
  });

  test('counts in full, where the client remembers no consent, of every login anew', async () => {
    const client = await external();
    await signIn(client, new OidcBrowser(server));
    expect((await signIn(client, new OidcBrowser(server))).consents).toEqual([]);
    await change(client, { settings: { openid: { remember_consent: false } } });
    expect((await signIn(client, new OidcBrowser(server))).consents).toHaveLength(1);
  });
});

// Attack: a client that many have allowed a little is given more, and takes it from all of them.
describe('scopes in organizations that a client is given later', () => {
  test('reach nobody who has not agreed to them', async () => {
    const client = await external({ organization_scopes: ['invoices:read'] });
    const browser = new OidcBrowser(server);
    const tokens = await signIn(client, browser);
    for (const wider of [['invoices:read', 'users:admin'], null]) {
      await change(client, { settings: { organization_scopes: wider } });
      expect(await scopesEverywhere(client, tokens.access_token)).toEqual([
        ['invoices:read'],
        ['invoices:read'],
      ]);
    }
    const { body: refreshed } = await client.refresh(tokens.refresh_token!);
    for (const token of [refreshed.access_token, refreshed.id_token])
      expect(scopesIn(claimsOf(token))).toEqual(['invoices:read']);
    // Here and wherever else she signs in she is asked first.
    for (const each of [browser, new OidcBrowser(server)]) {
      const { parameters } = await client.code(each, { userId, refusesConsent: true });
      expect(parameters.get('error')).toBe('access_denied');
    }
    const asked = await signIn(client, browser);
    expect(asked.consents.map(({ organization_scopes: scopes }) => scopes)).toEqual([null]);
    expect(scopesIn(claimsOf(asked.access_token))).toHaveLength(3);
    expect((await signIn(client, new OidcBrowser(server))).consents).toEqual([]);
  });

  test('while the page is open are not what was allowed', async () => {
    const client = await external({ organization_scopes: [] });
    const widen = async () => change(client, { settings: { organization_scopes: ['users:admin'] } });
    const shown: unknown[] = [];
    const tokens = await client.signIn(new OidcBrowser(server), {
      userId,
      onStep: async ({ step, asked }) => {
        if (step !== 'consent') return;
        if (shown.push(asked.organization_scopes) === 1) await widen();
      },
    });
    expect(shown).toEqual([[], ['users:admin']]);
    expect(scopesIn(claimsOf(tokens.access_token))).toEqual(['users:admin']);
  });

  test('are had at once by clients of the issuer’s own', async () => {
    const client = await OidcClient.create(server, issuer, {
      settings: { organization_scopes: ['invoices:read'] },
    });
    const tokens = await client.signIn(new OidcBrowser(server), { userId });
    await change(client, { settings: { organization_scopes: ['invoices:read', 'users:admin'] } });
    const { body } = await client.refresh(tokens.refresh_token!);
    expect(scopesIn(claimsOf(body.access_token))).toEqual(['invoices:read', 'users:admin']);
  });

  // External, the issuer's own for a while, and external again: what was agreed to is what it was.
  test('are not had by way of another type', async () => {
    const client = await external({ organization_scopes: ['invoices:read'] });
    const browser = new OidcBrowser(server);
    await signIn(client, browser);
    await change(client, { type: 'first_party', settings: { organization_scopes: null } });
    const tokens = await signIn(client, browser);
    expect(scopesIn(claimsOf(tokens.access_token))).toHaveLength(3);
    await change(client, { type: 'external' });
    const { body } = await client.refresh(tokens.refresh_token!);
    expect(scopesIn(claimsOf(body.access_token))).toEqual(['invoices:read']);
    expect(await scopesEverywhere(client, body.access_token)).toEqual([['invoices:read'], ['invoices:read']]);
  });

  test('by a grant of the build before count as they did, until the user is asked again', async () => {
    const client = await external({ organization_scopes: ['invoices:read'] });
    const browser = new OidcBrowser(server);
    const { refresh_token: token } = await signIn(client, browser);
    await rows.query('update sessions set organization_scopes = null where client_id = $1', [client.id]);
    const { keys, oidc } = server.running.services;
    const { provider } = await oidc.providers.of((await keys.findIssuer(issuer.id))!);
    const { grantId } = (await provider.RefreshToken.find(token!))!;
    const grant = (await provider.Grant.find(grantId!))!;
    delete grant.organizationScopes;
    await grant.save();
    const { body } = await client.refresh(token!);
    expect(scopesIn(claimsOf(body.access_token))).toEqual(['invoices:read']);
    expect(await scopesEverywhere(client, body.access_token)).toEqual([['invoices:read'], ['invoices:read']]);
    expect((await signIn(client, browser)).consents).toHaveLength(1);
    expect((await signIn(client, browser)).consents).toEqual([]);
  });

  test('that are taken away are gone at once', async () => {
    const client = await external({ organization_scopes: ['invoices:read', 'users:admin'] });
    const tokens = await signIn(client, new OidcBrowser(server));
    await change(client, { settings: { organization_scopes: ['users:admin'] } });
    const [userinfo] = await scopesEverywhere(client, tokens.access_token);
    expect(userinfo).toEqual(['users:admin']);
  });
});

// What nobody was asked about as long as the client was the issuer's own: sold, or found out, it goes on with it.
describe('a client of the issuer’s own that is external from now on', () => {
  test('within an open consent gets what that page has shown, and no more', async () => {
    const client = await OidcClient.create(server, issuer);
    const browser = new OidcBrowser(server);
    await client.signIn(browser, { userId }, { scope: 'openid profile email' });
    const becomeExternal = () => change(client, { type: 'external' });
    await client.code(
      browser,
      { userId, onStep: async ({ step }) => step === 'consent' && becomeExternal() },
      { scope: 'openid', prompt: 'consent' },
    );
    const asked = await signIn(client, new OidcBrowser(server));
    expect(asked.consents.map(({ openid }) => openid)).toEqual([['openid', 'profile', 'email']]);
  });

  test('is told nothing more by the tokens that it has', async () => {
    const client = await OidcClient.create(server, issuer);
    const tokens = await client.signIn(new OidcBrowser(server), { userId });
    await change(client, { type: 'external' });
    expect((await client.userinfo(tokens.access_token)).status).toBe(401);
    expect(await client.isActive(tokens.access_token)).toBe(false);
    expect(await client.isActive(tokens.refresh_token!)).toBe(false);
  });
});

// Attack: a redirect URI is taken out since others have got hold of its host; sign-ins that were begun before lead there.
describe('what is taken from a client while somebody signs in', () => {
  const other = 'https://app.example/elsewhere';
  const both = { redirect_uris: [redirectUri, other] };

  test.each(['login', 'consent'])('a redirect URI, at the step %s: nobody is sent there', async (at) => {
    const client = await external({}, both);
    const take = () => change(client, { settings: { openid: { redirect_uris: [other] } } });
    const code = client.code(new OidcBrowser(server), {
      userId,
      onStep: async ({ step }) => step === at && take(),
    });
    await expect(code).rejects.toThrow('invalid_redirect_uri');
  });

  test('a redirect URI, once the code is there: it is worth nothing', async () => {
    const client = await external({}, both);
    const code = await client.code(new OidcBrowser(server), { userId });
    await change(client, { settings: { openid: { redirect_uris: [other] } } });
    expect((await client.redeem(code)).body.error).toBe('invalid_grant');
    await change(client, { settings: { openid: both } });
    expect((await client.redeem(code)).status).toBe(200);
  });

  test('a redirect URI and a resource: the error is sent nowhere either', async () => {
    const resource = 'https://api.example/';
    const client = await external({}, { ...both, resource_indicators: [resource] });
    const begun = client.code(
      new OidcBrowser(server),
      {
        userId,
        onStep: async ({ step }) =>
          step === 'login' &&
          change(client, { settings: { openid: { redirect_uris: [other], resource_indicators: [] } } }),
      },
      { resource },
    );
    await expect(begun).rejects.toThrow('invalid_redirect_uri');
    const resumed = new OidcBrowser(server);
    const again = await external({}, { ...both, resource_indicators: [resource] });
    const { challenge } = pkce();
    const asked = { client_id: again.id, redirect_uri: redirectUri, response_type: 'code', scope: 'openid' };
    const proof = { code_challenge: challenge, code_challenge_method: 'S256', resource };
    const to = await resumed.request(
      `/${issuer.id}/authorize?${new URLSearchParams({ ...asked, ...proof })}`,
    );
    const uid = /\/login\/([^/]+)$/.exec(to.headers.get('Location')!)![1]!;
    await change(again, { settings: { openid: { redirect_uris: [other], resource_indicators: [] } } });
    const answer = await resumed.request(`/${issuer.id}/authorize/${uid}`);
    expect([answer.status, answer.headers.get('Location')]).toEqual([400, null]);
  });

  test('codes altogether', async () => {
    const client = await external();
    const take = () => change(client, { settings: { openid: { grant_types: ['client_credentials'] } } });
    const code = client.code(new OidcBrowser(server), {
      userId,
      onStep: async ({ step }) => step === 'login' && take(),
    });
    await expect(code).rejects.toThrow('unauthorized_client');
  });
});

// Each scope is kept once for each resource that knows it: what is kept grows with the product of the two.
test('a short request for many scopes at many resources is refused before much is kept of it', async () => {
  const resources = Array.from({ length: 100 }, (_, n) => `https://r.example/${n}`);
  const scopes = Array.from({ length: 99 }, (_, n) => `scope${n}`.padEnd(28, 'x'));
  const client = await external({ scopes: ['openid', ...scopes] }, { resource_indicators: resources });
  const query = new URLSearchParams({
    client_id: client.id,
    redirect_uri: redirectUri,
    response_type: 'code',
    scope: ['openid', ...scopes].join(' '),
    code_challenge: pkce().challenge,
    code_challenge_method: 'S256',
  });
  for (const resource of resources) query.append('resource', resource);
  const answer = await new OidcBrowser(server).request(`/${issuer.id}/authorize?${query}`);
  expect(new URL(answer.headers.get('Location')!).searchParams.get('error')).toBe('invalid_request');
});

test('the event of a consent tells all that was allowed', async () => {
  const client = await external({ organization_scopes: ['invoices:read'] });
  await signIn(client, new OidcBrowser(server), { scope: 'openid email' });
  const { body } = await api.get('/v1/events?type=authorization.granted&limit=1');
  expect(body.data[0].data).toEqual({
    client_id: client.id,
    scopes: ['openid', 'email'],
    organization_scopes: ['invoices:read'],
    organizations: null,
  });
});
