import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { codeOf, LoginVisitor } from '../../test/harness/login-pages.ts';
import { Needles } from '../../test/harness/needles.ts';
import { OidcBrowser, pkce } from '../../test/harness/oidc-browser.ts';
import { OidcClient, redirectUri } from '../../test/harness/oidc-client.ts';
import { newAddress } from '../../test/harness/otp-client.ts';
import { send } from '../../test/harness/raw-http.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';

// It stands still, so that what is counted by the minute is counted on.
const server = await startTestServer({ clock: new TestClock(new Date().toISOString()) });
afterAll(() => server.close());
const { api } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
succeeded(await api.patch(`${issuer.path}/oidc-settings`, { device_flow: true }));
const client = await OidcClient.create(server, issuer);
const other = await OidcClient.create(server, issuer);
const user = await api.create(`${issuer.path}/users`, { username: newAddress() });
const signIn = () => client.signIn(new OidcBrowser(server), { userId: user.id });

/** The lines of requests of the runtime that this has made: they are written once the answers have gone out. */
async function linesOf(work: () => Promise<unknown>): Promise<Record<string, unknown>[]> {
  const before = server.logLines.length;
  const lines = () =>
    server.logLines
      .slice(before)
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter(({ message, route }) => message === 'request' && String(route).startsWith('/:issuer_id/'));
  await work();
  for (let known = -1, turn = 0; turn < 20 && (known !== lines().length || known === 0); turn++) {
    known = lines().length;
    await sleep(20);
  }
  return lines();
}

const authorize = (members: Record<string, string>, headers: Record<string, string> = {}) =>
  send(
    `${server.url}/${issuer.id}/authorize?${new URLSearchParams({
      client_id: client.id,
      redirect_uri: redirectUri,
      response_type: 'code',
      scope: 'openid',
      state: 'some-state',
      code_challenge: pkce().challenge,
      code_challenge_method: 'S256',
      ...members,
    })}`,
    { headers: { Accept: 'text/html', ...headers } },
  );

describe('a request of the runtime has its line in the log', () => {
  test('a token that is given out', async () => {
    const code = await client.code(new OidcBrowser(server), { userId: user.id });
    const [line, ...others] = await linesOf(() => client.redeem(code));
    expect(others).toEqual([]);
    expect(line).toEqual({
      level: 'info',
      time: expect.any(String),
      message: 'request',
      method: 'POST',
      route: '/:issuer_id/token',
      status: 200,
      duration_ms: expect.any(Number),
      request_id: expect.stringMatching(/^req_/),
      issuer_id: issuer.id,
      client_id: client.id,
    });
  });

  test('a token of the client’s own, which is made without the library', async () => {
    const machine = await OidcClient.create(server, issuer, {
      confidential: true,
      openid: { application_type: 'm2m', grant_types: ['client_credentials'], redirect_uris: [] },
    });
    const [line] = await linesOf(() => machine.post('/token', { grant_type: 'client_credentials' }));
    expect(line).toMatchObject({ route: '/:issuer_id/token', status: 200, client_id: machine.id });
  });

  test('with the id that the caller has given it', async () => {
    const headers = { 'X-Request-Id': 'caller-1' };
    const [line] = await linesOf(() => client.post('/token', { grant_type: 'refresh_token' }, headers));
    expect(line).toMatchObject({ request_id: 'caller-1', status: 400, code: 'invalid_request' });
  });

  test('each page of a sign-in, by its pattern alone', async () => {
    const visitor = new LoginVisitor(server);
    const address = newAddress();
    const lines = await linesOf(async () => {
      const asked = await visitor.askForCode(await visitor.begin(client), address);
      await visitor.submit(asked.page, { code: '000000' === asked.code ? '111111' : '000000' });
      expect(codeOf(await visitor.submit(asked.page, { code: asked.code }))).not.toBeNull();
    });
    const shown = lines.map(({ method, route, status, reason }) =>
      [method, route, status, reason].filter(Boolean).join(' '),
    );
    expect(shown[0]).toBe('GET /:issuer_id/authorize 303');
    expect(shown).toContain('GET /:issuer_id/login/* 200');
    expect(shown).toContain('POST /:issuer_id/login/* 303 wrong-code');
    expect(shown.at(-1)).toBe('GET /:issuer_id/authorize/* 303');
    for (const line of lines) expect(line).toMatchObject({ issuer_id: issuer.id, client_id: client.id });
  });

  test('pages that say what was wrong, and which budget is used up', async () => {
    const visitor = new LoginVisitor(server);
    const address = newAddress();
    const refusals = async (work: () => Promise<unknown>) =>
      (await linesOf(work)).map(({ method, status, code, reason }) =>
        [method, status, code, reason].join(' '),
      );
    const page = await visitor.begin(client);
    expect(await refusals(() => visitor.submit(page, { email: 'no address' }))).toEqual([
      'POST 303 invalid_request invalid-address',
      'GET 422 invalid_request invalid-address',
    ]);
    const asked = await visitor.askForCode(page, address);
    expect(await refusals(() => visitor.submit(asked.page, { code: 'abc' }))).toEqual([
      'POST 303 invalid_otp malformed-code',
      'GET 422 invalid_otp malformed-code',
    ]);
    const wrong = { code: '000000' === asked.code ? '111111' : '000000' };
    const guesses = await refusals(async () => {
      for (let times = 0; times < 6; times++) await visitor.submit(asked.page, wrong);
    });
    expect(guesses.slice(0, 2)).toEqual([
      'POST 303 invalid_otp wrong-code',
      'GET 422 invalid_otp wrong-code',
    ]);
    expect(guesses.at(-1)).toMatch(/^GET 429 rate_limited (code-spent|too-many-guesses)$/);
  });

  test('and nothing that its caller has made up', async () => {
    const lines = await linesOf(async () => {
      for (const path of ['/token', '/par', '/device/authorization'])
        await client.post(path, { grant_type: 'refresh_token' }, { Origin: 'https://made-up.example' });
    });
    expect(lines).toHaveLength(3);
    expect(JSON.stringify(lines)).not.toContain('made-up');
    expect(lines[0]).toMatchObject({ reason: 'the origin is none of the client’s' });
  });

  test('but discovery, keys and preflights have none', async () => {
    const base = `${server.url}/${issuer.id}`;
    const preflight = { Origin: 'https://app.example', 'Access-Control-Request-Method': 'POST' };
    const lines = await linesOf(async () => {
      await send(`${base}/jwks.json`, {});
      await send(`${base}/.well-known/openid-configuration`, {});
      await send(`${base}/token`, { method: 'OPTIONS', headers: preflight });
    });
    expect(lines).toEqual([]);
  });
});

