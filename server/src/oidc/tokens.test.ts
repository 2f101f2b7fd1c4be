import { createHash, randomUUID } from 'node:crypto';
import { calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT } from 'jose';
import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { OidcBrowser } from '../../test/harness/oidc-browser.ts';
import { claimsOf, OidcClient } from '../../test/harness/oidc-client.ts';
import { send } from '../../test/harness/raw-http.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { createKey, succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';

const server = await startTestServer();
afterAll(() => server.close());
const { api } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
const url = `http://localhost:4600/${issuer.id}`;
const user = await api.create(`${issuer.path}/users`, {
  username: 'ada@example.com',
  profile: { first_name: 'Ada', last_name: 'Lovelace', locale: 'en' },
});
const resource = 'https://api.example.com/v2';
const client = await OidcClient.create(server, issuer, {
  settings: { scopes: ['openid', 'profile', 'email', 'reports:read', 'reports:write'] },
  openid: { resource_indicators: [resource, 'https://other.example.com'] },
});
const userId = user.id as string;
const signIn = (parameters: Record<string, string> = {}) =>
  client.signIn(new OidcBrowser(server), { userId }, parameters);

describe('scopes and resources', () => {
  test('a token is for the issuer unless another resource is asked for, with the scopes that were granted', async () => {
    const own = await signIn({ scope: 'openid reports:read' });
    expect(claimsOf(own.access_token)).toMatchObject({ aud: url, scope: 'openid reports:read' });
    const other = await signIn({ scope: 'openid email reports:read', resource });
    expect(claimsOf(other.access_token)).toMatchObject({ aud: resource, scope: 'reports:read' });
    const misplaced = await client.userinfo(other.access_token);
    expect([misplaced.status, misplaced.body.error]).toEqual([401, 'invalid_token']);
    expect(misplaced.body.error_description).toMatch(/^the token is for another resource;/);
    expect(claimsOf(other.id_token!)).toMatchObject({ aud: client.id, email: 'ada@example.com' });
    expect(await client.isActive(other.access_token)).toBe(true);
  });

  test('one that the client was not given is refused, and so is a scope', async () => {
    const errorOf = async (parameters: Record<string, string>) =>
      (await client.code(new OidcBrowser(server), { userId }, parameters)).parameters.get('error');
    expect(await errorOf({ resource: 'https://evil.example' })).toBe('invalid_target');
    expect(await errorOf({ resource: `${resource}#x` })).toBe('invalid_target');
    expect(await errorOf({ scope: 'openid phone' })).toBe('invalid_scope');
    const tokens = await signIn({ scope: 'openid reports:read' });
    const wider = await client.refresh(tokens.refresh_token!, { scope: 'openid reports:read reports:write' });
    expect(wider.body.error).toBe('invalid_scope');
    const narrower = await client.refresh(tokens.refresh_token!, { scope: 'reports:read' });
    expect([narrower.status, narrower.body.scope]).toEqual([200, 'reports:read']);
  });

  test('a machine gets what it may have, and nothing of users', async () => {
    const machine = await OidcClient.create(server, issuer, {
      settings: { scopes: ['reports:read', 'reports:write'] },
      openid: {
        application_type: 'm2m',
        grant_types: ['client_credentials'],
        redirect_uris: [],
        resource_indicators: [resource],
      },
    });
    const ask = (form: Record<string, string> = {}) =>
      machine.post('/token', { grant_type: 'client_credentials', ...form });
    expect((await ask()).body.scope).toBe('reports:read reports:write');
    expect((await ask({ scope: 'reports:write' })).body.scope).toBe('reports:write');
    for (const scope of ['openid', 'admin:write', 'reports:read admin:write'])
      expect((await ask({ scope })).body.error).toBe('invalid_scope');
    const { body } = await ask({ resource });
    expect(claimsOf(body.access_token).aud).toBe(resource);
    expect((await ask({ resource: 'https://evil.example' })).body.error).toBe('invalid_target');
    const { body: refused, status } = await machine.userinfo((await ask()).body.access_token);
    expect([status, refused.error]).toEqual([401, 'invalid_token']);
    expect(refused.error_description).toMatch(/^the token is of the client itself;/);
  });

  test('a claim may be asked for by its name', async () => {
    const claims = JSON.stringify({
      userinfo: { given_name: { essential: true } },
      id_token: { email: null },
    });
    const tokens = await signIn({ scope: 'openid', claims });
    const { body } = await client.userinfo(tokens.access_token);
    expect([body.given_name, body.family_name, body.email]).toEqual(['Ada', undefined, undefined]);
    expect(claimsOf(tokens.id_token!)).toMatchObject({ email: 'ada@example.com' });
  });
});

