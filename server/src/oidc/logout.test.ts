import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { OidcBrowser } from '../../test/harness/oidc-browser.ts';
import { claimsOf, OidcClient, redirectUri } from '../../test/harness/oidc-client.ts';
import { send } from '../../test/harness/raw-http.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';

/** What a client is told at its back channel. */
const told: { path: string; token: string }[] = [];
const answers = new Map<string, number>();
const receiver = createServer((request, response) => {
  let body = '';
  request.on('data', (chunk) => {
    body += chunk;
  });
  request.on('end', () => {
    const path = request.url ?? '';
    told.push({ path, token: new URLSearchParams(body).get('logout_token') ?? '' });
    response.writeHead(answers.get(path) ?? 200).end();
  });
});
await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
const receiverUrl = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}`;
const server = await startTestServer({ env: { GATELODGE_OUTBOUND_ALLOW: '127.0.0.1/32' } });
afterAll(async () => {
  receiver.close();
  await server.close();
});
const { api } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
const url = `http://localhost:4600/${issuer.id}`;
const goodbye = 'https://app.example/bye';
const create = (path: string) =>
  OidcClient.create(server, issuer, {
    openid: { post_logout_redirect_uris: [goodbye], backchannel_logout_uri: receiverUrl + path },
  });
const user = await api.create(`${issuer.path}/users`, { username: 'ada@example.com' });
const client = await create('/a');
const other = await create('/b');

async function signedIn() {
  const browser = new OidcBrowser(server);
  const tokens = await client.signIn(browser, { userId: user.id });
  const others = await other.signIn(browser, { userId: user.id });
  return { browser, tokens, others };
}
const logout = (browser: OidcBrowser, parameters: Record<string, string>) =>
  browser.request(`/${issuer.id}/logout?${new URLSearchParams(parameters)}`);
const isSignedIn = async (browser: OidcBrowser) =>
  (await client.code(browser, { userId: 'nobody' }, { prompt: 'none' })).parameters.has('code');
const formOf = (page: string) =>
  new URLSearchParams(
    [...page.matchAll(/name="([^"]*)" value="([^"]*)"/g)].map(([, name, value]): [string, string] => [
      name!,
      value!,
    ]),
  );
const submit = (by: OidcBrowser, body: URLSearchParams) =>
  by.request(`/${issuer.id}/logout`, {
    method: 'POST',
    body: body.toString(),
    headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
  });