describe('what was not found is looked up for the log', () => {
  const reasonOf = async (answering: () => ReturnType<OidcClient['post']>) => {
    const before = server.logLines.length;
    const { body, headers } = await answering();
    expect(body.error).toBe('invalid_grant');
    return vi.waitFor(() => {
      const line = server.logLines
        .slice(before)
        .map((each) => JSON.parse(each))
        .find(({ request_id: id }) => id === headers.get('X-Request-Id'));
      expect(line).toBeDefined();
      return line.reason;
    });
  };

  test('a token whose session has been ended, and by what', async () => {
    const tokens = await signIn();
    const { body: next } = succeeded(await client.refresh(tokens.refresh_token!));
    expect(await reasonOf(() => client.refresh(tokens.refresh_token!))).toBe('refresh token already used');
    expect(await reasonOf(() => client.refresh(next.refresh_token))).toBe(
      'refresh token not found; its session has ended: refresh_reuse',
    );
  });

  test('a token whose user is suspended', async () => {
    const { id: userId } = await api.create(`${issuer.path}/users`, { username: newAddress() });
    const tokens = await client.signIn(new OidcBrowser(server), { userId });
    succeeded(await api.post(`${issuer.path}/users/${userId}/suspend`));
    expect(await reasonOf(() => client.refresh(tokens.refresh_token!))).toMatch(
      /^refresh token not found; its (session has ended: user_suspended|user is suspended)$/,
    );
  });

  test('an organization that is suspended', async () => {
    const organization = await issuer.createOrganization();
    const member = { member_id: user.id, scopes: ['invoices:read'] };
    await api.create(`${issuer.path}/organizations/${organization.id}/members`, member);
    succeeded(await api.post(`${issuer.path}/organizations/${organization.id}/suspend`));
    const refusalOf = async (org: string) => {
      const asking = () => client.code(new OidcBrowser(server), { userId: user.id }, { org });
      const { client_id: id, code, reason } = (await linesOf(asking)).at(-1)!;
      return [id, code, reason];
    };
    const words = 'the user is not a member of the organization, or it is suspended';
    const suspended = `${words}; the organization is suspended`;
    expect(await refusalOf(organization.id)).toEqual([client.id, 'access_denied', suspended]);
    const { id: strange } = await issuer.createOrganization();
    expect(await refusalOf(strange)).toEqual([client.id, 'access_denied', words]);
  });

  test('what there never was, as often as a guesser may ask', async () => {
    const guess = () => client.refresh('x'.repeat(43));
    expect(await reasonOf(guess)).toBe('refresh token not found; there is none such, or it has long expired');
    for (let times = 0; times < 30; times++) await guess();
    expect(await reasonOf(guess)).toBe('refresh token not found');
  });
});

