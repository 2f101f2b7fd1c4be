import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { OidcBrowser, pkce } from '../../test/harness/oidc-browser.ts';
import { OidcClient, redirectUri } from '../../test/harness/oidc-client.ts';
import { send } from '../../test/harness/raw-http.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { TestIssuer } from '../../test/harness/test-issuer.ts';

const server = await startTestServer();
afterAll(() => server.close());
const { api } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
const client = await OidcClient.create(server, issuer, { settings: { scopes: ['openid', 'email'] } });
const asked = (members: Record<string, string> = {}) => ({
  client_id: client.id,
  redirect_uri: redirectUri,
  response_type: 'code',
  scope: 'openid',
  code_challenge: pkce().challenge,
  code_challenge_method: 'S256',
  ...members,
});
const authorize = (members: Record<string, string>, language = 'en') =>
  send(`${server.url}/${issuer.id}/authorize?${new URLSearchParams(asked(members))}`, {
    headers: { Accept: 'text/html', 'Accept-Language': language },
  });
const descriptionOf = async (members: Record<string, string>) => {
  const { headers } = await authorize(members);
  const { searchParams } = new URL(headers.location!);
  return [searchParams.get('error'), searchParams.get('error_description')];
};

describe('the error page', () => {
  test('shows the redirect URI that came, and none that is registered', async () => {
    const { status, text } = await authorize({ redirect_uri: 'https://app.example/calback' });
    expect(status).toBe(400);
    expect(text).toContain('<code>https://app.example/calback</code>');
    expect(text).toContain('<code>invalid_redirect_uri</code>');
    expect(text).toContain('is not among the client’s redirect URIs');
    // The library's own sentence would say it again.
    expect(text).not.toContain('invalid_redirect_uri:');
    expect(text).not.toContain(redirectUri);
  });

  test('shows the client id that came', async () => {
    const { status, text } = await authorize({ client_id: 'app-of-another-issuer' });
    expect(status).toBe(400);
    expect(text).toContain('<code>app-of-another-issuer</code>');
    expect(text).toContain('<code>invalid_client</code>');
    expect(text).toContain('is not the ID of an active client of this issuer');
  });

  test('in German too', async () => {
    const uri = await authorize({ redirect_uri: 'https://app.example/x' }, 'de');
    expect(uri.text).toContain('keine der Redirect-URIs des Clients');
    expect(uri.text).not.toContain('invalid_redirect_uri:');
    expect(uri.text).toContain('<code>https://app.example/x</code>');
    const id = await authorize({ client_id: 'x' }, 'de');
    expect(id.text).toContain('die ID keines aktiven Clients dieses Ausstellers');
  });

  // Attack: write onto a page of the issuer what it does not say, by a link to it.
  test('shows no sentence of it', async () => {
    const words = 'Your account is locked. Call +49 30 1234567 and have your code at hand.';
    for (const member of ['redirect_uri', 'client_id']) {
      const { text } = await authorize({ [member]: words });
      expect(text).not.toContain('account is locked');
    }
  });

  test('shows neither markup nor invisible characters nor more than a line of it', async () => {
    const { text } = await authorize({
      redirect_uri: `https://x.example/"><script>\u202e\n${'a'.repeat(3000)}`,
    });
    expect(text).not.toContain('"><script>');
    expect(text).toContain('https://x.example/&quot;&gt;&lt;script&gt;%E2%80%AE%0A');
    expect(text).not.toContain('a'.repeat(200));
    expect(text).toContain('a…</code>');
    const { status, text: page } = await authorize({ client_id: `<b>${'a'.repeat(3000)}` });
    expect([status, page.includes('<b>')]).toEqual([400, false]);
  });
});

describe('the client is told', () => {
  test('that it has to send a code challenge', async () => {
    const [error, description] = await descriptionOf({ code_challenge: '', code_challenge_method: '' });
    expect(error).toBe('invalid_request');
    expect(description).toMatch(/^code_challenge is missing.*PKCE/);
  });

  test('which scope is none of its own, and what can be done', async () => {
    const [error, description] = await descriptionOf({ scope: 'openid phone email profile' });
    expect(error).toBe('invalid_scope');
    expect(description).toMatch(/\bphone profile\b.*settings\.scopes/);
    expect(description).toMatch(/^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/);
    const user = await api.create(`${issuer.path}/users`, { username: 'ada@example.com' });
    const tokens = await client.signIn(new OidcBrowser(server), { userId: user.id }, { scope: 'openid' });
    const refreshed = await client.refresh(tokens.refresh_token!, { scope: 'openid email' });
    expect(refreshed.body).toMatchObject({ error: 'invalid_scope', scope: 'email' });
    expect(refreshed.body.error_description).toMatch(/^email: /);
    const pushed = await client.post('/par', asked({ scope: 'openid phone' }));
    expect(pushed.body).toMatchObject({ error: 'invalid_scope', scope: 'phone' });
  });

  test('by its answer alone, of a scope of an API that it does not have', async () => {
    const user = await api.create(`${issuer.path}/users`, { username: 'eve@example.com' });
    const asking = { scope: 'openid invoices:read' };
    expect((await client.signIn(new OidcBrowser(server), { userId: user.id }, asking)).scope).toBe('openid');
  });

  test('that no scope is left which there is, before anybody signs in', async () => {
    const [error, description] = await descriptionOf({ scope: 'opemid emial' });
    expect(error).toBe('invalid_scope');
    expect(description).toMatch(/^opemid emial: .*settings\.scopes/);
    expect(description).toMatch(/^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/);
    const pushed = await client.post('/par', asked({ scope: 'invoices:read' }));
    expect([pushed.status, pushed.body.error]).toEqual([400, 'invalid_scope']);
    expect((await descriptionOf({ scope: 'x'.repeat(3000) }))[1]!.length).toBeLessThan(400);
  });

  test('that it has to name a scope', async () => {
    const rest = Object.fromEntries(Object.entries(asked()).filter(([name]) => name !== 'scope'));
    for (const parameters of [rest, { ...rest, scope: '' }]) {
      const { headers } = await send(
        `${server.url}/${issuer.id}/authorize?${new URLSearchParams(parameters)}`,
        {},
      );
      const { searchParams } = new URL(headers.location!);
      expect(searchParams.get('error')).toBe('invalid_scope');
      expect(searchParams.get('error_description')).toMatch(/^scope is missing.*openid/);
      expect((await client.post('/par', parameters)).body.error).toBe('invalid_scope');
    }
  });

  test('which values of prompt there are', async () => {
    const [error, description] = await descriptionOf({ prompt: 'select_account' });
    expect([error, description]).toEqual([
      'invalid_request',
      'unsupported prompt value requested: none, login and consent work',
    ]);
  });

  test('by which settings a resource may be asked for', async () => {
    const [error, description] = await descriptionOf({ resource: 'https://api.example/' });
    expect(error).toBe('invalid_target');
    expect(description).toMatch(
      /settings\.openid\.resource_indicators of the client.*resources of the issuer/,
    );
    expect(description).not.toContain('api.example');
  });

  test('of no unknown scope beside one that there is', async () => {
    const { status, headers } = await authorize({ scope: 'openid emial' });
    expect([status, headers.location]).toEqual([303, expect.stringContaining(`${issuer.id}/login/`)]);
  });
});
