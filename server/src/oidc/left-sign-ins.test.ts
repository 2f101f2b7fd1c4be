import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { OidcBrowser, pkce } from '../../test/harness/oidc-browser.ts';
import { claimsOf, OidcClient, redirectUri } from '../../test/harness/oidc-client.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';

// Behind the clock on the wall, by which nothing here may go.
const clock = new TestClock(new Date(Date.now() - 1_000_000).toISOString());
const server = await startTestServer({ clock });
afterAll(() => server.close());
const { api } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
const client = await OidcClient.create(server, issuer);
let users = 0;
const newUser = () => api.create(`${issuer.path}/users`, { username: `user${users++}@example.com` });

/** A browser whose user has shown who it is and has not gone on yet: where it would go on. */
async function leave(userId: string) {
  const browser = new OidcBrowser(server);
  const { verifier, challenge } = pkce();
  const query = new URLSearchParams({
    ...{ client_id: client.id, redirect_uri: redirectUri, response_type: 'code', scope: 'openid' },
    ...{ code_challenge: challenge, code_challenge_method: 'S256' },
  });
  const page = await browser.request(`/${issuer.id}/authorize?${query}`);
  const uid = new URL(page.headers.get('Location')!).pathname.split('/').at(-1)!;
  const onward = await browser.answer(issuer.id, uid, { userId });
  const goOn = async () => {
    const { status, headers } = await browser.request(onward);
    const code = new URL(headers.get('Location') ?? 'none:').searchParams.get('code');
    return { status, redeemed: code === null ? null : (await client.redeem({ code, verifier })).status };
  };
  return { browser, goOn };
}

// Attack: whoever has had one code of a user keeps the page that comes after it until nobody looks any more.
describe('a sign-in that was answered and left', () => {
  test('goes on at once', async () => {
    const { id } = await newUser();
    const { goOn } = await leave(id);
    clock.advance(100);
    expect(await goOn()).toEqual({ status: 303, redeemed: 200 });
  });

  test.each([
    ['all sessions of its user are ended', ['sessions/revoke']],
    ['its user is suspended, and activated again', ['suspend', 'activate']],
  ])('is over once %s', async (_name, verbs) => {
    const { id } = await newUser();
    const { goOn } = await leave(id);
    for (const verb of verbs) succeeded(await api.post(`${issuer.path}/users/${id}/${verb}`));
    expect(await goOn()).toEqual({ status: 400, redeemed: null });
  });

  test('is over after two minutes, in which its user may have signed out in another window', async () => {
    const { id } = await newUser();
    const { browser, goOn } = await leave(id);
    const { id_token } = await client.signIn(browser, { userId: id });
    await browser.request(`/${issuer.id}/logout?id_token_hint=${id_token}`);
    clock.advance(121);
    expect(await goOn()).toEqual({ status: 400, redeemed: null });
    const silent = await client.code(browser, { userId: id }, { prompt: 'none' });
    expect(silent.parameters.get('error')).toBe('login_required');
  });
});

// Attack: step-up by `max_age` is passed by a page that was left open after the sign-in.
test('when a user has signed in is when it has shown who it is, however long it looks at the pages after that', async () => {
  const external = await OidcClient.create(server, issuer, { type: 'external' });
  const { id: userId } = await newUser();
  const signedInAt = Math.floor(clock.nowMs() / 1000);
  const tokens = await external.signIn(new OidcBrowser(server), {
    userId,
    onStep: ({ step }) => step === 'consent' && clock.advance(50),
  });
  expect(claimsOf(tokens.id_token!).auth_time).toBe(signedInAt);
  expect(claimsOf(tokens.access_token).auth_time).toBe(signedInAt);
});
