import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { claimsOf } from '../harness/oidc-client.ts';
import type { RawRequest } from '../harness/raw-http.ts';
import { importSnippet, snippetOf } from './packages.ts';
import { PartyApp } from './party-app.ts';
import { PartyBrowser } from './party-browser.ts';
import { PartyWorld } from './world.ts';

/** The guide's configuration, and the library that it is for. */
interface Snippet {
  authConfig: object;
  Auth(request: Request, config: object): Promise<Response>;
}

let world: PartyWorld;
let app: PartyApp;
beforeAll(async () => {
  [world, app] = await Promise.all([PartyWorld.open(), PartyApp.start()]);
  const { id, secret } = await world.register('auth.js', app.url);
  const snippet = await snippetOf('auth.js', {
    'your-auth-secret': 'a-secret-of-the-application-0123456789',
    'https://login.example.com/i_yourissuer': world.issuerUrl,
    c_yourclient: id,
    'your-client-secret': secret,
    'https://app.example.com/': `${app.url}/`,
  });
  const { Auth, authConfig } = await importSnippet<Snippet>(
    `import { Auth } from '@auth/core';\nexport { Auth };\n${snippet}`,
  );
  app.handler = async (request) =>
    new URL(request.url).pathname.startsWith('/auth/') ? Auth(request, authConfig) : new Response('Home');
});
afterAll(async () => {
  await app?.[Symbol.asyncDispose]();
  await world?.[Symbol.asyncDispose]();
});

/** What a form of the application sends, with the token that keeps other sites from sending it. */
async function post(browser: PartyBrowser): Promise<RawRequest> {
  const { csrfToken } = JSON.parse((await browser.go(`${app.url}/auth/csrf`)).text);
  return {
    method: 'POST',
    body: new URLSearchParams({ csrfToken, callbackUrl: `${app.url}/` }).toString(),
    headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
  };
}

const sessionOf = async (browser: PartyBrowser) => {
  const { text } = await browser.go(`${app.url}/auth/session`);
  return JSON.parse(text);
};

describe('Auth.js', () => {
  test('signs a user in, with her organizations in its session, and out of both sides', async () => {
    const user = await world.newUser();
    const browser = new PartyBrowser(world.server);
    const start = `${app.url}/auth/signin/gatelodge`;
    const arrived = await browser.signIn(start, user.address, await post(browser));
    expect([arrived.url.href, arrived.text]).toEqual([`${app.url}/`, 'Home']);
    const session = await sessionOf(browser);
    expect(session).toMatchObject({
      user: { id: user.id, email: user.address, name: 'Ada Lovelace' },
      organizations: [world.membership],
    });

    await browser.go(`${app.url}/auth/signout`, await post(browser));
    expect(await sessionOf(browser)).toBeNull();
    const signOut = new URL(session.signOutUrl);
    const idToken = signOut.searchParams.get('id_token_hint')!;
    world.expectClaims(claimsOf(idToken), user);
    expect(await world.sessionOf(idToken)).toBe('active');
    expect((await browser.go(signOut.href)).url.href).toBe(`${app.url}/`);
    expect(await world.sessionOf(idToken)).toBe('logout');
    const again = await browser.go(start, await post(browser));
    expect(again.page?.title).toContain('Sign in');
  });
});