describe('the scopes of a client', () => {
  // Who may not ask for the scope asks for its claims by their names.
  test('are no wider by the parameter claims', async () => {
    const limited = await OidcClient.create(server, issuer, { settings: { scopes: ['openid'] } });
    for (const claims of [
      { userinfo: { email: null } },
      { id_token: { given_name: { essential: true } } },
      // The library passes these over, and userinfo would tell them.
      { userinfo: { email: true } },
      { userinfo: { phone_number: 'x', sub: null } },
    ]) {
      const parameters = { scope: 'openid', claims: JSON.stringify(claims) };
      const { parameters: answer } = await limited.code(new OidcBrowser(server), { userId }, parameters);
      expect([claims, answer.get('error')]).toEqual([claims, 'invalid_request']);
    }
    const parameters = { scope: 'openid', claims: '{"id_token":{"auth_time":null}}' };
    const tokens = await limited.signIn(new OidcBrowser(server), { userId }, parameters);
    expect(claimsOf(tokens.id_token!).auth_time).toEqual(expect.any(Number));
  });

  // A client that was given too much is limited: what it was granted before must not outlive that.
  test('limit what it was granted under wider ones, at once', async () => {
    const wide = await OidcClient.create(server, issuer, {
      settings: { scopes: ['openid', 'profile', 'email', 'reports:read', 'reports:write'] },
    });
    const claims = JSON.stringify({ userinfo: { email: null }, id_token: { email: null } });
    const parameters = { scope: 'openid profile email reports:read reports:write', claims };
    const tokens = await wide.signIn(new OidcBrowser(server), { userId }, parameters);
    const path = `${issuer.path}/clients/${wide.id}`;
    succeeded(await api.patch(path, { settings: { scopes: ['openid', 'profile', 'reports:read'] } }));
    const scope = 'openid profile reports:read';
    expect((await wide.userinfo(tokens.access_token)).body).toMatchObject({ given_name: 'Ada' });
    expect((await wide.userinfo(tokens.access_token)).body.email).toBeUndefined();
    expect((await wide.post('/introspect', { token: tokens.access_token })).body.scope).toBe(scope);
    const { body } = await wide.refresh(tokens.refresh_token!);
    expect([body.scope, claimsOf(body.access_token).scope]).toEqual([scope, scope]);
    expect(claimsOf(body.id_token)).toMatchObject({ given_name: 'Ada' });
    expect(claimsOf(body.id_token).email).toBeUndefined();
  });
});