describe('a refused one says why, more precisely than its answer', () => {
  const refusal = async (work: () => Promise<unknown>) => {
    const line = (await linesOf(work)).at(-1)!;
    expect(line).toMatchObject({ issuer_id: issuer.id, request_id: expect.any(String) });
    return [line.status, line.client_id, line.code, line.reason];
  };

  test('at the token endpoint', async () => {
    const code = await client.code(new OidcBrowser(server), { userId: user.id });
    const { verifier } = pkce();
    expect(await refusal(() => other.redeem(code))).toEqual([
      400,
      other.id,
      'invalid_grant',
      'client mismatch',
    ]);
    expect(await refusal(() => client.redeem({ ...code, verifier }))).toEqual([
      400,
      client.id,
      'invalid_grant',
      'code_verifier does not match code_challenge',
    ]);
    expect(await refusal(() => client.redeem(code, { redirect_uri: 'https://app.example/x' }))).toEqual([
      400,
      client.id,
      'invalid_grant',
      'authorization code redirect_uri mismatch',
    ]);
    const guess = new OidcClient(server, issuer.id, client.id, 'x'.repeat(43));
    expect(await refusal(() => guess.redeem(code))).toEqual([
      401,
      client.id,
      'invalid_client',
      expect.stringMatching(/secret|mechanism/),
    ]);
  });

  test('scopes that nobody knows, which are left out, and no more than a line of them', async () => {
    const [line] = await linesOf(() => authorize({ scope: 'openid emial invoices:read' }));
    expect(line).toMatchObject({ status: 303, dropped_scopes: 'emial invoices:read' });
    const many = Array.from({ length: 9 }, (_, n) => `s${n}`).join(' ');
    const scope = `opemid ada@example.com ${'ab-'.repeat(30)} ${many}`;
    const [refused] = await linesOf(() => authorize({ scope }));
    expect(refused).toMatchObject({ code: 'invalid_scope', dropped_scopes: 'opemid s0 s1 s2 s3' });
    expect(refused!.reason).not.toContain('opemid');
    const [other] = await linesOf(() => authorize({ scope: 'openid 123456' }));
    expect(other!.dropped_scopes).toBe('no names of scopes');
    const [usual] = await linesOf(() => authorize({ scope: 'openid offline_access' }));
    expect(usual).not.toHaveProperty('dropped_scopes');
  });

  test('at the authorization endpoint, by a page and by a redirect', async () => {
    expect(await refusal(() => authorize({ redirect_uri: 'https://nowhere.example/' }))).toEqual([
      400,
      client.id,
      'invalid_redirect_uri',
      expect.stringContaining('redirect_uri'),
    ]);
    expect(await refusal(() => authorize({ prompt: 'none' }))).toEqual([
      303,
      client.id,
      'login_required',
      expect.any(String),
    ]);
    expect(await refusal(() => authorize({ client_id: 'nobody' }))).toEqual([
      400,
      undefined,
      'invalid_client',
      'client not found',
    ]);
  });

  test('where the client is suspended', async () => {
    const gone = await OidcClient.create(server, issuer, { confidential: true });
    succeeded(await api.post(`${issuer.path}/clients/${gone.id}/suspend`));
    const suspended = expect.stringContaining('the client is suspended');
    const asked = { client_id: gone.id };
    expect(await refusal(() => authorize(asked))).toEqual([400, gone.id, 'invalid_client', suspended]);
    expect(await refusal(() => gone.refresh('x'))).toEqual([401, gone.id, 'invalid_client', suspended]);
    const introspection = () => gone.post('/introspect', { token: 'x' });
    expect(await refusal(introspection)).toEqual([401, gone.id, 'invalid_client', suspended]);
  });

  test('at the endpoints that the library has no part in', async () => {
    const tokens = await signIn();
    succeeded(await client.post('/revoke', { token: tokens.refresh_token! }));
    expect(await refusal(() => client.userinfo(tokens.access_token))).toEqual([
      401,
      client.id,
      'invalid_token',
      'its session has ended',
    ]);
    const bye = `/${issuer.id}/logout?client_id=${client.id}&post_logout_redirect_uri=https://nowhere.example/`;
    const browser = new OidcBrowser(server);
    expect(await refusal(() => browser.request(bye))).toEqual([
      400,
      client.id,
      'invalid_request',
      'post_logout_redirect_uri not registered',
    ]);
    expect(await refusal(() => client.post('/register', {}))).toEqual([
      404,
      undefined,
      'not_found',
      expect.any(String),
    ]);
    expect(await refusal(() => browser.request(`/${issuer.id}/login/nothing`))).toEqual([
      404,
      undefined,
      'not_found',
      expect.any(String),
    ]);
    expect(await refusal(() => client.post('/device/authorization', {}))).toEqual([
      400,
      client.id,
      'unauthorized_client',
      expect.stringContaining('device_code: not among'),
    ]);
  });
});

