import { afterAll, expect, test } from 'vitest';
import { ApiClient } from '../../test/harness/api-client.ts';
import { atOnce } from '../../test/harness/at-once.ts';
import { createCustomer } from '../../test/harness/customer.ts';
import { OidcBrowser } from '../../test/harness/oidc-browser.ts';
import { claimsOf, OidcClient, redirectUri } from '../../test/harness/oidc-client.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { createKey, succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';

const server = await startTestServer();
afterAll(() => server.close());
const { api } = await createCustomer(server);
const nobody = new ApiClient(server.url, null);
const metadata = { client_name: 'Agent', redirect_uris: [redirectUri] };

async function issuerWith(settings: object) {
  const issuer = await TestIssuer.create(server, {}, {}, api);
  succeeded(await api.patch(`${issuer.path}/oidc-settings`, settings));
  const register = (body: unknown, headers: Record<string, string> = {}) =>
    nobody.post(`/${issuer.id}/register`, body, headers);
  return { issuer, register };
}

test('is off unless the issuer turns it on, and in no discovery document', async () => {
  const { issuer, register } = await issuerWith({});
  expect((await register(metadata)).status).toBe(404);
  const discovery = `/${issuer.id}/.well-known/openid-configuration`;
  expect((await nobody.get(discovery)).body.registration_endpoint).toBeUndefined();
  succeeded(await api.patch(`${issuer.path}/oidc-settings`, { registration: 'open' }));
  expect((await nobody.get(discovery)).body.registration_endpoint).toMatch(/\/register$/);
});

test('makes an external client that signs users in once they agree, and nothing more', async () => {
  const { issuer, register } = await issuerWith({ registration: 'open' });
  // Whoever registers may not choose to be trusted.
  const { status, body } = await register({
    ...metadata,
    grant_types: ['authorization_code', 'refresh_token'],
    type: 'first_party',
    status: 'active',
    account_id: 'acc_x',
    settings: { organization_scopes: null },
    client_id: 'c_mine',
    client_secret: 'mine',
  });
  expect([status, body]).toEqual([
    201,
    expect.objectContaining({
      client_id: expect.stringMatching(/^c_[0-9a-z]{25}$/),
      client_secret: expect.stringMatching(/^gl_cs_/),
      client_secret_expires_at: 0,
      grant_types: ['authorization_code', 'refresh_token'],
      token_endpoint_auth_method: 'client_secret_basic',
    }),
  ]);
  expect((await api.get(`${issuer.path}/clients/${body.client_id}`)).body.data).toMatchObject({
    type: 'external',
    name: 'Agent',
    settings: { organization_scopes: [] },
  });
  const user = await api.create(`${issuer.path}/users`, { username: 'ada@example.com' });
  const client = new OidcClient(server, issuer.id, body.client_id, body.client_secret);
  const steps: string[] = [];
  const { id } = await issuer.createOrganization({ name: 'Tenant' });
  await api.create(`${issuer.path}/organizations/${id}/members`, {
    member_id: user.id,
    scopes: ['invoices:write'],
  });
  const tokens = await client.signIn(new OidcBrowser(server), {
    userId: user.id,
    onStep: ({ step }) => steps.push(step),
  });
  expect(steps).toEqual(['login', 'consent']);
  // The user has agreed to be recognized; its permissions at its tenants are not the client's for that.
  for (const token of [tokens.access_token, tokens.id_token!])
    expect(claimsOf(token).organizations).toEqual([{ org_id: id, name: 'Tenant', scopes: [] }]);
  // Nor is it told of the tokens and keys of others: it is anybody.
  for (const [path, form] of [
    ['/introspect', { token: tokens.access_token }],
    ['/keyinfo', { key: 'gl_live_sk_nothing' }],
  ] as const) {
    const refused = await client.post(path, form);
    expect([path, refused.status, refused.body.error]).toEqual([path, 403, 'unauthorized_client']);
  }
});

test('an app of a user’s machine has no secret and comes back on any port', async () => {
  const { issuer, register } = await issuerWith({ registration: 'open' });
  const { body } = await register({
    redirect_uris: ['http://127.0.0.1/callback'],
    token_endpoint_auth_method: 'none',
  });
  expect([body.client_secret, body.application_type]).toEqual([undefined, 'native']);
  const query = new URLSearchParams({
    client_id: body.client_id,
    redirect_uri: 'http://127.0.0.1:50123/callback',
    response_type: 'code',
    scope: 'openid',
    code_challenge: 'x'.repeat(43),
    code_challenge_method: 'S256',
  });
  expect((await nobody.get(`/${issuer.id}/authorize?${query.toString()}`)).status).toBe(303);
});

// What it registers for is its own word: a token for an API that never heard of it would open that API.
test('a token is for the issuer and for resources that the issuer has set, and for no other', async () => {
  const resource = 'https://mcp.example.com/mcp';
  const { issuer, register } = await issuerWith({
    registration: 'open',
    resources: [resource],
    registration_scopes: ['tools:use'],
  });
  const { body } = await register({
    ...metadata,
    scope: 'tools:use',
    resource_indicators: ['https://api.example.com'],
  });
  const user = await api.create(`${issuer.path}/users`, { username: 'ada@example.com' });
  const client = new OidcClient(server, issuer.id, body.client_id, body.client_secret);
  const target = (name: string) => ({ scope: 'tools:use', resource: name });
  const tokens = await client.signIn(new OidcBrowser(server), { userId: user.id }, target(resource));
  expect(claimsOf(tokens.access_token)).toMatchObject({ aud: resource, scope: 'tools:use' });
  for (const other of ['https://api.example.com', `${resource}/`, 'https://mcp.example.com']) {
    const { parameters } = await client.code(new OidcBrowser(server), { userId: user.id }, target(other));
    expect([other, parameters.get('error')]).toEqual([other, 'invalid_target']);
  }
  succeeded(await api.patch(`${issuer.path}/oidc-settings`, { resources: null }));
  const { parameters } = await client.code(new OidcBrowser(server), { userId: user.id }, target(resource));
  expect(parameters.get('error')).toBe('invalid_target');
});

