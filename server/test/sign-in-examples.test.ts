import { readFile } from 'node:fs/promises';
import type { Server } from 'node:http';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { describeSignIn } from './fixtures/sign-in-cases.ts';
import { OtpBackend, portOf, SignInPage, serveBrowserExample } from './fixtures/sign-in-examples.ts';
import { launchChromium } from './harness/chromium.ts';
import { newAddress } from './harness/otp-client.ts';
import { freePort, repositoryRoot } from './harness/process.ts';
import { send } from './harness/raw-http.ts';
import { startTestServer, TestClock, type TestServer } from './harness/server.ts';
import { TestIssuer, type TestKey } from './harness/test-issuer.ts';

const clock = new TestClock(new Date().toISOString());
let server: TestServer;
let browser: Browser;
let issuer: TestIssuer;
beforeAll(async () => {
  const port = await freePort();
  const publicUrl = `http://127.0.0.1:${port}`;
  server = await startTestServer({
    clock,
    env: { GATELODGE_PORT: String(port), GATELODGE_PUBLIC_URL: publicUrl },
  });
  issuer = await TestIssuer.create(server, { preset: 'otp' });
  browser = await launchChromium();
});
afterAll(async () => {
  await browser?.close();
  await server?.close();
});

describe('examples/otp-backend', () => {
  let backend: OtpBackend;
  let env: Record<string, string>;
  beforeAll(async () => {
    const { secret } = await issuer.createKey();
    env = { GATELODGE_URL: server.url, ISSUER_ID: issuer.id, API_KEY: secret };
    backend = await (await OtpBackend.start(env)).isUp();
  });
  afterAll(() => backend?.stop());

  describeSignIn(() => ({ issuer, clock, open: () => SignInPage.open(browser, server, backend.url) }));

  test('keeps everything in cookies that no script reads, by whichever name of this machine it was found', async () => {
    const app = await SignInPage.open(browser, server, `http://localhost:${backend.port}`);
    await app.signIn(newAddress('backend'));
    const cookies = await app.page.context().cookies();
    expect(cookies.map(({ name }) => name).sort()).toEqual(['device', 'session']);
    for (const cookie of cookies) expect(cookie).toMatchObject({ httpOnly: true, sameSite: 'Lax' });
    expect(await app.page.evaluate('document.cookie')).toBe('');
    const profile = async () =>
      (await app.page.request.get(`http://localhost:${backend.port}/api/profile`)).status();
    expect(await profile()).toBe(200);
    await app.press('Sign out');
    await app.is('Sign in');
    expect(await profile()).toBe(401);
  });

  // Attack: a page of another site posts the form, so that its visitor is signed in as somebody else; or has its name
  // point at this machine.
  test('takes no form from another site, and answers to no other name', async () => {
    for (const origin of [
      'https://evil.example',
      'null',
      'http://localhost:1',
      `http://localhost:${backend.port}`,
    ]) {
      const answer = await fetch(`${backend.url}/sign-in`, {
        method: 'POST',
        headers: { Origin: origin },
        body: new URLSearchParams({ email: newAddress() }),
      });
      expect([origin, answer.status]).toEqual([origin, 403]);
      expect(await answer.text()).toContain(`This one is ${backend.url}.`);
    }
    const rebound = await send(backend.url, { headers: { Host: 'evil.example' } });
    expect([rebound.status, rebound.text.includes('Set ORIGIN')]).toEqual([421, true]);
  });

  test('says at the start what is wrong with its settings', async () => {
    const localhost = server.url.replace('127.0.0.1', 'localhost');
    const wrong: [Record<string, string>, RegExp][] = [
      [{ API_KEY: '' }, /^Set API_KEY; /],
      [
        { ISSUER_ID: 'i_0123456789abcdefghijklmno' },
        /has no issuer i_0123456789abcdefghijklmno\. Correct ISSUER_ID/,
      ],
      [
        { GATELODGE_URL: `http://127.0.0.1:${await freePort()}` },
        /^No Gatelodge answers at .* \(ECONNREFUSED\)/,
      ],
      [{ GATELODGE_URL: backend.url }, /no issuer|no discovery document/],
      [{ GATELODGE_URL: localhost }, new RegExp(`Set GATELODGE_URL to ${server.url}\\.`)],
      [{ PORT: String(backend.port) }, new RegExp(`^Port ${backend.port} is taken\\. Set PORT`)],
    ];
    await Promise.all(
      wrong.map(async ([changed, says]) => {
        const { code, log } = await (await OtpBackend.start({ ...env, ...changed })).ends();
        expect(log).toMatch(says);
        expect(code).toBe(1);
      }),
    );
  });

  test('tells a key that does not work to whoever runs it, and nothing of it to users', async () => {
    const other = await (await OtpBackend.start({ ...env, API_KEY: 'otp_live_sk_wrong' })).isUp();
    try {
      const app = await SignInPage.open(browser, server, other.url);
      await app.enterAddress(newAddress());
      await app.alert(/^Sign-in does not work at the moment\. Try again shortly\.$/);
      await app.is('Sign in');
      expect(other.log).toContain('request-otp answered 401: Invalid API key');
      expect(other.log).toContain('API_KEY');
      expect(other.log).not.toContain('otp_live_sk_wrong');
    } finally {
      other.stop();
    }
  });
});