// Attack: read the log, and find in it what a URL, a form, a cookie or an error has carried.
test('no line has a secret, an address or a state', async () => {
  const needles = new Needles();
  const state = 'a-state-that-nobody-may-read';
  const address = newAddress();
  const otp = { entered: '' };
  const secretive = await OidcClient.create(server, issuer, { confidential: true });
  const before = server.logLines.length;
  const visitor = new LoginVisitor(server);
  const { verifier, challenge } = pkce();
  const begun = await visitor.begin(secretive, { state, code_challenge: challenge, login_hint: address });
  const asked = await visitor.askForCode(begun, address);
  otp.entered = asked.code;
  const uid = asked.page.url.pathname.split('/').at(-1)!;
  await visitor.submit(asked.page, { code: asked.code === '000000' ? '111111' : '000000' });
  const code = codeOf(await visitor.submit(asked.page, { code: asked.code }))!;
  // Where they belong and where they do not.
  await secretive.redeem({ code, verifier: pkce().verifier });
  await secretive.redeem({ code, verifier }, { redirect_uri: `https://app.example/${state}` });
  const { body: tokens } = succeeded(await secretive.redeem({ code, verifier }));
  await secretive.redeem({ code, verifier });
  await secretive.refresh(tokens.refresh_token);
  await secretive.userinfo(tokens.access_token);
  await secretive.post('/introspect', { token: tokens.refresh_token, token_type_hint: address });
  await secretive.post('/par', { scope: state, state, login_hint: address, claims: `{"${address}` });
  await authorize({ client_id: address, state });
  await authorize({ client_id: state, redirect_uri: `https://app.example/?code=${code}` });
  await authorize({ redirect_uri: `https://app.example/${code}?${address}`, state });
  await authorize({ state, scope: `openid ${code} phone`, claims: `{"userinfo":"${address}` });
  await authorize({ state, org: address, resource: `https://${state}.example`, prompt: state });
  await authorize({ state, prompt: 'none', id_token_hint: tokens.id_token, acr_values: address });
  await new OidcBrowser(server).request(
    `/${issuer.id}/logout?id_token_hint=${tokens.id_token}&state=${state}`,
  );
  await new OidcBrowser(server).request(`/${issuer.id}/device?user_code=${state}`);
  await new OidcBrowser(server).request(`/${issuer.id}/authorize/${code}`);
  needles.addSecret('the code', code);
  needles.addSecret('the verifier', verifier);
  needles.addSecret('the client secret', secretive.secret!);
  needles.addSecret('the refresh token', tokens.refresh_token);
  needles.addSecret('the access token', tokens.access_token);
  needles.addSecret('the ID token', tokens.id_token);
  needles.addSecret('the address', address);
  needles.addSecret('the state', state);
  needles.addSecret('the name of the sign-in', uid);
  for (const [name, { value }] of visitor.browser.cookies) needles.addSecret(`the cookie ${name}`, value);
  await vi.waitFor(() => expect(server.logLines.length).toBeGreaterThan(before + 20));
  const text = server.logLines.slice(before).join('');
  expect(needles.findIn(text, 'the log')).toEqual([]);
  // Too short to be looked for in all of its forms.
  expect(text).not.toMatch(new RegExp(`\\b${otp.entered}\\b`));
});
