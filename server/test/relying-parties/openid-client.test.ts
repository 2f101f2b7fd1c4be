import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { claimsOf } from '../harness/oidc-client.ts';
import { importSnippet, snippetOf } from './packages.ts';
import { PartyApp } from './party-app.ts';
import { PartyBrowser } from './party-browser.ts';
import { PartyWorld, type Registered } from './world.ts';

interface Tokens {
  access_token: string;
  refresh_token: string;
  id_token: string;
  claims(): Record<string, unknown>;
}

interface Pending {
  url: URL;
  verifier: string;
  state: string;
}

/** What the guide's module exports. */
interface Snippet {
  begin(parameters?: Record<string, string>): Promise<Pending>;
  finish(url: URL, pending: Pending): Promise<Tokens>;
  userinfo(tokens: Tokens): Promise<Record<string, unknown>>;
  refresh(tokens: Tokens): Promise<Tokens>;
  signOutUrl(tokens: Tokens): URL;
}

let world: PartyWorld;
let app: PartyApp;
let client: Registered;
let party: Snippet;
beforeAll(async () => {
  world = await PartyWorld.open();
  app = await PartyApp.start();
  app.handler = async (request) => new Response(new URL(request.url).pathname);
  client = await world.register('openid-client', app.url);
  party = await importSnippet<Snippet>(
    await snippetOf('openid-client', {
      'https://login.example.com/i_yourissuer': world.issuerUrl,
      c_yourclient: client.id,
      'your-client-secret': client.secret,
      'https://app.example.com/': `${app.url}/`,
    }),
  );
});
afterAll(async () => {
  await app?.[Symbol.asyncDispose]();
  await world?.[Symbol.asyncDispose]();
});

async function signIn(parameters: Record<string, string> = {}) {
  const browser = new PartyBrowser(world.server);
  const user = await world.newUser();
  const pending = await party.begin(parameters);
  const { url } = await browser.signIn(pending.url.href, user.address);
  expect(url.href.startsWith(`${app.url}/callback?`)).toBe(true);
  return { browser, user, tokens: await party.finish(url, pending), pending };
}

describe('openid-client', () => {
  test('signs a user in by a pushed request, a code and PKCE', async () => {
    const { tokens, pending, user } = await signIn();
    expect([...pending.url.searchParams.keys()].sort()).toEqual(['client_id', 'request_uri']);
    world.expectClaims(tokens.claims(), user);
    world.expectClaims(claimsOf(tokens.access_token), user);
    const userinfo = await party.userinfo(tokens);
    world.expectClaims(userinfo, user);
    expect(userinfo).toMatchObject({ email: user.address, email_verified: true, name: 'Ada Lovelace' });
  });

  test('refreshes, each refresh token once', async () => {
    const { tokens, user } = await signIn();
    const next = await party.refresh(tokens);
    world.expectClaims(claimsOf(next.access_token), user);
    expect(next.refresh_token).not.toBe(tokens.refresh_token);
    expect(next.access_token).not.toBe(tokens.access_token);
    await expect(party.refresh(tokens)).rejects.toMatchObject({ error: 'invalid_grant' });
    // Who has used one twice may not be who she was given to.
    await expect(party.refresh(next)).rejects.toMatchObject({ error: 'invalid_grant' });
  });

  test('asks for one organization', async () => {
    const { tokens } = await signIn({ org: world.membership.org_id });
    expect(tokens.claims()).toMatchObject({ org_id: world.membership.org_id });
  });

  test('signs out, and everything that was given ends', async () => {
    const { browser, tokens } = await signIn();
    expect(await world.sessionOf(tokens.access_token)).toBe('active');
    const { url } = await browser.go(party.signOutUrl(tokens).href);
    expect(url.href).toBe(`${app.url}/`);
    expect(await world.sessionOf(tokens.access_token)).toBe('logout');
    await expect(party.refresh(tokens)).rejects.toMatchObject({ error: 'invalid_grant' });
    await expect(party.userinfo(tokens)).rejects.toMatchObject({ status: 401 });
    const again = await browser.go((await party.begin()).url.href);
    expect(again.page?.title).toContain('Sign in');
  });
});