// What nobody was asked about as long as the client was the account's own: sold, or found out, it goes on with it.
test('what a first-party client was allowed does not count once it is external', async () => {
  const turned = await OidcClient.create(server, issuer);
  const path = `${issuer.path}/clients/${turned.id}`;
  const browser = new OidcBrowser(server);
  const { refresh_token: token, access_token: unasked } = await turned.signIn(browser, { userId });
  const refreshed = await turned.refresh((await turned.signIn(browser, { userId })).refresh_token!);
  const code = await turned.code(browser, { userId });
  const standing = async (access: string) => [
    (await turned.userinfo(access)).status,
    await client.isActive(access),
    await turned.isActive(access),
  ];
  expect(await standing(unasked)).toEqual([200, true, true]);
  expect(await standing(refreshed.body.access_token)).toEqual([200, true, true]);
  succeeded(await api.patch(path, { type: 'external' }));
  expect(await standing(unasked)).toEqual([401, false, false]);
  expect(await standing(refreshed.body.access_token)).toEqual([401, false, false]);
  const refused = await turned.refresh(token!);
  expect([refused.status, refused.body.error]).toEqual([400, 'invalid_grant']);
  expect((await turned.redeem(code)).body.error).toBe('invalid_grant');
  const steps: string[] = [];
  const asked = await turned.signIn(browser, { userId, onStep: ({ step }) => steps.push(step) });
  expect(steps).toEqual(['consent']);
  expect(await standing(asked.access_token)).toEqual([200, true, true]);
  expect(await standing(unasked)).toEqual([401, false, false]);
  expect((await turned.refresh(asked.refresh_token!)).status).toBe(200);
  // And what somebody was asked about goes on counting, whichever way the type changes.
  succeeded(await api.patch(path, { type: 'first_party' }));
  succeeded(await api.patch(path, { type: 'external' }));
  expect(await standing(asked.access_token)).toEqual([200, true, true]);
  const later = await turned.signIn(browser, { userId, onStep: ({ step }) => steps.push(step) });
  expect(steps).toEqual(['consent']);
  expect((await turned.refresh(later.refresh_token!)).status).toBe(200);
});

describe('introspection', () => {
  test('tells what a token says and the organizations of now, and of a refresh token whose it is', async () => {
    const tokens = await signIn();
    const { body } = await client.post('/introspect', { token: tokens.access_token });
    expect(body).toEqual({
      active: true,
      ...claimsOf(tokens.access_token),
      token_type: 'Bearer',
      username: 'ada@example.com',
    });
    const refresh = await client.post('/introspect', { token: tokens.refresh_token! });
    expect(refresh.body).toMatchObject({
      active: true,
      sub: userId,
      client_id: client.id,
      sid: claimsOf(tokens.access_token).sid,
    });
    await client.refresh(tokens.refresh_token!);
    expect((await client.post('/introspect', { token: tokens.refresh_token! })).body).toEqual({
      active: false,
    });
    for (const token of ['x', 'a.b.c', tokens.access_token.slice(0, -4)])
      expect((await client.post('/introspect', { token })).body).toEqual({ active: false });
  });

  // Any client of the issuer would learn who the users of all others are.
  test('an external client is told of its own tokens and of those for it alone, and only what was granted', async () => {
    const external = await OidcClient.create(server, issuer, { type: 'external' });
    const tokens = await signIn({ scope: 'openid' });
    for (const token of [tokens.access_token, tokens.refresh_token!])
      expect((await external.post('/introspect', { token })).body).toEqual({ active: false });
    expect((await client.post('/introspect', { token: tokens.access_token })).body.username).toBeUndefined();
    const own = await external.signIn(new OidcBrowser(server), { userId });
    expect((await external.post('/introspect', { token: own.access_token })).body.username).toBe(
      'ada@example.com',
    );
    expect(await external.isActive(own.refresh_token!)).toBe(true);
    const meant = await OidcClient.create(server, issuer, { openid: { resource_indicators: ['x:y'] } });
    const { access_token: other } = await meant.signIn(
      new OidcBrowser(server),
      { userId },
      { resource: 'x:y' },
    );
    expect(await external.isActive(other)).toBe(false);
    succeeded(await api.patch(`${issuer.path}/login-settings`, { audience: external.id }));
    expect(await external.isActive((await signIn()).access_token)).toBe(true);
    succeeded(await api.patch(`${issuer.path}/login-settings`, { audience: null }));
  });

  test('is for clients with a secret that is right', async () => {
    const tokens = await signIn();
    const spa = await OidcClient.create(server, issuer, { openid: { application_type: 'spa' } });
    expect((await spa.post('/introspect', { token: tokens.access_token })).status).toBe(403);
    const wrong = new OidcClient(server, issuer.id, client.id, `${client.secret}x`);
    const refused = await wrong.post('/introspect', { token: tokens.access_token });
    expect([refused.status, refused.body.error, refused.headers.get('WWW-Authenticate')]).toEqual([
      401,
      'invalid_client',
      'Basic realm="gatelodge"',
    ]);
    const twice = await client.post('/introspect', { token: 'x', client_secret: client.secret! });
    expect([twice.status, twice.body.error]).toEqual([400, 'invalid_request']);
    expect((await client.post('/introspect', {})).status).toBe(400);
  });
});