async function until(holds: () => boolean): Promise<void> {
  const end = performance.now() + 8_000;
  while (!holds()) {
    if (performance.now() > end) throw new Error('it did not come to be');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe('with an ID token of this login', () => {
  test('the browser is signed out of all clients at once and sent back, and each client is told', async () => {
    const { browser, tokens, others } = await signedIn();
    const answer = await logout(browser, {
      id_token_hint: tokens.id_token!,
      post_logout_redirect_uri: goodbye,
      state: 'xyz',
    });
    expect([answer.status, answer.headers.get('Location')]).toEqual([303, `${goodbye}?state=xyz`]);
    expect(await isSignedIn(browser)).toBe(false);
    for (const [by, { access_token: token, refresh_token: refresh }] of [
      [client, tokens],
      [other, others],
    ] as const) {
      expect((await by.userinfo(token)).status).toBe(401);
      expect((await by.refresh(refresh!)).status).toBe(400);
      const session = await api.get(`${issuer.path}/sessions/${claimsOf(token).sid}`);
      expect(session.body.data.end_reason).toBe('logout');
    }
    const sids = [tokens, others].map(({ access_token: token }) => claimsOf(token).sid);
    await until(() => sids.every((sid) => told.some(({ token }) => claimsOf(token).sid === sid)));
    const keys = createRemoteJWKSet(new URL(`${server.url}/${issuer.id}/jwks.json`));
    const { token } = told.find(({ path, token: jwt }) => path === '/a' && claimsOf(jwt).sid === sids[0])!;
    const { payload } = await jwtVerify(token, keys, { issuer: url, audience: client.id, typ: 'logout+jwt' });
    expect(payload).toEqual({
      iss: url,
      sub: user.id,
      aud: client.id,
      sid: sids[0],
      iat: expect.any(Number),
      exp: expect.any(Number),
      jti: expect.any(String),
      events: { 'http://schemas.openid.net/event/backchannel-logout': {} },
    });
  });

  test('one that has expired will do; another login’s, a forged one or one of another kind will not', async () => {
    const { browser, tokens } = await signedIn();
    const elsewhere = await signedIn();
    const [head, , signature] = tokens.id_token!.split('.');
    const forged = `${head}.${Buffer.from(JSON.stringify({ ...claimsOf(tokens.id_token!), sub: 'x' })).toString('base64url')}.${signature}`;
    for (const token of [forged, tokens.access_token, 'a.b.c', 'x'])
      expect((await logout(browser, { id_token_hint: token })).status).toBe(400);
    const asked = await logout(browser, { id_token_hint: elsewhere.tokens.id_token! });
    expect([asked.status, asked.text.includes('Sign out?')]).toEqual([200, true]);
    expect(await isSignedIn(browser)).toBe(true);
  });
});

// Attack: another site of the host's domain sets a cookie of this name, and the browser is signed out by what nobody reads.
test('of several cookies of its name the first is the login’s, as for the pages before', async () => {
  const { browser, tokens } = await signedIn();
  const name = `gl_login_${issuer.id}`;
  for (const [at, cookie] of [name, `${name}.sig`].entries())
    browser.cookies.set(`/ ${at}`, { name: cookie, value: 'x', path: '/' });
  expect((await logout(browser, { id_token_hint: tokens.id_token! })).status).toBe(200);
  expect(await isSignedIn(browser)).toBe(false);
});

describe('without one', () => {
  // Any page can send a browser here; only its user decides.
  test('the user is asked first, and its answer counts in this browser alone', async () => {
    const { browser } = await signedIn();
    const page = await logout(browser, { client_id: client.id, post_logout_redirect_uri: goodbye });
    expect(page.headers.get('Content-Security-Policy')).toContain("frame-ancestors 'none'");
    expect(await isSignedIn(browser)).toBe(true);
    const form = formOf(page.text);
    const victim = await signedIn();
    expect((await submit(victim.browser, form)).status).toBe(200);
    expect(await isSignedIn(victim.browser)).toBe(true);
    const elsewhere = new URLSearchParams(form);
    elsewhere.delete('post_logout_redirect_uri');
    expect((await submit(browser, elsewhere)).status).toBe(200);
    expect(await isSignedIn(browser)).toBe(true);
    const answer = await submit(browser, form);
    expect([answer.status, answer.headers.get('Location')]).toEqual([303, goodbye]);
    expect(await isSignedIn(browser)).toBe(false);
  });

  test('the user may stay signed in, and is told that it is', async () => {
    const { browser } = await signedIn();
    const page = await logout(browser, { client_id: client.id, post_logout_redirect_uri: goodbye });
    const [, href = ''] = /<a class="button plain" href="([^"]*)">Stay signed in</.exec(page.text) ?? [];
    const stayed = await browser.request(href);
    expect([stayed.status, stayed.text.includes('You are still signed in')]).toEqual([200, true]);
    expect(await isSignedIn(browser)).toBe(true);
    // Said to nobody who is not.
    const nobody = await new OidcBrowser(server).request(href);
    expect(nobody.text).toContain('You are signed out');
  });

  test('nobody is sent anywhere that the client has not registered', async () => {
    const { browser } = await signedIn();
    for (const uri of [
      'https://evil.example',
      `${goodbye}/`,
      `${goodbye}?x`,
      'javascript:alert(1)',
      '//evil',
    ])
      for (const by of [{ client_id: client.id }, {}]) {
        const answer = await logout(browser, { ...by, post_logout_redirect_uri: uri });
        expect([uri, answer.status, answer.headers.get('Location')]).toEqual([uri, 400, null]);
      }
  });

  test('where to go to is looked up of a client, so one has to be named', async () => {
    const parameters = new URLSearchParams({ post_logout_redirect_uri: goodbye });
    const { status, text } = await send(`${server.url}/${issuer.id}/logout?${parameters}`, {});
    expect([status, JSON.parse(text).error_description]).toEqual([
      400,
      'post_logout_redirect_uri comes with client_id or id_token_hint, which say whose it is',
    ]);
  });

  test('the page shows the URI that came and is not registered', async () => {
    const parameters = { client_id: client.id, post_logout_redirect_uri: 'https://app.example/by<e>' };
    const { status, text } = await send(
      `${server.url}/${issuer.id}/logout?${new URLSearchParams(parameters)}`,
      { headers: { Accept: 'text/html' } },
    );
    expect([status, text.includes('<code>https://app.example/by&lt;e&gt;</code>')]).toEqual([400, true]);
    expect(text).toContain('is not among the client’s post-logout redirect URIs');
    expect(text).not.toContain(goodbye);
  });

  test('a POST of another site comes back as a GET, with the cookies', async () => {
    const { browser, tokens } = await signedIn();
    const posted = await browser.request(`/${issuer.id}/logout`, {
      method: 'POST',
      body: new URLSearchParams({ id_token_hint: tokens.id_token!, other: 'x' }).toString(),
      headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
    });
    expect([posted.status, posted.headers.get('Location')]).toEqual([
      303,
      `${url}/logout?id_token_hint=${tokens.id_token}`,
    ]);
  });

  test('a browser that is signed in nowhere is told so, and shown the way on', async () => {
    const browser = new OidcBrowser(server);
    expect((await logout(browser, {})).text).toContain('You are signed out');
    const back = { client_id: client.id, post_logout_redirect_uri: goodbye, state: 's"&' };
    const answer = await logout(browser, back);
    expect([answer.status, answer.headers.get('Location')]).toEqual([200, null]);
    expect(answer.text).toContain('<a class="button" href="https://app.example/bye?state=s%22%26">');
    expect(answer.text).toContain('Go on to app.example</a>');
    const { tokens } = await signedIn();
    const hinted = await logout(browser, { ...back, id_token_hint: tokens.id_token! });
    expect([hinted.status, hinted.headers.get('Location')]).toEqual([303, `${goodbye}?state=s%22%26`]);
  });
});

