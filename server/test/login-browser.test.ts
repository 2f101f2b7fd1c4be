import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { launchChromium } from './harness/chromium.ts';
import { createCustomer } from './harness/customer.ts';
import { LoginVisitor } from './harness/login-pages.ts';
import { pkce } from './harness/oidc-browser.ts';
import { OidcClient } from './harness/oidc-client.ts';
import { newAddress } from './harness/otp-client.ts';
import { freePort } from './harness/process.ts';
import { startTestServer, type TestServer } from './harness/server.ts';
import { TestIssuer } from './harness/test-issuer.ts';

let server: TestServer;
let browser: Browser;
/** The client's backend on one origin, which sends its users on to its pages on another. */
let app: Server;
let callback: string;
let home: string;
let url: string;
let first: { issuer: TestIssuer; client: OidcClient };
let second: { issuer: TestIssuer; client: OidcClient };

beforeAll(async () => {
  const port = await freePort();
  url = `http://localhost:${port}`;
  server = await startTestServer({ env: { GATELODGE_PORT: String(port), GATELODGE_PUBLIC_URL: url } });
  app = createServer((request, response) => {
    const { pathname, search } = new URL(request.url ?? '/', 'http://app');
    if (pathname === '/callback') response.writeHead(303, { Location: `${home}/signed-in${search}` }).end();
    else {
      response.setHeader('Content-Type', 'text/html');
      const login = new URL(request.url ?? '/', 'http://app').searchParams.get('login') ?? '';
      response.end(
        pathname === '/hostile'
          ? `<!doctype html><title>hostile</title><form method="post" action="${login}"><input name="action" value="code"><input name="code" value="123456"></form><script>document.forms[0].submit()</script>`
          : pathname === '/frame'
            ? `<!doctype html><title>frame</title><iframe src="${login}"></iframe>`
            : '<!doctype html><title>home</title>',
      );
    }
  });
  await new Promise<void>((resolve) => app.listen(0, '127.0.0.1', resolve));
  const { port: appPort } = app.address() as AddressInfo;
  callback = `http://127.0.0.1:${appPort}/callback`;
  home = `http://localhost:${appPort}`;
  const { api } = await createCustomer(server);
  const make = async (name: string) => {
    const issuer = await TestIssuer.create(server, {}, { name }, api);
    const client = await OidcClient.create(server, issuer, {
      openid: { application_type: 'native', redirect_uris: [callback] },
    });
    return { issuer, client };
  };
  first = await make('First');
  second = await make('Second');
  browser = await launchChromium();
});
afterAll(async () => {
  await browser?.close();
  app?.closeAllConnections();
  app?.close();
  await server?.close();
});

function authorizeUrl({ client }: { client: OidcClient }): string {
  const query = new URLSearchParams({
    client_id: client.id,
    redirect_uri: callback,
    response_type: 'code',
    scope: 'openid email',
    state: 'some-state',
    code_challenge: pkce().challenge,
    code_challenge_method: 'S256',
  });
  return `${url}/${client.issuerId}/authorize?${query}`;
}

/** Everything that the browser complains about. */
function complaintsOf(tab: Page): string[] {
  const complaints: string[] = [];
  tab.on('console', (message) => void complaints.push(message.text()));
  tab.on('pageerror', (error) => void complaints.push(error.message));
  return complaints;
}

const mailbox = () => new LoginVisitor(server);

/** By the keyboard alone: the fields have the focus when the page comes. */
async function signIn(tab: Page, at: { client: OidcClient }, address: string): Promise<void> {
  const before = (await mailbox().mailsTo(address)).length;
  await tab.goto(authorizeUrl(at));
  await tab.waitForSelector('#email:focus');
  await tab.keyboard.type(address);
  await tab.keyboard.press('Enter');
  await tab.waitForSelector('input[autocomplete="one-time-code"]:focus');
  const code = await mailbox().nextCode(address, before);
  await tab.keyboard.type(`${code.slice(0, 3)} ${code.slice(3)}`);
  await tab.keyboard.press('Enter');
  await tab.waitForURL(`${home}/signed-in**`);
}

