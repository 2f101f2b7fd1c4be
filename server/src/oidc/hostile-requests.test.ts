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
const client = await OidcClient.create(server, issuer);
const user = await api.create(`${issuer.path}/users`, { username: 'ada@example.com' });
const asked = (members: Record<string, string> = {}) => ({
  client_id: client.id,
  redirect_uri: redirectUri,
  response_type: 'code',
  scope: 'openid',
  state: 's',
  code_challenge: pkce().challenge,
  code_challenge_method: 'S256',
  ...members,
});
const authorize = (query: Record<string, string> | string, headers: Record<string, string | string[]> = {}) =>
  send(`${server.url}/${issuer.id}/authorize?${new URLSearchParams(query)}`, {
    headers: { Accept: 'text/html', ...headers },
  });

describe('forged ways of being called', () => {
  // A Host or X-Forwarded-Host of the attacker's in a redirect or a document sends users and codes to it.
  const forged = {
    Host: 'evil.example',
    'X-Forwarded-Host': 'evil.example',
    'X-Forwarded-Proto': 'https',
    'X-Forwarded-Port': '666',
    'X-Forwarded-Prefix': '/evil.example',
    'X-Forwarded-Server': 'evil.example',
    'X-Original-URL': 'https://evil.example/',
    'X-Rewrite-URL': 'https://evil.example/',
    'X-Host': 'evil.example',
    Forwarded: 'host=evil.example;proto=https',
  };

  test('leave no byte in discovery, redirects, cookies or pages', async () => {
    const base = `${server.url}/${issuer.id}`;
    const { Host, ...others } = forged;
    const answers = [
      await send(`${base}/.well-known/openid-configuration`, { headers: forged }),
      await send(`${server.url}/.well-known/oauth-authorization-server/${issuer.id}`, { headers: forged }),
      await authorize(asked(), forged),
      await authorize(asked({ prompt: 'none' }), forged),
      await authorize(asked({ redirect_uri: 'https://nowhere.example' }), forged),
      await send(`${base}/token`, { method: 'POST', headers: forged }),
      await send(`${base}/userinfo`, { headers: forged }),
      await send(`${base}/authorize/abc`, { headers: forged }),
    ];
    void [Host, others];
    for (const { status, headers, text } of answers) {
      expect(JSON.stringify([status, headers, text])).not.toMatch(/evil|666|https:\/\/localhost/);
      expect(status).toBeLessThan(500);
    }
    expect(answers[2]!.headers.location).toMatch(new RegExp(`^http://localhost:4600/${issuer.id}/login/`));
  });

  test('nor does a whole URL in the request line', async () => {
    const { hostname, port } = new URL(server.url);
    const path = `/${issuer.id}/authorize?${new URLSearchParams(asked())}`;
    const { connect } = await import('node:net');
    const text = await new Promise<string>((resolve, reject) => {
      const socket = connect(Number(port), hostname, () => {
        socket.write(
          `GET http://evil.example${path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n`,
        );
      });
      let received = '';
      socket.on('data', (chunk) => {
        received += chunk.toString();
      });
      socket.on('end', () => resolve(received));
      socket.on('error', reject);
    });
    expect(text).toMatch(/^HTTP\/1.1 303 /);
    expect(text).not.toContain('evil');
  });
});

describe('cookies', () => {
  test('are for their issuer and their page alone, and out of reach of scripts', async () => {
    const browser = new OidcBrowser(server);
    await client.signIn(browser, { userId: user.id });
    const base = `/${issuer.id}/`;
    expect(browser.setCookies.length).toBeGreaterThan(4);
    for (const line of browser.setCookies) {
      expect(line).toMatch(/; samesite=lax/i);
      expect(line).toMatch(/; httponly/i);
      expect(/path=([^;]*)/i.exec(line)![1]!.startsWith(base)).toBe(true);
      expect(line).toContain(issuer.id);
    }
  });

  test('of one issuer are none of another, under whichever name they are sent', async () => {
    const other = await TestIssuer.create(server, {}, {}, api);
    const otherClient = await OidcClient.create(server, other);
    const browser = new OidcBrowser(server);
    await client.signIn(browser, { userId: user.id });
    const renamed = [...browser.cookies]
      .map(([, { name, value }]) => `${name.replace(issuer.id, other.id)}=${value}`)
      .join('; ');
    const { headers } = await send(
      `${server.url}/${other.id}/authorize?${new URLSearchParams(asked({ client_id: otherClient.id, prompt: 'none' }))}`,
      { headers: { Cookie: renamed } },
    );
    expect(new URL(headers.location!).searchParams.get('error')).toBe('login_required');
  });

  test('that nobody has signed count for nothing', async () => {
    const browser = new OidcBrowser(server);
    await client.signIn(browser, { userId: user.id });
    for (const [key, cookie] of browser.cookies)
      if (cookie.name.endsWith('.sig'))
        browser.cookies.set(key, { ...cookie, value: `${cookie.value.slice(0, -2)}AA` });
    const { parameters } = await client.code(browser, { userId: user.id }, { prompt: 'none' });
    expect(parameters.get('error')).toBe('login_required');
  });
});