// Attack: a client makes up a scope that an API takes for a permission, and users agree to what they have never heard of.
test('scopes are the standard ones and those that the issuer lists, and no others', async () => {
  const { issuer, register } = await issuerWith({ registration: 'open', registration_scopes: ['tools:use'] });
  const scope = 'openid profile email phone offline_access tools:use';
  expect((await register({ ...metadata, scope })).body.scope).toBe(scope);
  for (const other of ['tools:write', 'tools:use2', 'TOOLS:USE', 'admin']) {
    const { status, body } = await register({ ...metadata, scope: `openid ${other}` });
    expect([other, status, body.error]).toEqual([other, 400, 'invalid_client_metadata']);
    expect(body.error_description).toMatch(new RegExp(`\\b${other}\\b.*registration_scopes`));
  }
  succeeded(await api.patch(`${issuer.path}/oidc-settings`, { registration_scopes: null }));
  expect((await register({ ...metadata, scope: 'tools:use' })).body.error).toBe('invalid_client_metadata');
  expect((await register(metadata)).body.scope).toBe('openid profile email');
});

test('says what is wrong with what is asked for', async () => {
  const { register } = await issuerWith({ registration: 'open' });
  for (const [body, error] of [
    [{ redirect_uris: ['http://evil.example/'] }, 'invalid_redirect_uri'],
    [{ redirect_uris: ['javascript:alert(1)'] }, 'invalid_redirect_uri'],
    [{ redirect_uris: [] }, 'invalid_redirect_uri'],
    [{ ...metadata, grant_types: ['client_credentials'] }, 'invalid_client_metadata'],
    [{ ...metadata, grant_types: ['implicit'] }, 'invalid_client_metadata'],
    [{ ...metadata, response_types: ['token'] }, 'invalid_client_metadata'],
    [{ ...metadata, token_endpoint_auth_method: 'private_key_jwt' }, 'invalid_client_metadata'],
    [{ ...metadata, backchannel_logout_uri: 'http://169.254.169.254/' }, 'invalid_client_metadata'],
    // Attack: what the database can't hold, or what turns around the page that shows it.
    ...['a\u0000b', 'a\ud800', 'a\u202eb', 'a\nb', ''].map(
      (name) => [{ ...metadata, client_name: name }, 'invalid_client_metadata'] as const,
    ),
    ...['a\u0000b', 'a\ud800'].flatMap((bad) => [
      [{ ...metadata, scope: bad }, 'invalid_client_metadata'] as const,
      [{ ...metadata, backchannel_logout_uri: bad }, 'invalid_client_metadata'] as const,
      [{ ...metadata, post_logout_redirect_uris: [bad] }, 'invalid_client_metadata'] as const,
    ]),
    // No client has a permission of our API, whoever asks for it.
    [{ ...metadata, scope: 'openid gatelodge.clients:write' }, 'invalid_client_metadata'],
    [{ ...metadata, scope: 'openid q"uote' }, 'invalid_client_metadata'],
    [{ ...metadata, dpop_bound_access_tokens: true }, 'invalid_client_metadata'],
    [[], 'invalid_client_metadata'],
    ['x', 'invalid_client_metadata'],
  ] as const) {
    const answer = await register(body);
    expect([JSON.stringify(body), answer.status, answer.body.error]).toEqual([
      JSON.stringify(body),
      400,
      error,
    ]);
  }
});

test('with `token` it takes an API key that may write clients of this issuer, and no other', async () => {
  const { issuer, register } = await issuerWith({ registration: 'token' });
  const elsewhere = await TestIssuer.create(server, {}, {}, api);
  const { api: otherApi } = await createCustomer(server);
  const mayWrite = { restrictions: { scopes: ['gatelodge.clients:write'] } };
  const organization = await issuer.createOrganization();
  const bad = [
    await issuer.createKey({ restrictions: { scopes: ['gatelodge.clients:read'] } }),
    await issuer.createKey(mayWrite, organization.id),
    await elsewhere.createKey(mayWrite),
    await createKey(otherApi, '/v1/api-keys', mayWrite),
  ].map(({ secret }) => secret);
  for (const secret of [...bad, 'x', ''])
    expect((await register(metadata, { Authorization: `Bearer ${secret}` })).status).toBe(401);
  expect((await register(metadata)).body.error).toBe('invalid_token');
  const key = await issuer.createKey(mayWrite);
  expect((await register(metadata, { Authorization: `Bearer ${key.secret}` })).status).toBe(201);
  succeeded(await api.post(`${key.path}/revoke`));
  expect((await register(metadata, { Authorization: `Bearer ${key.secret}` })).status).toBe(401);
});

// Whoever may register without end fills the database.
test('50 at the same time: never more than the quota, and a deleted one makes room', async () => {
  const { issuer, register } = await issuerWith({ registration: 'open', registration_quota: 5 });
  const answers = await atOnce(50, () => register(metadata));
  const made = answers.filter(({ status }) => status === 201);
  expect(made).toHaveLength(5);
  expect(answers.filter(({ status }) => status !== 201 && status !== 403)).toEqual([]);
  succeeded(await api.delete(`${issuer.path}/clients/${made[0]!.body.client_id}`));
  expect((await register(metadata)).status).toBe(201);
});