// Attack: links to a trusted host lead on to wherever a stranger has registered a client for, or one that was stopped did.
describe('a client that nobody vouches for', () => {
  test('that has registered itself: nobody is sent there but by a link that names the host', async () => {
    succeeded(await api.patch(`${issuer.path}/oidc-settings`, { registration: 'open' }));
    const { body } = await api.as(null).post(`/${issuer.id}/register`, {
      client_name: 'Stranger',
      redirect_uris: [redirectUri],
      post_logout_redirect_uris: ['https://stranger.example/trap'],
    });
    const stranger = new OidcClient(server, issuer.id, body.client_id, body.client_secret);
    const browser = new OidcBrowser(server);
    const { id_token: hint } = await stranger.signIn(browser, { userId: user.id });
    const back = { post_logout_redirect_uri: 'https://stranger.example/trap' };
    const elsewhere = await signedIn();
    const asked = await logout(elsewhere.browser, { ...back, client_id: stranger.id });
    expect(asked.headers.get('Content-Security-Policy')).toContain("form-action 'self';");
    const shown = [
      await logout(browser, { ...back, id_token_hint: hint! }),
      await logout(new OidcBrowser(server), { ...back, id_token_hint: hint! }),
      await logout(new OidcBrowser(server), { ...back, client_id: stranger.id }),
      await submit(elsewhere.browser, formOf(asked.text)),
    ];
    for (const { status, headers, text } of shown) {
      expect([status, headers.get('Location')]).toEqual([200, null]);
      expect(text).toContain('You are signed out');
      expect(text).toContain('Go on to stranger.example</a>');
    }
    expect(await isSignedIn(browser)).toBe(false);
    expect(await isSignedIn(elsewhere.browser)).toBe(false);
  });

  test('that is suspended: nobody is sent there at all', async () => {
    const stopped = await create('/stopped');
    const browser = new OidcBrowser(server);
    const { id_token: hint } = await stopped.signIn(browser, { userId: user.id });
    succeeded(await api.post(`${issuer.path}/clients/${stopped.id}/suspend`));
    for (const by of [{ client_id: stopped.id }, { id_token_hint: hint! }]) {
      const answer = await logout(browser, { ...by, post_logout_redirect_uri: goodbye });
      expect([answer.status, answer.headers.get('Location')]).toEqual([200, null]);
      expect(answer.text).not.toContain(`href="${goodbye}`);
    }
    // Who wants to be signed out is.
    expect(await isSignedIn(browser)).toBe(false);
  });
});

test('a revoked session is told to its client as well, and again where it did not listen', async () => {
  const deaf = await create('/deaf');
  answers.set('/deaf', 500);
  const { access_token: token } = await deaf.signIn(new OidcBrowser(server), { userId: user.id });
  const { sid } = claimsOf(token);
  succeeded(await api.post(`${issuer.path}/sessions/${sid}/revoke`));
  await until(() => told.some(({ path }) => path === '/deaf'));
  answers.delete('/deaf');
  await until(() => told.filter(({ path }) => path === '/deaf').length === 2);
});

test('a deleted user’s clients are told that its sessions have ended', async () => {
  const leaving = await api.create(`${issuer.path}/users`, { username: 'leaving@example.com' });
  const { access_token: token } = await client.signIn(new OidcBrowser(server), { userId: leaving.id });
  const { sid } = claimsOf(token);
  succeeded(await api.delete(`${issuer.path}/users/${leaving.id}`));
  await until(() => told.some(({ token: jwt }) => claimsOf(jwt).sid === sid));
  expect(claimsOf(told.find(({ token: jwt }) => claimsOf(jwt).sid === sid)!.token).sub).toBe(leaving.id);
});
