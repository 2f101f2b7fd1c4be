import { createRemoteJWKSet, jwtVerify } from 'jose';
import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { OidcBrowser, pkce } from '../../test/harness/oidc-browser.ts';
import { claimsOf, OidcClient, redirectUri } from '../../test/harness/oidc-client.ts';
import { send } from '../../test/harness/raw-http.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { TestIssuer } from '../../test/harness/test-issuer.ts';

const server = await startTestServer();
afterAll(() => server.close());
const { api } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
const url = `http://localhost:4600/${issuer.id}`;
const client = await OidcClient.create(server, issuer);
const user = await api.create(`${issuer.path}/users`, {
  username: 'ada@example.com',
  profile: { first_name: 'Ada', last_name: 'Lovelace' },
});
const organization = await issuer.createOrganization();
await api.create(`${issuer.path}/organizations/${organization.id}/members`, {
  member_id: user.id,
  scopes: ['invoices:read', 'invoices:write'],
});

describe('a code flow', () => {
  test('ends with tokens that any library verifies, with the organization in both', async () => {
    const browser = new OidcBrowser(server);
    const { code, verifier, parameters } = await client.code(browser, { userId: user.id }, { nonce: 'n-1' });
    expect([parameters.get('state'), parameters.get('iss')]).toEqual(['some-state', url]);
    const answer = await client.redeem({ code, verifier });
    expect([answer.status, answer.headers.get('Cache-Control')]).toEqual([200, 'no-store']);
    const { access_token: token, id_token: idToken } = answer.body;
    const keys = createRemoteJWKSet(new URL(`${server.url}/${issuer.id}/jwks.json`));
    const { payload, protectedHeader } = await jwtVerify(token, keys, { issuer: url, audience: url });
    expect(protectedHeader.typ).toBe('at+jwt');
    const organizations = [
      { org_id: organization.id, name: organization.name, scopes: ['invoices:read', 'invoices:write'] },
    ];
    expect(payload).toEqual({
      iss: url,
      sub: user.id,
      aud: url,
      exp: expect.any(Number),
      iat: expect.any(Number),
      jti: expect.any(String),
      sid: expect.stringMatching(/^s_[0-9a-z]{25}$/),
      client_id: client.id,
      scope: 'openid profile email',
      amr: ['otp'],
      auth_time: expect.any(Number),
      environment: 'live',
      organizations,
    });
    const id = await jwtVerify(idToken, keys, { issuer: url, audience: client.id });
    expect(id.payload).toMatchObject({
      sub: user.id,
      nonce: 'n-1',
      sid: payload.sid,
      amr: ['otp'],
      auth_time: payload.auth_time,
      environment: 'live',
      organizations,
      email: 'ada@example.com',
      email_verified: true,
      name: 'Ada Lovelace',
    });
    expect(answer.body).toMatchObject({
      token_type: 'Bearer',
      expires_in: 600,
      scope: 'openid profile email',
    });
    expect((await client.userinfo(token)).body).toMatchObject({
      sub: user.id,
      email: 'ada@example.com',
      given_name: 'Ada',
      family_name: 'Lovelace',
      organizations,
    });
  });

  test('leaves a session that the management API knows, with the browser’s address', async () => {
    const browser = new OidcBrowser(server);
    const { access_token: token } = await client.signIn(browser, { userId: user.id });
    const session = await api.get(`${issuer.path}/sessions/${claimsOf(token).sid}`);
    expect(session.body.data).toMatchObject({
      user_id: user.id,
      client_id: client.id,
      amr: ['otp'],
      status: 'active',
      ip: '127.0.0.1',
    });
    const events = await api.get(`/v1/events?type=session.created&limit=1`);
    expect(events.body.data[0]).toMatchObject({
      subject: { type: 'session', id: claimsOf(token).sid },
      actor: { type: 'user', id: user.id },
      data: { client_id: client.id, user_id: user.id },
    });
  });

  test('of a browser that is signed in asks for nothing, and stays in its session', async () => {
    const browser = new OidcBrowser(server);
    const first = await client.signIn(browser, { userId: user.id });
    const steps: string[] = [];
    const again = await client.signIn(
      browser,
      { userId: user.id, onStep: ({ step }) => steps.push(step) },
      { prompt: 'none' },
    );
    expect(steps).toEqual([]);
    expect(claimsOf(again.access_token).sid).toBe(claimsOf(first.access_token).sid);
  });

  test('refreshes, with another refresh token each time', async () => {
    const tokens = await client.signIn(new OidcBrowser(server), { userId: user.id });
    const second = await client.refresh(tokens.refresh_token!);
    expect(second.status).toBe(200);
    expect(second.body.refresh_token).not.toBe(tokens.refresh_token);
    expect(claimsOf(second.body.access_token)).toMatchObject({
      sub: user.id,
      sid: claimsOf(tokens.access_token).sid,
      scope: 'openid profile email',
      amr: ['otp'],
    });
    expect((await client.refresh(second.body.refresh_token)).status).toBe(200);
  });
});

