import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { OidcBrowser, pkce } from '../../test/harness/oidc-browser.ts';
import { claimsOf, OidcClient } from '../../test/harness/oidc-client.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';
import { clientRefusals } from './client-refusals.ts';
import { describeInvalidGrant } from './token-refusals.ts';

const server = await startTestServer();
afterAll(() => server.close());
const { api } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
const client = await OidcClient.create(server, issuer);
const other = await OidcClient.create(server, issuer);
const user = await api.create(`${issuer.path}/users`, { username: 'ada@example.com' });
const codeOfUser = (of = client, parameters: Record<string, string> = {}) =>
  of.code(new OidcBrowser(server), { userId: user.id }, parameters);

/** What the client is told. */
async function told(answering: ReturnType<OidcClient['post']>): Promise<string> {
  const { status, body } = await answering;
  expect([status, body.error]).toEqual([400, 'invalid_grant']);
  // RFC 6749 §5.2.
  expect(body.error_description).toMatch(/^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/);
  return body.error_description;
}

describe('an invalid_grant tells the client what it can mend', () => {
  test('of an authorization code', async () => {
    const code = await codeOfUser();
    expect(await told(client.redeem({ ...code, verifier: pkce().verifier }))).toMatch(
      /^code_verifier does not match/,
    );
    const { code: bare } = code;
    expect(await told(client.redeem({ code: bare, verifier: '' }))).toBe('code_verifier is missing');
    expect(await told(client.redeem(code, { redirect_uri: 'https://app.example/x' }))).toMatch(
      /^redirect_uri is not the one/,
    );
    succeeded(await client.redeem(code));
    expect(await told(client.redeem(code))).toMatch(/^the authorization code has been used already/);
  });

  test('of a verifier that nobody has asked for', async () => {
    const lenient = await OidcClient.create(server, issuer, {
      confidential: true,
      openid: { pkce: 'optional' },
    });
    const code = await codeOfUser(lenient, { code_challenge: '', code_challenge_method: '' });
    expect(await told(lenient.redeem(code))).toMatch(/had no code_challenge$/);
  });

  test('of a refresh token', async () => {
    const { body: tokens } = succeeded(await client.redeem(await codeOfUser()));
    succeeded(await client.refresh(tokens.refresh_token));
    expect(await told(client.refresh(tokens.refresh_token))).toMatch(/^the refresh token has been used/);
  });

  test('of an organization that the tokens are for', async () => {
    const { id: org } = await issuer.createOrganization();
    const path = `${issuer.path}/organizations/${org}`;
    await api.create(`${path}/members`, { member_id: user.id, scopes: ['invoices:read'] });
    const code = await codeOfUser(client, { org });
    succeeded(await api.post(`${path}/suspend`));
    expect(await told(client.redeem(code))).toMatch(/^the organization is suspended/);
  });

  test('of what has expired', () => {
    expect(describeInvalidGrant('authorization_code', 'authorization code is expired')).toBe(
      'the authorization code has expired',
    );
  });
});

// Attack: a client, or somebody who has found a code, asks the token endpoint whose it is and whether there is such.
describe('but nothing of what is not its own', () => {
  test('a code or token of another client is told as one that there is not', async () => {
    const code = await codeOfUser();
    const ofNobody = await told(client.redeem({ ...code, code: 'x'.repeat(43) }));
    expect(await told(other.redeem(code))).toBe(ofNobody);
    const { body: tokens } = succeeded(await client.redeem(code));
    const unknown = await told(client.refresh('x'.repeat(43)));
    expect(await told(other.refresh(tokens.refresh_token))).toBe(unknown);
    // Nor does it learn that it has been used.
    expect(await told(other.redeem(code))).toBe(ofNobody);
    expect((await client.refresh(tokens.refresh_token)).status).toBe(200);
  });

  test('nor whether it was the user, the session or the token that has gone', async () => {
    const unknown = await told(client.refresh('x'.repeat(43)));
    const { body: tokens } = succeeded(await client.redeem(await codeOfUser()));
    const { sid } = claimsOf(tokens.access_token);
    succeeded(await api.post(`${issuer.path}/sessions/${sid}/revoke`));
    expect(await told(client.refresh(tokens.refresh_token))).toBe(unknown);
    const gone = await api.create(`${issuer.path}/users`, { username: 'eve@example.com' });
    const theirs = await client.signIn(new OidcBrowser(server), { userId: gone.id });
    succeeded(await api.post(`${issuer.path}/users/${gone.id}/suspend`));
    expect(await told(client.refresh(theirs.refresh_token!))).toBe(unknown);
  });
});