describe.for([
  ['with scripts', true],
  ['without scripts', false],
] as const)('%s', ([, javaScriptEnabled]) => {
  let context: BrowserContext;
  beforeAll(async () => {
    context = await browser.newContext({ javaScriptEnabled });
  });
  afterAll(() => context.close());

  test('a user signs in and is back at the client, wherever that sends it on to', async () => {
    const tab = await context.newPage();
    const complaints = complaintsOf(tab);
    await signIn(tab, first, newAddress());
    const arrived = new URL(tab.url());
    expect(arrived.searchParams.get('state')).toBe('some-state');
    expect(arrived.searchParams.get('code')).toMatch(/./);
    expect(complaints.filter((text) => !text.includes('favicon'))).toEqual([]);
  });

  test('is signed in at that issuer alone, and signs in at another beside it', async () => {
    const tab = await context.newPage();
    await tab.goto(authorizeUrl(first));
    expect(tab.url().startsWith(`${home}/signed-in`)).toBe(true);
    await tab.goto(authorizeUrl(second));
    expect(await tab.title()).toBe('Sign in – Second');
    await signIn(tab, second, newAddress());
    const cookies = await context.cookies(`${url}/${first.issuer.id}/authorize`);
    expect(cookies.length).toBeGreaterThan(0);
    for (const { name, httpOnly, sameSite } of cookies) {
      expect(name).toContain(first.issuer.id);
      expect([httpOnly, sameSite]).toEqual([true, 'Lax']);
    }
    expect(await context.cookies(`${url}/v1/issuers`)).toEqual([]);
    // Signing out of the one leaves the other as it is.
    await tab.goto(`${url}/${second.issuer.id}/logout`);
    await tab.click('button');
    await tab.goto(authorizeUrl(second));
    expect(await tab.title()).toBe('Sign in – Second');
    await tab.goto(authorizeUrl(first));
    expect(tab.url().startsWith(`${home}/signed-in`)).toBe(true);
  });

  test('a wrong code leaves the user where it was, told why, with the field ready', async () => {
    const tab = await context.newPage();
    const address = newAddress();
    await tab.goto(authorizeUrl(second)).then(() => tab.context().clearCookies());
    await tab.goto(authorizeUrl(second));
    await tab.fill('#email', address);
    await tab.click('button');
    const code = await mailbox().nextCode(address, 0);
    await tab.fill('#code', code === '000000' ? '111111' : '000000');
    await tab.click('button');
    const alert = tab.getByRole('alert');
    expect(await alert.textContent()).toContain('4 attempts left');
    expect(await tab.title()).toBe('Error: Check your email – Second');
    await tab.waitForSelector('#code:focus');
    await tab.keyboard.type(code);
    await tab.keyboard.press('Enter');
    await tab.waitForURL(`${home}/signed-in**`);
    await tab.goBack();
    expect(tab.url()).not.toContain(encodeURIComponent(address));
  });
});

test('the button for another code counts down and then works', async () => {
  const context = await browser.newContext();
  const tab = await context.newPage();
  await tab.clock.install();
  await tab.goto(authorizeUrl(first));
  await tab.fill('#email', newAddress());
  await tab.click('button');
  const resend = tab.locator('button[value="resend"]');
  await resend.waitFor();
  expect(await resend.isDisabled()).toBe(true);
  expect(await resend.textContent()).toMatch(/^New code in (?:60|59) s$/);
  await tab.clock.fastForward(62_000);
  expect(await resend.isDisabled()).toBe(false);
  expect(await resend.textContent()).toBe('Send a new code');
  await context.close();
});

describe('another site', () => {
  // CSRF as a browser does it, and clickjacking.
  test('gets neither a form through nor the page into a frame', async () => {
    const context = await browser.newContext();
    const tab = await context.newPage();
    await tab.goto(authorizeUrl(first));
    const login = tab.url();
    const other = await context.newPage();
    const address = (path: string) =>
      `${home.replace('localhost', '127.0.0.1')}${path}?login=${encodeURIComponent(login)}`;
    const answered = other.waitForResponse(login);
    await other.goto(address('/hostile'));
    expect([403, 404]).toContain((await answered).status());
    await other.goto(address('/frame'));
    const [, frame] = other.frames();
    expect(frame === undefined || !(await frame.content()).includes('one-time-code')).toBe(true);
    expect(await frame?.locator('#email').count()).toBe(0);
    expect(await tab.title()).toBe('Sign in – First');
    await context.close();
  });
});