// OpenID Connect Core 1.0 §3.1.2.1: the user that the hint names, or an error.
test('of an id_token_hint, nobody else gets a code, whoever signs in on the page', async () => {
  const other = await api.create(`${issuer.path}/users`, { username: 'bob@example.com' });
  const { id_token: hint } = await client.signIn(new OidcBrowser(server), { userId: user.id });
  const asked = { id_token_hint: hint! };
  const signInAs = (browser: OidcBrowser, userId: string) => client.code(browser, { userId }, asked);
  const browser = new OidcBrowser(server);
  const { parameters } = await signInAs(browser, other.id);
  expect([parameters.get('error'), parameters.get('code'), parameters.get('state')]).toEqual([
    'login_required',
    null,
    'some-state',
  ]);
  expect(parameters.get('error_description')).toContain('id_token_hint');
  expect((await signInAs(new OidcBrowser(server), user.id)).code).not.toBe('');
  // A browser in which somebody else is signed in asks anew, and takes only whom the client means.
  expect((await signInAs(browser, other.id)).parameters.get('error')).toBe('login_required');
});

test('an external client’s users are asked once what they allow it', async () => {
  const external = await OidcClient.create(server, issuer, { type: 'external' });
  const steps: string[] = [];
  const behaviour = { userId: user.id, onStep: ({ step }: { step: string }) => steps.push(step) };
  await external.signIn(new OidcBrowser(server), behaviour);
  expect(steps).toEqual(['login', 'consent']);
  steps.length = 0;
  await external.signIn(new OidcBrowser(server), behaviour);
  expect(steps).toEqual(['login']);
  const { parameters } = await external.code(
    new OidcBrowser(server),
    { userId: user.id, refusesConsent: true },
    { prompt: 'consent' },
  );
  expect([parameters.get('error'), parameters.get('iss')]).toEqual(['access_denied', url]);
});

test('client credentials: a token of the client’s own, without a session', async () => {
  const machine = await OidcClient.create(server, issuer, {
    confidential: true,
    settings: { scopes: ['reports:read', 'reports:write'] },
    openid: { application_type: 'm2m', grant_types: ['client_credentials'], redirect_uris: [] },
  });
  const { status, body } = await machine.post('/token', {
    grant_type: 'client_credentials',
    scope: 'reports:read',
  });
  expect([status, body.scope]).toEqual([200, 'reports:read']);
  expect(claimsOf(body.access_token)).toEqual({
    iss: url,
    sub: machine.id,
    aud: url,
    exp: expect.any(Number),
    iat: expect.any(Number),
    jti: expect.any(String),
    client_id: machine.id,
    scope: 'reports:read',
    environment: 'live',
  });
  expect(await client.isActive(body.access_token)).toBe(true);
  expect((await machine.post('/revoke', { token: body.access_token })).status).toBe(200);
  expect(await client.isActive(body.access_token)).toBe(false);
});

test('pushed authorization requests', async () => {
  const browser = new OidcBrowser(server);
  const { verifier, challenge } = pkce();
  const pushed = await client.post('/par', {
    client_id: client.id,
    response_type: 'code',
    redirect_uri: redirectUri,
    scope: 'openid',
    code_challenge: challenge,
    code_challenge_method: 'S256',
  });
  expect(pushed.status).toBe(201);
  const arrival = await browser.authorize(
    issuer.id,
    { client_id: client.id, request_uri: pushed.body.request_uri },
    { userId: user.id },
  );
  const code = arrival.parameters.get('code')!;
  expect((await client.redeem({ code, verifier })).status).toBe(200);
});