describe('examples/otp-browser', () => {
  let pages: Server;
  let key: TestKey;
  let isConfigured = true;
  /** The same files on an origin that the key lists, and on one that it does not. */
  let listed: string;
  let unlisted: string;

  beforeAll(async () => {
    pages = await serveBrowserExample(() =>
      isConfigured ? { gatelodgeUrl: server.url, issuerId: issuer.id, publishableKey: key.secret } : null,
    );
    listed = `http://127.0.0.1:${portOf(pages)}`;
    unlisted = `http://localhost:${portOf(pages)}`;
    key = await issuer.createKey({ kind: 'publishable', restrictions: { origins: [listed] } });
  });
  afterAll(() => {
    pages?.closeAllConnections();
    pages?.close();
  });

  describeSignIn(() => ({ issuer, clock, open: () => SignInPage.open(browser, server, listed) }));

  test('goes on when the access token has expired, as its own clock or Gatelodge’s says', async () => {
    const app = await SignInPage.open(browser, server, listed);
    const email = newAddress('browser');
    const called: string[] = [];
    await app.signIn(email);
    app.page.on('response', (response) => {
      if (response.request().method() !== 'OPTIONS')
        called.push(`${new URL(response.url()).pathname.split('/').at(-1)} ${response.status()}`);
    });
    const showProfile = async () => {
      await app.press('Show my profile');
      await app.page.locator('#profile').filter({ hasText: email }).waitFor();
      await app.page.locator('#profile').evaluate((shown) => shown.replaceChildren());
      return called.splice(0);
    };
    expect(await showProfile()).toEqual(['me 200']);
    await app.page.clock.fastForward(700_000);
    expect(await showProfile()).toEqual(['refresh 200', 'me 200']);
    clock.advance(700);
    expect(await showProfile()).toEqual(['me 401', 'refresh 200', 'me 200']);
  });

  test('says that a session has ended, and that signing out has not worked', async () => {
    const app = await SignInPage.open(browser, server, listed);
    const email = newAddress('browser');
    await app.signIn(email);
    await app.page.route('**/auth/logout', (route) => route.abort());
    await app.press('Sign out');
    await app.alert(/You are still signed in/);
    await app.is('Signed in');
    await app.page.unroute('**/auth/logout');

    const { body } = await issuer.api.get(`${issuer.path}/users?username=${encodeURIComponent(email)}`);
    await issuer.api.post(`${issuer.path}/users/${body.data[0].id}/sessions/revoke`, {});
    await app.press('Show my profile');
    await app.alert(/Your session has ended/);
    await app.is('Sign in');
  });

  test('is refused on any other origin, and no mail is sent', async () => {
    const app = await SignInPage.open(browser, server, unlisted);
    const email = newAddress('browser');
    const told: string[] = [];
    app.page.on('console', (message) => told.push(message.text()));
    await app.enterAddress(email);
    await app.alert(/not available on this page/);
    expect(told.join()).toContain(`Does the key list ${unlisted}?`);
    const { body } = await server.operator.api.get(`/dev/mailbox.json?to=${encodeURIComponent(email)}`);
    expect(body.data).toEqual([]);
  });

  // Attack: of an address that is typed before the script is there, the browser would make a URL, which stays in its history.
  test('puts no address into the URL where it is entered before the script has come', async () => {
    const page = await (await browser.newContext()).newPage();
    let arrive = () => {};
    const arrived = new Promise<void>((resolve) => {
      arrive = resolve;
    });
    await page.route('**/gatelodge.js', async (route) => {
      await arrived;
      await route.continue();
    });
    await page.goto(listed, { waitUntil: 'commit' });
    const field = page.getByLabel('E-mail address');
    await field.fill(newAddress('browser'));
    await field.press('Enter');
    expect(await page.getByRole('button', { name: 'Send me a code' }).isDisabled()).toBe(true);
    expect(page.url()).not.toContain('email');
    arrive();
    await page.getByRole('button', { name: 'Send me a code' }).click();
    await page.getByRole('heading', { level: 1, name: 'Enter your code' }).waitFor();
    expect(page.url()).not.toContain('email');
  });

  test('says that it has not been set up', async () => {
    isConfigured = false;
    try {
      const app = await SignInPage.open(browser, server, listed);
      await app.alert(/copy config\.example\.js to config\.js/);
    } finally {
      isConfigured = true;
    }
  });
});

test('the examples look alike', async () => {
  const [backend, browserOnly] = await Promise.all(
    ['otp-backend/public', 'otp-browser'].map((directory) =>
      readFile(join(repositoryRoot, 'examples', directory, 'style.css'), 'utf8'),
    ),
  );
  expect(backend).toBe(browserOnly);
});