const deviceCode = 'urn:ietf:params:oauth:grant-type:device_code';
const endpoints = ['/token', '/par', '/device/authorization', '/introspect', '/revoke', '/keyinfo'];

describe('an invalid_client tells what is wrong about who asks', async () => {
  succeeded(await api.patch(`${issuer.path}/oidc-settings`, { device_flow: true }));
  const confidential = await OidcClient.create(server, issuer, { confidential: true });
  const open = await OidcClient.create(server, issuer, { confidential: false });
  const suspended = await OidcClient.create(server, issuer, { confidential: true });
  succeeded(await api.post(`${issuer.path}/clients/${suspended.id}/suspend`));
  const elsewhere = await OidcClient.create(server, await TestIssuer.create(server, {}, {}, api), {
    confidential: true,
  });
  const withSecret = (id: string, secret: string | null) => new OidcClient(server, issuer.id, id, secret);
  const unknown = withSecret(`c_${'0'.repeat(25)}`, 'x'.repeat(43));
  const ask = (asking: OidcClient, endpoint: string, form: Record<string, string> = {}) =>
    asking.post(endpoint, { grant_type: 'refresh_token', refresh_token: 'x', token: 'x', key: 'x', ...form });

  test.each(endpoints)('at %s', async (endpoint) => {
    const refused = async (asking: OidcClient, form: Record<string, string> = {}) => {
      const { status, body } = await ask(asking, endpoint, form);
      expect([endpoint, status, body]).toEqual([
        endpoint,
        401,
        { error: 'invalid_client', error_description: expect.any(String) },
      ]);
      // RFC 6749 §5.2.
      expect(body.error_description).toMatch(/^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/);
      return body.error_description;
    };
    expect(await refused(unknown)).toBe(clientRefusals.unknown);
    expect(await refused(suspended)).toBe(clientRefusals.unknown);
    const { id, secret } = confidential;
    expect(await refused(withSecret(id, `${secret}x`))).toBe(clientRefusals.wrongSecret);
    expect(await refused(withSecret(id, null), { client_secret: 'x' })).toBe(clientRefusals.wrongSecret);
    expect(await refused(withSecret(id, null))).toBe(clientRefusals.secretMissing);
    expect(await refused(withSecret(open.id, 'x'))).toBe(clientRefusals.secretSent);
    expect(await refused(open, { client_secret: 'x' })).toBe(clientRefusals.secretSent);
  });

  // Attack: find out by another issuer's answers which clients there are, or that a secret is right.
  test.each(endpoints)('and of a client of another issuer nothing, at %s', async (endpoint) => {
    const answerTo = async (asking: OidcClient) => {
      const { status, body, headers } = await ask(asking, endpoint);
      return [status, body, headers.get('WWW-Authenticate')];
    };
    expect(await answerTo(withSecret(elsewhere.id, elsewhere.secret))).toEqual(await answerTo(unknown));
  });
});

describe('other refusals tell how to mend them', () => {
  test('a grant type that the issuer does not have', async () => {
    const { status, body } = await client.post('/token', { grant_type: 'password' });
    expect([status, body.error]).toEqual([400, 'unsupported_grant_type']);
    for (const name of ['authorization_code', 'refresh_token', 'client_credentials', deviceCode])
      expect(body.error_description).toContain(name);
  });

  test('a redirect URI that is none of a client’s, where the request is pushed', async () => {
    const { status, body } = await client.post('/par', {
      client_id: client.id,
      redirect_uri: 'https://nowhere.example/',
      response_type: 'code',
      scope: 'openid',
    });
    expect([status, body.error]).toEqual([400, 'invalid_request']);
    expect(body.error_description).toMatch(/^redirect_uri did not match .*settings\.openid\.redirect_uris/);
  });
});