// Attack: anybody with the id of a public client has rows of half a megabyte kept, a thousand a minute.
test('of a pushed request, max_age=0 beside prompt=none says that the user has to sign in', async () => {
  const browser = new OidcBrowser(server);
  await client.signIn(browser, { userId: user.id });
  const pushed = await client.post('/par', {
    client_id: client.id,
    redirect_uri: redirectUri,
    response_type: 'code',
    scope: 'openid',
    code_challenge: pkce().challenge,
    code_challenge_method: 'S256',
    prompt: 'none',
    max_age: '0',
  });
  const { parameters } = await browser.authorize(
    issuer.id,
    { client_id: client.id, request_uri: pushed.body.request_uri },
    { userId: user.id },
  );
  expect(parameters.get('error')).toBe('login_required');
});

// RFC 6749 §5.2: a grant type that the client is not for.
test('a grant type that a client does not have is named, with where it is added', async () => {
  for (const grantType of ['client_credentials', 'urn:ietf:params:oauth:grant-type:device_code']) {
    const { status, body } = await client.post('/token', { grant_type: grantType, device_code: 'x' });
    if (body.error === 'unsupported_grant_type') continue;
    expect([status, body]).toEqual([
      400,
      {
        error: 'unauthorized_client',
        error_description: `${grantType}: not among the client's grant types; add it to settings.openid.grant_types of the client`,
      },
    ]);
  }
  const plain = await OidcClient.create(server, issuer, { openid: { grant_types: ['authorization_code'] } });
  const { body } = await plain.refresh('x');
  expect([body.error, body.error_description]).toEqual([
    'unauthorized_client',
    expect.stringContaining('refresh_token: not among'),
  ]);
  // What it goes without is not refused with it.
  const tokens = await plain.signIn(new OidcBrowser(server), { userId: user.id });
  expect([tokens.access_token !== '', tokens.refresh_token]).toEqual([true, undefined]);
});

test('what is pushed is no longer than what would stand in a URL', async () => {
  const parameters = {
    client_id: client.id,
    response_type: 'code',
    redirect_uri: redirectUri,
    scope: 'openid',
    code_challenge: pkce().challenge,
    code_challenge_method: 'S256',
  };
  const push = (state: string) => client.post('/par', { ...parameters, state });
  expect((await push('x'.repeat(12_000))).status).toBe(201);
  const refused = await push('x'.repeat(17_000));
  expect([refused.status, refused.body.error]).toEqual([413, 'invalid_request']);
  expect((await client.post('/par?x', { ...parameters, state: 'x'.repeat(17_000) })).status).toBe(413);
  const body = `${new URLSearchParams({ ...parameters, state: 'x'.repeat(17_000) })}`;
  const inPieces = await fetch(`${server.url}/${issuer.id}/par`, {
    method: 'POST',
    headers: {
      'Content-Type': 'application/x-www-form-urlencoded',
      Authorization: `Basic ${Buffer.from(`${client.id}:${client.secret}`).toString('base64')}`,
    },
    body: new Blob([body]).stream(),
    duplex: 'half',
  } as RequestInit);
  expect(inPieces.status).toBe(411);
});

// Attack: a request of characters that are escaped where it is kept, and become up to six there.
test('what is kept of a request is bounded by itself', async () => {
  const parameters = {
    client_id: client.id,
    response_type: 'code',
    redirect_uri: redirectUri,
    scope: 'openid',
    code_challenge: pkce().challenge,
    code_challenge_method: 'S256',
  };
  const ask = (more: string) =>
    send(`${server.url}/${issuer.id}/authorize?${new URLSearchParams(parameters)}&${more}`);
  for (const more of [`login_hint=${'%01'.repeat(4_800)}`, `nonce=${'\\'.repeat(14_000)}`]) {
    const { status, headers } = await ask(more);
    expect([status, headers.location]).toEqual([303, expect.stringContaining('error=invalid_request')]);
  }
  expect((await ask(`state=${'x'.repeat(12_000)}`)).headers.location).toContain('/login/');
  expect((await client.post('/par', { ...parameters, nonce: '\u0001'.repeat(4_800) })).body.error).toBe(
    'invalid_request',
  );
});
