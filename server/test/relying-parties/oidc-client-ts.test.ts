import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { launchChromium } from '../harness/chromium.ts';
import { LoginVisitor } from '../harness/login-pages.ts';
import { claimsOf } from '../harness/oidc-client.ts';
import { relyingPartyModules, snippetOf } from './packages.ts';
import { PartyApp } from './party-app.ts';
import { PartyWorld } from './world.ts';

/** What the library knows of who is signed in. */
interface KnownUser {
  access_token: string;
  refresh_token: string;
  profile: Record<string, unknown>;
}

const page = `<!doctype html>
<title>App</title>
<script type="importmap">{"imports":{"oidc-client-ts":"/oidc-client-ts.js","jwt-decode":"/jwt-decode.js"}}</script>
<script type="module">
  import { users } from '/sign-in.js';
  globalThis.users = users;
  document.title = 'Ready';
</script>`;

let world: PartyWorld;
let app: PartyApp;
let browser: Browser;
const complaints: string[] = [];
beforeAll(async () => {
  const modules = await relyingPartyModules();
  [world, app, browser] = await Promise.all([PartyWorld.open(), PartyApp.start(), launchChromium()]);
  const { id } = await world.register('oidc-client-ts', app.url);
  const scripts: Record<string, string> = {
    '/oidc-client-ts.js': await readFile(join(modules, 'oidc-client-ts/dist/esm/oidc-client-ts.js'), 'utf8'),
    '/jwt-decode.js': await readFile(join(modules, 'jwt-decode/build/esm/index.js'), 'utf8'),
    '/sign-in.js': await snippetOf('oidc-client-ts', {
      'https://login.example.com/i_yourissuer': world.issuerUrl,
      c_yourclient: id,
      'https://app.example.com/': `${app.url}/`,
    }),
  };
  app.handler = async (request) => {
    const { pathname } = new URL(request.url);
    const script = scripts[pathname];
    if (script !== undefined) return new Response(script, { headers: { 'Content-Type': 'text/javascript' } });
    if (pathname !== '/') return new Response(null, { status: 404 });
    return new Response(page, { headers: { 'Content-Type': 'text/html' } });
  };
});
afterAll(async () => {
  await browser?.close();
  await app?.[Symbol.asyncDispose]();
  await world?.[Symbol.asyncDispose]();
});

/** Calls the library in the page; text, since it runs there. */
const call = <T>(tab: Page, expression: string): Promise<T> => tab.evaluate<T>(expression);

async function signIn() {
  const user = await world.newUser();
  const tab = await (await browser.newContext()).newPage();
  tab.on('pageerror', (error) => void complaints.push(error.message));
  tab.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });
  await tab.goto(`${app.url}/`);
  await tab.waitForFunction('document.title === "Ready"');
  await call(tab, 'void users.signinRedirect()');
  await tab.fill('input[type=email]', user.address);
  await tab.click('button[type=submit]');
  const code = await new LoginVisitor(world.server).nextCode(user.address, 0);
  await tab.fill('input[autocomplete=one-time-code]', code);
  await tab.click('button[type=submit]');
  await tab.waitForURL(`${app.url}/**`);
  await tab.waitForFunction('document.title === "Ready"');
  return { user, tab, known: await call<KnownUser>(tab, 'users.getUser()') };
}

describe('oidc-client-ts in a browser', () => {
  test('signs a user in, with what userinfo says of her', async () => {
    const { user, tab, known } = await signIn();
    expect(new URL(tab.url()).search).toBe('');
    world.expectClaims(known.profile, user);
    world.expectClaims(claimsOf(known.access_token), user);
    expect(known.profile).toMatchObject({ email: user.address, given_name: 'Ada', family_name: 'Lovelace' });
    await tab.context().close();
  });

  test('refreshes without a page of the login', async () => {
    const { user, tab, known } = await signIn();
    const next = await call<KnownUser>(tab, 'users.signinSilent()');
    expect(next.refresh_token).not.toBe(known.refresh_token);
    world.expectClaims(claimsOf(next.access_token), user);
    await tab.context().close();
  });

  test('signs out, and everything that was given ends', async () => {
    const { tab, known } = await signIn();
    await call(tab, 'void users.signoutRedirect()');
    await tab.waitForURL(`${app.url}/**`);
    await tab.waitForFunction('document.title === "Ready"');
    expect(await call(tab, 'users.getUser()')).toBeNull();
    expect(await world.sessionOf(known.access_token)).toBe('logout');
    await call(tab, 'void users.signinRedirect()');
    await tab.waitForURL(`${world.issuerUrl}/**`);
    await tab.waitForSelector('input[type=email]');
    await tab.context().close();
  });

  test('no browser complains on the way', () => expect(complaints).toEqual([]));
});
