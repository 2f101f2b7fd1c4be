import { afterAll, expect, test } from 'vitest';
import { ApiClient } from '../../test/harness/api-client.ts';
import { atOnce } from '../../test/harness/at-once.ts';
import { createCustomer } from '../../test/harness/customer.ts';
import { OidcBrowser, pkce } from '../../test/harness/oidc-browser.ts';
import { claimsOf, OidcClient, redirectUri } from '../../test/harness/oidc-client.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { createKey, succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';

const server = await startTestServer();
const proxied = await startTestServer({
  nodeOf: server,
  env: { GATELODGE_TRUSTED_PROXIES: '127.0.0.1/32' },
});
const rows = await Rows.open(server.database);
const watch = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await watch.close();
  await proxied.close();
  await server.close();
});
const { api } = await createCustomer(server);
const nobody = new ApiClient(server.url, null);
const metadata = { client_name: 'Agent', redirect_uris: [redirectUri] };

async function issuerWith(settings: object) {
  const issuer = await TestIssuer.create(server, {}, {}, api);
  succeeded(await api.patch(`${issuer.path}/oidc-settings`, settings));
  const register = (body: unknown, headers: Record<string, string> = {}) =>
    nobody.post(`/${issuer.id}/register`, body, headers);
  /** From another address, by a proxy. */
  const registerFrom = (ip: string, headers: Record<string, string> = {}) =>
    new ApiClient(proxied.url, null).post(`/${issuer.id}/register`, metadata, {
      'X-Forwarded-For': ip,
      'X-Forwarded-Proto': 'https',
      ...headers,
    });
  return { issuer, register, registerFrom };
}

test('is off unless the issuer turns it on, and in no discovery document', async () => {
  const { issuer, register } = await issuerWith({});
  const { status, body } = await register(metadata);
  expect([status, body.code, body.detail]).toEqual([
    404,
    'not_found',
    expect.stringContaining('`registration`'),
  ]);
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
  const browser = new OidcBrowser(server);
  const tokens = await client.signIn(browser, { userId: user.id }, target(resource));
  expect(claimsOf(tokens.access_token)).toMatchObject({ aud: resource, scope: 'tools:use' });
  for (const other of ['https://api.example.com', `${resource}/`, 'https://mcp.example.com']) {
    const { parameters } = await client.code(browser, { userId: user.id }, target(other));
    expect([other, parameters.get('error')]).toEqual([other, 'invalid_target']);
  }
  succeeded(await api.patch(`${issuer.path}/oidc-settings`, { resources: null }));
  const { parameters } = await client.code(browser, { userId: user.id }, target(resource));
  expect(parameters.get('error')).toBe('invalid_target');
});