describe('revocation', () => {
  test('of a refresh token ends its session, of an access token the token alone', async () => {
    const first = await signIn();
    expect((await client.post('/revoke', { token: first.access_token })).status).toBe(200);
    expect((await client.userinfo(first.access_token)).status).toBe(401);
    const { body: second } = await client.refresh(first.refresh_token!);
    expect((await client.userinfo(second.access_token)).status).toBe(200);
    expect((await client.post('/revoke', { token: second.refresh_token })).status).toBe(200);
    expect((await client.userinfo(second.access_token)).status).toBe(401);
    const session = await api.get(`${issuer.path}/sessions/${claimsOf(second.access_token).sid}`);
    expect(session.body.data.end_reason).toBe('token_revoked');
  });

  test('of another client’s token is refused, and changes nothing', async () => {
    const tokens = await signIn();
    const other = await OidcClient.create(server, issuer);
    for (const token of [tokens.access_token, tokens.refresh_token!])
      expect((await other.post('/revoke', { token })).status).toBe(400);
    expect((await client.userinfo(tokens.access_token)).status).toBe(200);
  });
});

test('keyinfo: what introspection says of a token, of a key of an organization', async () => {
  const organization = await issuer.createOrganization();
  const key = await issuer.createKey({ restrictions: { scopes: ['invoices:read'] } }, organization.id);
  const keyinfo = async (secret: string) => (await client.post('/keyinfo', { key: secret })).body;
  expect(await keyinfo(key.secret)).toMatchObject({
    active: true,
    token_type: 'api_key',
    iss: url,
    sub: key.id,
    scope: 'invoices:read',
    org_id: organization.id,
    organizations: [{ org_id: organization.id, name: organization.name, scopes: ['invoices:read'] }],
  });
  const ofIssuer = await issuer.createKey();
  const elsewhere = await TestIssuer.create(server, {}, {}, api);
  const theirs = await elsewhere.createKey({}, (await elsewhere.createOrganization()).id);
  const ofAccount = await createKey(api, '/v1/api-keys');
  for (const secret of [ofIssuer.secret, theirs.secret, ofAccount.secret, 'gl_live_sk_nothing'])
    expect(await keyinfo(secret)).toEqual({ active: false });
  const limited = await issuer.createKey(
    { limits: [{ name: 'hour', limit: 1, window: 'hour' }] },
    organization.id,
  );
  expect((await keyinfo(limited.secret)).active).toBe(true);
  const over = await client.post('/keyinfo', { key: limited.secret });
  expect([over.status, over.body.error]).toEqual([429, 'slow_down']);
  expect(Number(over.headers.get('Retry-After'))).toBeGreaterThan(0);
  succeeded(await api.post(`${key.path}/revoke`));
  expect(await keyinfo(key.secret)).toEqual({ active: false });
});

