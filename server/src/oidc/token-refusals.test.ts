import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { OidcBrowser, pkce } from '../../test/harness/oidc-browser.ts';
import { claimsOf, OidcClient } from '../../test/harness/oidc-client.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';
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
