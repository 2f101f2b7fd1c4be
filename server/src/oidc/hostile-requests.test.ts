import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { OidcBrowser, pkce } from '../../test/harness/oidc-browser.ts';
import { OidcClient, redirectUri } from '../../test/harness/oidc-client.ts';
import { send } from '../../test/harness/raw-http.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { TestIssuer } from '../../test/harness/test-issuer.ts';
import { hostileRedirectUris } from '../clients/fixtures/hostile-redirect-uris.ts';

const server = await startTestServer();
afterAll(() => server.close());
const { api } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
const client = await OidcClient.create(server, issuer);
const native = await OidcClient.create(server, issuer, {
  openid: {
    application_type: 'native',
    redirect_uris: ['http://127.0.0.1/cb', 'http://[::1]/cb', 'com.example.app:/cb'],
  },
});
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

describe('a redirect URI', () => {
  // Whoever gets a code sent to a place of its own signs in as the user.
  const mutants = [
    ...hostileRedirectUris,
    `${redirectUri}/`,
    `${redirectUri}?x=1`,
    `${redirectUri}#x`,
    `${redirectUri}%00`,
    `${redirectUri}/../callback`,
    redirectUri.toUpperCase(),
    redirectUri.replace('https', 'http'),
    redirectUri.replace('app.example', 'app.example.'),
    redirectUri.replace('app.example', 'app.example:443'),
    redirectUri.replace('app.example', 'evil.example@app.example'),
    redirectUri.replace('app.example', 'app.example@evil.example'),
    redirectUri.replace('app.example', 'app.example.evil.example'),
    redirectUri.replace('callback', 'c%61llback'),
    redirectUri.replace('callback', 'callback%2f'),
    redirectUri.replace('/callback', '\\callback'),
    ` ${redirectUri}`,
    `${redirectUri} `,
    `${redirectUri}\n`,
  ];

  test('200 mutants of a registered one are refused, and nobody is sent there', async () => {
    expect(mutants.length).toBeGreaterThanOrEqual(200);
    for (const mutant of mutants) {
      const { status, headers } = await authorize(asked({ redirect_uri: mutant }));
      // 431: too long for a request line at all.
      const isRefused = status === 400 || (status === 431 && mutant.length > 10_000);
      expect([mutant.slice(0, 100), isRefused, headers.location]).toEqual([
        mutant.slice(0, 100),
        true,
        undefined,
      ]);
    }
  });

  test('of a native client has any port on loopback, and nothing else of it may differ', async () => {
    const of = (uri: string) => authorize(asked({ client_id: native.id, redirect_uri: uri }));
    for (const uri of ['http://127.0.0.1:51004/cb', 'http://[::1]:1/cb', 'com.example.app:/cb'])
      expect([uri, (await of(uri)).status]).toEqual([uri, 303]);
    for (const uri of [
      'http://127.0.0.1:51004/cb2',
      'http://127.0.0.2:51004/cb',
      'http://localhost:51004/cb',
      'https://127.0.0.1:51004/cb',
      'http://127.0.0.1:99999/cb',
      'http://127.0.0.1:51004/cb?x',
      'http://127.0.0.1:51004@evil.example/cb',
      'http://evil.example:80/cb',
      'com.example.app:/cb/',
      'com.example.app://evil/cb',
    ])
      expect([uri, (await of(uri)).status]).toEqual([uri, 400]);
  });
});

