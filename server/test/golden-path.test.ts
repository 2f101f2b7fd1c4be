import { createRemoteJWKSet, type JWTPayload, jwtVerify } from 'jose';
import { afterAll, describe, expect, test } from 'vitest';
import { ApiClient } from './harness/api-client.ts';
import { createCustomer } from './harness/customer.ts';
import { codeOf, LoginVisitor } from './harness/login-pages.ts';
import { pkce } from './harness/oidc-browser.ts';
import { OidcClient, redirectUri, type Tokens } from './harness/oidc-client.ts';
import { freePort } from './harness/process.ts';
import { startTestServer } from './harness/server.ts';

const port = await freePort();
const url = `http://localhost:${port}`;
const server = await startTestServer({
  env: { GATELODGE_PORT: String(port), GATELODGE_PUBLIC_URL: url },
});
afterAll(() => server.close());

const address = 'ada@example.com';
const scopes = ['invoices:read', 'invoices:write'];
const steps = [
  'api-key.verified',
  'api-key.created',
  'organization.membership.created',
  'user.created',
  'organization.created',
  'client.created',
  'issuer.created',
];

/** `Authorization` of Basic. */
const basic = (id: string, secret: string) => ({
  Authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`,
});

describe('from an account key to a user who is signed in', () => {
  test('each step answers what the next one needs', async () => {
    const { id: accountId, api } = await createCustomer(server);
    const anybody = new ApiClient(server.url, null);
    const typesOf = async (query: string) =>
      (await api.get(`/v1/events${query}`)).body.data.map(({ type }: { type: string }) => type);

    const issuer = await created(api, '/v1/issuers', { name: 'Acme' });
    expect(issuer).toMatchObject({ name: 'Acme', environment: 'live', status: 'active' });
    expect(issuer.id).toMatch(/^i_[0-9a-z]{25}$/);
    const path = `/v1/issuers/${issuer.id}`;

    const authority = `${url}/${issuer.id}`;
    const discovery = await anybody.get(`/${issuer.id}/.well-known/openid-configuration`);
    expect(discovery.status).toBe(200);
    expect(discovery.body).toMatchObject({
      issuer: authority,
      authorization_endpoint: `${authority}/authorize`,
      token_endpoint: `${authority}/token`,
      jwks_uri: `${authority}/jwks.json`,
      userinfo_endpoint: `${authority}/userinfo`,
      authorization_response_iss_parameter_supported: true,
    });

    const client = await created(api, `${path}/clients`, {
      name: 'App',
      type: 'first_party',
      confidential: true,
      settings: {
        protocol: 'oidc',
        scopes: ['openid', 'profile', 'email'],
        openid: {
          application_type: 'web',
          grant_types: ['authorization_code', 'refresh_token'],
          redirect_uris: [redirectUri],
        },
      },
    });
    expect(client).toMatchObject({ name: 'App', type: 'first_party', confidential: true });
    expect(client.id).toMatch(/^c_[0-9a-z]{25}$/);
    expect(client.secret).toMatch(/^[\w-]{43,}$/);
    expect((await api.get(`${path}/clients/${client.id}`)).body.data.secret).toBeUndefined();

    const organization = await created(api, `${path}/organizations`, { name: 'Blue Bakery' });
    expect(organization).toMatchObject({ name: 'Blue Bakery', status: 'active' });
    expect(organization.id).toMatch(/^org_[0-9a-z]{25}$/);

    const user = await created(api, `${path}/users`, {
      username_type: 'email',
      username: address,
      profile: { first_name: 'Ada', last_name: 'Lovelace' },
    });
    expect(user).toMatchObject({ username_type: 'email', username: address, status: 'active' });
    expect(user.id).toMatch(/^usr_[0-9a-z]{25}$/);

    const member = await created(api, `${path}/organizations/${organization.id}/members`, {
      member_id: user.id,
      scopes,
    });
    expect(member).toMatchObject({ member_id: user.id, scopes });

    const key = await created(api, `${path}/organizations/${organization.id}/api-keys`, {
      restrictions: { scopes: ['invoices:read'] },
    });
    expect(key).toMatchObject({ kind: 'secret', environment: 'live', status: 'active' });
    expect(key.secret_plain).toMatch(/^gl_live_sk_[0-9A-Za-z]+$/);

    const me = await anybody.get('/v1/me', basic(key.id, key.secret_plain));
    expect([me.status, me.headers.get('X-Environment')]).toEqual([200, 'LIVE']);
    expect(me.body.data).toMatchObject({
      type: 'api_key',
      id: key.id,
      account_id: accountId,
      issuer_id: issuer.id,
      organizations: [{ org_id: organization.id, name: 'Blue Bakery', scopes: ['invoices:read'] }],
      environment: 'live',
      scopes: ['invoices:read'],
    });
    const wrongId = await anybody.get('/v1/me', basic(organization.id, key.secret_plain));
    expect([wrongId.status, wrongId.headers.has('WWW-Authenticate')]).toEqual([401, true]);

    const ofIssuer = await api.get(`/v1/events?limit=10&issuer_id=${issuer.id}`);
    expect(ofIssuer.body.data.map(({ type }: { type: string }) => type)).toEqual(steps);
    const subjects = ofIssuer.body.data.map(({ subject }: { subject: { id: string } }) => subject.id);
    expect([subjects[0], ...subjects.slice(3)]).toEqual([
      key.id,
      user.id,
      organization.id,
      client.id,
      issuer.id,
    ]);
    expect(await typesOf('?limit=7')).toEqual(steps);
    expect((await typesOf('')).slice(0, 7)).toEqual(steps);

    const tokens = await signIn(new OidcClient(server, issuer.id, client.id, client.secret));
    const { jwks_uri: jwksUri } = discovery.body;
    const keys = createRemoteJWKSet(new URL(jwksUri));
    const verified = async (token: string, audience: string, typ?: string): Promise<JWTPayload> =>
      (await jwtVerify(token, keys, { issuer: authority, audience, ...(typ && { typ }) })).payload;
    const idToken = await verified(tokens.id_token!, client.id);
    const accessToken = await verified(tokens.access_token, authority, 'at+jwt');
    for (const claims of [idToken, accessToken])
      expect(claims).toMatchObject({
        sub: user.id,
        environment: 'live',
        organizations: [{ org_id: organization.id, name: 'Blue Bakery', scopes }],
      });
    expect(idToken).toMatchObject({ nonce: 'some-nonce', email: address, amr: ['otp'] });
    expect(accessToken).toMatchObject({ client_id: client.id, scope: 'openid profile email' });
  });
});

// biome-ignore lint/suspicious/noExplicitAny: as `ApiAnswer`.
async function created(api: ApiClient, path: string, body: object): Promise<any> {
  const answer = await api.post(path, body);
  expect([path, answer.status, answer.text]).toEqual([path, 201, expect.stringMatching(/^\{"data":/)]);
  expect(answer.headers.get('X-Request-Id')).toMatch(/./);
  return answer.body.data;
}

/** By the code that is mailed, on the pages of the login. */
async function signIn(client: OidcClient): Promise<Tokens> {
  const { verifier, challenge } = pkce();
  const visitor = new LoginVisitor(server);
  const arrived = await visitor.signIn(client, address, { code_challenge: challenge, nonce: 'some-nonce' });
  expect(arrived.url.href.startsWith(redirectUri)).toBe(true);
  expect(Object.fromEntries(arrived.url.searchParams)).toEqual({
    code: expect.any(String),
    state: 'some-state',
    iss: `${url}/${client.issuerId}`,
  });
  const answer = await client.redeem({ code: codeOf(arrived)!, verifier });
  expect([answer.status, answer.text]).toEqual([200, expect.stringContaining('access_token')]);
  expect(answer.headers.get('Cache-Control')).toBe('no-store');
  return answer.body;
}
