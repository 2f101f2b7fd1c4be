import { afterAll, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { OidcBrowser } from '../../test/harness/oidc-browser.ts';
import { claimsOf, OidcClient } from '../../test/harness/oidc-client.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';

const clock = new TestClock(new Date().toISOString());
const server = await startTestServer({ clock });
afterAll(() => server.close());
const { api } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
const client = await OidcClient.create(server, issuer);
const other = await OidcClient.create(server, issuer);

// Attack: whoever may change its address in an application has the one of somebody else, and relying parties that link accounts
// by a verified address hand over that one's.
test('an address that a user was given after it has signed in is not verified until it has shown it', async () => {
  const user = await api.create(`${issuer.path}/users`, { username: 'ada@example.com' });
  const path = `${issuer.path}/users/${user.id}`;
  const browser = new OidcBrowser(server);
  const tokens = await client.signIn(browser, { userId: user.id });
  const told = async () => {
    const userinfo = succeeded(await client.userinfo(tokens.access_token)).body;
    const elsewhere = claimsOf((await other.signIn(browser, { userId: user.id })).id_token!);
    return [userinfo, elsewhere].map(({ email, email_verified: isVerified }) => [email, isVerified]);
  };
  clock.advance(2);
  succeeded(await api.patch(path, { username: 'Ada@example.com' }));
  expect(await told()).toEqual(Array(2).fill(['Ada@example.com', true]));
  succeeded(await api.patch(path, { username: 'victim@corp.example' }));
  expect(await told()).toEqual(Array(2).fill(['victim@corp.example', false]));
  const { body } = succeeded(await client.refresh(tokens.refresh_token!));
  expect(claimsOf(body.id_token).email_verified).toBe(false);
  clock.advance(2);
  const anew = await client.signIn(browser, { userId: user.id }, { prompt: 'login' });
  expect(claimsOf(anew.id_token!)).toMatchObject({ email: 'victim@corp.example', email_verified: true });
});