describe('what belongs to another issuer', () => {
  // Two customers share the host: neither's clients, codes or users are anything at the other.
  test('is nothing here', async () => {
    const { api: otherApi } = await createCustomer(server);
    const other = await TestIssuer.create(server, {}, {}, otherApi);
    const theirs = await OidcClient.create(server, other);
    const code = await client.code(new OidcBrowser(server), { userId: user.id });
    const tokens = await client.signIn(new OidcBrowser(server), { userId: user.id });
    const here = new OidcClient(server, other.id, client.id, client.secret);
    const stolen = new OidcClient(server, issuer.id, theirs.id, theirs.secret);
    expect((await here.redeem(code)).status).toBe(401);
    expect((await stolen.redeem(code)).status).toBe(401);
    expect((await theirs.redeem(code)).body.error).toBe('invalid_grant');
    expect((await theirs.refresh(tokens.refresh_token!)).body.error).toBe('invalid_grant');
    expect((await theirs.userinfo(tokens.access_token)).status).toBe(401);
    expect(await theirs.isActive(tokens.access_token)).toBe(false);
    expect((await theirs.post('/revoke', { token: tokens.access_token })).status).toBe(200);
    expect((await theirs.post('/revoke', { token: tokens.refresh_token! })).status).toBe(200);
    expect((await client.userinfo(tokens.access_token)).status).toBe(200);
    // A user of the one signs in at the other.
    const arrival = await theirs.code(new OidcBrowser(server), { userId: user.id });
    expect(arrival.parameters.get('error')).toBe('access_denied');
  });
});

test('whoever signs in as another user than `claims` names is not asked again and again', async () => {
  const claims = JSON.stringify({ id_token: { sub: { value: 'user_somebody' } } });
  const { parameters } = await client.code(new OidcBrowser(server), { userId: user.id }, { claims });
  expect(parameters.get('error')).toBe('login_required');
});

// Attack: a frame in a sandbox, which anybody's page can make, has the origin `null`; and so has, for a parser of URLs,
// the scheme of an application.
test('a page reads what a public client is told where users are sent back to it, and never as `null`', async () => {
  const app = await OidcClient.create(server, issuer, {
    confidential: false,
    openid: {
      application_type: 'native',
      redirect_uris: ['com.example.app:/callback', 'http://127.0.0.1/callback', redirectUri],
    },
  });
  const form = { grant_type: 'refresh_token', refresh_token: 'x', token: 'x', response_type: 'code' };
  for (const path of ['/token', '/revoke', '/par'])
    for (const [origin, isRead] of [
      [new URL(redirectUri).origin, true],
      ['http://127.0.0.1', true],
      ['null', false],
      ['com.example.app://', false],
      ['https://evil.example', false],
    ] as const) {
      const { headers } = await app.post(path, form, { Origin: origin });
      const allowed = headers.get('Access-Control-Allow-Origin');
      expect([path, origin, allowed]).toEqual([path, origin, isRead ? origin : null]);
    }
});

test('an external client’s token opens neither /auth/me nor /v1/me, an ID token nothing', async () => {
  const tokens = await client.signIn(new OidcBrowser(server), { userId: user.id });
  const by = async (path: string, token: string) =>
    (await send(server.url + path, { headers: { Authorization: `Bearer ${token}` } })).status;
  for (const token of [tokens.access_token, tokens.id_token!])
    for (const path of ['/auth/me', `/${issuer.id}/auth/me`, '/v1/me'])
      expect([path, await by(path, token)]).toEqual([path, 401]);
  expect(await by(`/${issuer.id}/userinfo`, tokens.id_token!)).toBe(401);
  expect(await client.isActive(tokens.id_token!)).toBe(false);
  const refreshed = await send(`${server.url}/auth/refresh`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ refresh_token: tokens.refresh_token }),
  });
  expect(refreshed.status).toBe(401);
});