test('PKCE is demanded, S256 alone; optional where a client with a secret says so', async () => {
  const errorOf = async (members: Record<string, string>, by = client) => {
    const { code_challenge: _challenge, code_challenge_method: _method, ...bare } = asked();
    const { headers } = await authorize({ ...bare, client_id: by.id, ...members });
    return headers.location?.includes('/login/')
      ? 'goes on'
      : new URL(headers.location ?? 'https://x').searchParams.get('error');
  };
  const { challenge } = pkce();
  expect(await errorOf({})).toBe('invalid_request');
  expect(await errorOf({ code_challenge: challenge, code_challenge_method: 'plain' })).toBe(
    'invalid_request',
  );
  expect(await errorOf({ code_challenge: challenge })).toBe('invalid_request');
  expect(await errorOf({ code_challenge: challenge, code_challenge_method: 'S256' })).toBe('goes on');
  const optional = await OidcClient.create(server, issuer, { openid: { pkce: 'optional' } });
  expect(await errorOf({}, optional)).toBe('goes on');
  const code = await client.code(new OidcBrowser(server), { userId: user.id });
  expect((await client.redeem({ ...code, verifier: pkce().verifier })).body.error).toBe('invalid_grant');
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

describe('nonsense', () => {
  const paths = [
    '/token',
    '/par',
    '/introspect',
    '/revoke',
    '/keyinfo',
    '/userinfo',
    '/device',
    '/logout',
    '/register',
  ];
  const bodies: [string, string | Uint8Array][] = [
    ['application/x-www-form-urlencoded', ''],
    ['application/x-www-form-urlencoded', 'grant_type=authorization_code&grant_type=refresh_token'],
    ['application/x-www-form-urlencoded', 'client_id=a&client_id=b&token=%00&key=%ED%A0%80&code=%'],
    ['application/x-www-form-urlencoded', '__proto__=1&constructor[prototype]=2&toString=3&hasOwnProperty=4'],
    ['application/x-www-form-urlencoded', `token=${'a'.repeat(50_000)}`],
    ['application/x-www-form-urlencoded', `x=${'a'.repeat(200_000)}`],
    ['application/x-www-form-urlencoded', new Uint8Array([0x61, 0x3d, 0xff, 0xfe, 0x00])],
    ['application/json', '{"grant_type":"authorization_code"}'],
    ['application/json', '['.repeat(20_000)],
    ['text/plain', 'x'],
    ['multipart/form-data; boundary=x', '--x--'],
    ['application/x-www-form-urlencoded; charset=utf-16', 'a=b'],
    ['application/x-www-form-urlencoded; charset=nothing', 'a=b'],
  ];

  test('is the sender’s fault, whatever it is', async () => {
    const basic = `Basic ${Buffer.from(`${client.id}:${client.secret}`).toString('base64')}`;
    for (const path of paths)
      for (const [type, body] of bodies)
        for (const authorization of [undefined, basic, 'Basic !!!', 'Basic JTolJQ==', 'Bearer x', 'DPoP x']) {
          const { status, text } = await send(`${server.url}/${issuer.id}${path}`, {
            method: 'POST',
            headers: { 'Content-Type': type, ...(authorization && { Authorization: authorization }) },
            body,
          });
          expect([path, type, status, status < 500 || text]).toEqual([path, type, status, true]);
        }
  });

  test('at the authorization endpoint too', async () => {
    const deep = `${'{"a":'.repeat(2_000)}1${'}'.repeat(2_000)}`;
    const queries = [
      '',
      'client_id=%00',
      `client_id=${client.id}&client_id=${client.id}`,
      `client_id=${'a'.repeat(10_000)}`,
      ...Object.entries({
        claims: deep.slice(0, 8_000),
        scope: 'openid \u0000 "\\',
        prompt: 'none login',
        max_age: '-1',
        response_mode: 'web_message',
        response_type: 'token id_token',
        nonce: '\ud800',
        state: 'x'.repeat(5_000),
        org: 'org_x',
        resource: 'https://not.registered.example',
        request: 'a.b.c',
        request_uri: 'https://evil.example/x',
        registration: '{}',
        id_token_hint: 'a.b.c',
        ui_locales: '../../etc/passwd',
        login_hint: '<script>',
        acr_values: '__proto__',
        display: 'x',
        dpop_jkt: 'x',
        web_message_uri: 'x',
        code_challenge: 'x',
      }).map(([name, value]) => new URLSearchParams(asked({ [name]: value })).toString()),
      `${new URLSearchParams(asked())}&claims=${encodeURIComponent('{"userinfo":{"__proto__":null,"constructor":{}}}')}`,
      `${new URLSearchParams(asked())}&resource=https://a.example&resource=https://b.example`,
    ];
    for (const query of queries) {
      const { status, text } = await authorize(query);
      expect([query.slice(0, 80), status < 500 || text]).toEqual([query.slice(0, 80), true]);
    }
  });
});

test('unknown and malformed issuers are 404 everywhere', async () => {
  for (const id of [issuer.id.replace(/.$/, 'z'), 'i_x', 'v1', '..', '%00'])
    for (const path of ['/authorize', '/token', '/userinfo', '/.well-known/openid-configuration']) {
      const { status } = await send(`${server.url}/${id}${path}`, {
        method: path === '/token' ? 'POST' : 'GET',
        headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
      });
      expect([id, path, status]).toEqual([id, path, 404]);
    }
});