describe('tokens that are bound to a key', () => {
  // Whoever steals such a token has not stolen the key.
  test('count with a proof of it alone, once each, and never as bearer tokens', async () => {
    succeeded(await api.patch(`${issuer.path}/oidc-settings`, { dpop: true }));
    const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
    const jwk = await exportJWK(publicKey);
    const proof = (htm: string, htu: string, token?: string, key = privateKey, iat?: number) =>
      new SignJWT({
        htm,
        htu,
        jti: randomUUID(),
        ...(token && { ath: createHash('sha256').update(token).digest('base64url') }),
      })
        .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk })
        .setIssuedAt(iat)
        .sign(key);
    const code = await client.code(new OidcBrowser(server), { userId });
    const redeemed = await client.post(
      '/token',
      {
        grant_type: 'authorization_code',
        code: code.code,
        redirect_uri: 'https://app.example/callback',
        code_verifier: code.verifier,
      },
      { DPoP: await proof('POST', `${url}/token`) },
    );
    expect([redeemed.status, redeemed.body.token_type]).toEqual([200, 'DPoP']);
    const token = redeemed.body.access_token as string;
    expect(claimsOf(token).cnf).toEqual({ jkt: await calculateJwkThumbprint(jwk) });
    const userinfo = async (scheme: string, dpop?: string) =>
      (
        await send(`${server.url}/${issuer.id}/userinfo`, {
          headers: { Authorization: `${scheme} ${token}`, ...(dpop && { DPoP: dpop }) },
        })
      ).status;
    const good = await proof('GET', `${url}/userinfo`, token);
    expect(await userinfo('DPoP', good)).toBe(200);
    expect(await userinfo('DPoP', good)).toBe(401);
    expect(await userinfo('Bearer')).toBe(401);
    expect(await userinfo('Bearer', await proof('GET', `${url}/userinfo`, token))).toBe(401);
    expect(await userinfo('DPoP')).toBe(401);
    const thief = await generateKeyPair('ES256', { extractable: true });
    for (const bad of [
      await proof('POST', `${url}/userinfo`, token),
      await proof('GET', `${url}/token`, token),
      await proof('GET', `${url}/userinfo`, `${token}x`),
      await proof('GET', `${url}/userinfo`, token, thief.privateKey),
      await proof('GET', `${url}/userinfo`, token, privateKey, 1),
      'a.b.c',
    ])
      expect(await userinfo('DPoP', bad)).toBe(401);
    for (const path of ['/auth/me', '/v1/me'])
      expect((await send(server.url + path, { headers: { Authorization: `Bearer ${token}` } })).status).toBe(
        401,
      );
    const plain = await signIn();
    const unbound = await send(`${server.url}/${issuer.id}/userinfo`, {
      headers: {
        Authorization: `DPoP ${plain.access_token}`,
        DPoP: await proof('GET', `${url}/userinfo`, plain.access_token),
      },
    });
    expect(unbound.status).toBe(401);
  });

  // Turned off for the issuer, the tokens would be bearer tokens: whoever steals one has it.
  test('are no bearer tokens where the issuer has turned that off: the client gets none', async () => {
    const binding = { settings: { openid: { dpop_bound_access_tokens: true } } };
    succeeded(await api.patch(`${issuer.path}/oidc-settings`, { dpop: true }));
    const bound = await OidcClient.create(server, issuer, {
      openid: {
        dpop_bound_access_tokens: true,
        grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
      },
    });
    const code = await bound.code(new OidcBrowser(server), { userId });
    succeeded(await api.patch(`${issuer.path}/oidc-settings`, { dpop: false }));
    const machine = await bound.post('/token', { grant_type: 'client_credentials' });
    const pushed = await bound.post('/par', { response_type: 'code', client_id: bound.id });
    for (const { status, body } of [machine, pushed, await bound.redeem(code)])
      expect([status, body.error]).toEqual([401, 'invalid_client']);
    expect((await server.operator.api.get(`/${issuer.id}/authorize?client_id=${bound.id}`)).status).toBe(400);
    const refused = await api.patch(`${issuer.path}/clients/${client.id}`, binding);
    expect([refused.status, refused.body.errors[0].path]).toEqual([
      422,
      'settings.openid.dpop_bound_access_tokens',
    ]);
    // One that there is can still be changed, back too.
    const path = `${issuer.path}/clients/${bound.id}`;
    succeeded(await api.patch(path, { name: 'Other' }));
    succeeded(await api.patch(path, { settings: { openid: { dpop_bound_access_tokens: false } } }));
    expect((await bound.post('/token', { grant_type: 'client_credentials' })).status).toBe(200);
  });
});