// Attack: a link to our host that leads on, without a page, to wherever a stranger has registered a client for.
test('an error is sent back only to a client that the user has let in', async () => {
  const { issuer, register } = await issuerWith({ registration: 'open' });
  const { body } = await register(metadata);
  const client = new OidcClient(server, issuer.id, body.client_id, body.client_secret);
  const user = await api.create(`${issuer.path}/users`, { username: 'ada@example.com' });
  const ask = async (browser: OidcBrowser, more: Record<string, string>) => {
    const query = { client_id: client.id, redirect_uri: redirectUri, response_type: 'code', scope: 'openid' };
    const challenge = { code_challenge: pkce().challenge, code_challenge_method: 'S256' };
    const path = `/${issuer.id}/authorize?${new URLSearchParams({ ...query, ...challenge, ...more })}`;
    const { status, headers } = await browser.request(path);
    return [status, /[?#]error=(\w+)/.exec(headers.get('Location') ?? '')?.[1] ?? null];
  };
  const mistakes = [
    [{ prompt: 'none' }, 'login_required'],
    [{ scope: 'nonsense' }, 'invalid_scope'],
    [{ response_type: 'token' }, 'unsupported_response_type'],
  ] as const;
  for (const [mistake] of mistakes) expect(await ask(new OidcBrowser(server), mistake)).toEqual([400, null]);
  const browser = new OidcBrowser(server);
  await client.signIn(browser, { userId: user.id });
  for (const [mistake, error] of mistakes.slice(1)) expect(await ask(browser, mistake)).toEqual([303, error]);
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
    await issuer.createKey(mayWrite, organization.id),
    await elsewhere.createKey(mayWrite),
    await createKey(otherApi, '/v1/api-keys', mayWrite),
  ].map(({ secret }) => secret);
  for (const secret of [...bad, 'x', ''])
    expect((await register(metadata, { Authorization: `Bearer ${secret}` })).status).toBe(401);
  expect((await register(metadata)).body).toEqual({
    error: 'invalid_token',
    error_description: 'send a secret key of the issuer that holds gatelodge.clients:write, as Bearer',
  });
  const mayRead = await issuer.createKey({ restrictions: { scopes: ['gatelodge.clients:read'] } });
  const refused = await register(metadata, { Authorization: `Bearer ${mayRead.secret}` });
  expect([refused.status, refused.body]).toEqual([
    403,
    {
      error: 'insufficient_scope',
      error_description: 'the key lacks the permission gatelodge.clients:write',
    },
  ]);
  const key = await issuer.createKey(mayWrite);
  expect((await register(metadata, { Authorization: `Bearer ${key.secret}` })).status).toBe(201);
  succeeded(await api.post(`${key.path}/revoke`));
  expect((await register(metadata, { Authorization: `Bearer ${key.secret}` })).status).toBe(401);
});

test('an initial access token that is bound to addresses counts from there, and from nowhere else', async () => {
  const { issuer, registerFrom } = await issuerWith({ registration: 'token' });
  const { secret } = await issuer.createKey({
    restrictions: { scopes: ['gatelodge.clients:write'], ips: ['198.51.100.0/24'] },
  });
  const from = async (ip: string) => (await registerFrom(ip, { Authorization: `Bearer ${secret}` })).status;
  expect([await from('198.51.100.7'), await from('192.0.2.1')]).toEqual([201, 401]);
});

// Attack: a stranger registers at full speed, and whatever else the issuer does waits for it.
test('whoever floods it is told to come back, and others are not', async () => {
  const { registerFrom } = await issuerWith({ registration: 'open', registration_quota: 1 });
  // More than two minutes have room for.
  const answers = await atOnce(130, () => registerFrom('198.51.100.7'));
  const refused = answers.filter(({ status }) => status === 429);
  expect(refused.length).toBeGreaterThanOrEqual(10);
  expect([refused[0]!.body.error, refused[0]!.headers.get('Retry-After')]).toEqual(['slow_down', '60']);
  expect((await registerFrom('198.51.100.8')).body.error).toBe('access_denied');
});

test('one that is refused by the quota waits for nobody, and none waits for sign-ins', async () => {
  const { issuer, register } = await issuerWith({ registration: 'open', registration_quota: 1 });
  const whileLocked = async (strength: string) => {
    await rows.query('begin');
    try {
      await rows.query(`select from issuers where id = $1 for ${strength}`, [issuer.id]);
      return (await register(metadata)).status;
    } finally {
      await rows.query('rollback');
    }
  };
  // As a sign-in has the issuer in hand.
  expect(await whileLocked('share')).toBe(201);
  expect(await whileLocked('update')).toBe(403);
});

test('one that waits while registration is switched off makes no client', async () => {
  const { issuer, register } = await issuerWith({ registration: 'open' });
  expect((await register(metadata)).status).toBe(201);
  await rows.query('begin');
  await rows.query(
    `update oidc_settings set settings = jsonb_set(settings, '{registration}', '"off"') where issuer_id = $1`,
    [issuer.id],
  );
  const waiting = register(metadata);
  await expect
    .poll(
      async () => (await watch.query(`select from pg_stat_activity where wait_event_type = 'Lock'`)).length,
    )
    .toBe(1);
  await rows.query('commit');
  const answer = await waiting;
  expect([answer.status, answer.headers.get('Retry-After')]).toEqual([503, '1']);
  const [made] = await rows.query('select count(*)::int as count from clients where issuer_id = $1', [
    issuer.id,
  ]);
  expect(made!.count).toBe(1);
});

// Whoever may register without end fills the database.
test('50 at the same time: never more than the quota, and a deleted one makes room', async () => {
  const { issuer, registerFrom } = await issuerWith({ registration: 'open', registration_quota: 5 });
  const register = () => registerFrom('203.0.113.1');
  const answers = await atOnce(50, register);
  const made = answers.filter(({ status }) => status === 201);
  expect(made).toHaveLength(5);
  expect(answers.filter(({ status }) => status !== 201 && status !== 403)).toEqual([]);
  succeeded(await api.delete(`${issuer.path}/clients/${made[0]!.body.client_id}`));
  expect((await register()).status).toBe(201);
});
