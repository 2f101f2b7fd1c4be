import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { launchChromium } from './harness/chromium.ts';
import { newAddress, SignIn } from './harness/otp-client.ts';
import { freePort, repositoryRoot, waitFor } from './harness/process.ts';
import { startTestServer, type TestServer } from './harness/server.ts';
import { TestIssuer } from './harness/test-issuer.ts';

let server: TestServer;
let browser: Browser;
let issuer: TestIssuer;
beforeAll(async () => {
  const port = await freePort();
  const publicUrl = `http://127.0.0.1:${port}`;
  server = await startTestServer({ env: { GATELODGE_PORT: String(port), GATELODGE_PUBLIC_URL: publicUrl } });
  issuer = await TestIssuer.create(server);
  browser = await launchChromium();
});
afterAll(async () => {
  await browser?.close();
  await server?.close();
});

/** The code of the newest mail to this address, from the mailbox of development. */
async function codeFor(email: string): Promise<string> {
  return SignIn.withKey(server, server.operator.key).nextCode(email, 0);
}

async function openPage(url: string): Promise<Page> {
  const page = await (await browser.newContext()).newPage();
  await page.goto(url);
  return page;
}

async function enterAddress(page: Page, email: string): Promise<void> {
  await page.getByLabel('E-mail address').fill(email);
  await page.getByRole('button', { name: 'Send me a code' }).click();
}

async function enterCode(page: Page, code: string): Promise<void> {
  await page.getByLabel(/^Code, sent to/).fill(code);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

describe('examples/otp-backend', () => {
  let url: string;
  let stop: () => void;
  beforeAll(async () => {
    const { secret } = await issuer.createKey();
    const port = await freePort();
    url = `http://127.0.0.1:${port}`;
    const child = spawn(process.execPath, [join(repositoryRoot, 'examples/otp-backend/server.mjs')], {
      env: {
        GATELODGE_URL: server.url,
        ISSUER_ID: issuer.id,
        API_KEY: secret,
        PORT: String(port),
      },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    stop = () => void child.kill();
    await waitFor(async () => (await fetch(url).catch(() => null)) && true);
  });
  afterAll(() => stop?.());

  test('signs a user in with the mailed code, knows her again, and signs her out', async () => {
    const page = await openPage(url);
    const email = newAddress('backend');
    await enterAddress(page, email);
    await page.getByLabel(/^Code, sent to/).waitFor();
    await enterCode(page, await codeFor(email));
    await page.getByText(`Signed in as ${email}.`).waitFor();

    const cookies = await page.context().cookies();
    expect(
      cookies.map(({ name, httpOnly, sameSite }) => ({ name, httpOnly, sameSite })).sort(byName),
    ).toEqual([
      { name: 'device', httpOnly: true, sameSite: 'Lax' },
      { name: 'session', httpOnly: true, sameSite: 'Lax' },
    ]);
    const profile = async () => (await page.request.get(`${url}/api/profile`)).status();
    expect(await profile()).toBe(200);
    expect(await page.evaluate('document.cookie')).toBe('');

    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByLabel('E-mail address').waitFor();
    expect(await profile()).toBe(401);
  });

  test('says on the page what is wrong with a code', async () => {
    const page = await openPage(url);
    const email = newAddress('backend');
    await enterAddress(page, email);
    await page.getByLabel(/^Code, sent to/).waitFor();
    const code = await codeFor(email);
    await enterCode(page, code === '111111' ? '222222' : '111111');
    expect(await page.getByRole('alert').textContent()).toMatch(/4 attempts left/);
    await enterCode(page, code);
    await page.getByText(`Signed in as ${email}.`).waitFor();
  });

  // Attack: a page of another site posts the form, so that its visitor is signed in as somebody else.
  test('takes no form from another site', async () => {
    const answer = await fetch(`${url}/sign-in`, {
      method: 'POST',
      headers: { Origin: 'https://evil.example' },
      body: new URLSearchParams({ email: newAddress() }),
    });
    expect(answer.status).toBe(403);
  });
});

describe('examples/otp-browser', () => {
  let pages: Server;
  /** The same files on an origin that the key lists, and on one that it does not. */
  let listed: string;
  let unlisted: string;
  let key: { secret: string };

  beforeAll(async () => {
    pages = createServer(async (request, response) => {
      const name = request.url === '/' ? 'index.html' : request.url!.slice(1);
      if (name === 'config.js') {
        response.setHeader('Content-Type', 'text/javascript');
        response.end(
          `export const gatelodgeUrl = ${JSON.stringify(server.url)};
           export const issuerId = ${JSON.stringify(issuer.id)};
           export const publishableKey = ${JSON.stringify(key.secret)};`,
        );
        return;
      }
      const types: Record<string, string> = {
        '.html': 'text/html',
        '.js': 'text/javascript',
        '.css': 'text/css',
      };
      const file = await readFile(join(repositoryRoot, 'examples/otp-browser', name)).catch(() => null);
      response.writeHead(file === null ? 404 : 200, { 'Content-Type': types[extname(name)] ?? 'text/plain' });
      response.end(file ?? '');
    });
    await new Promise<void>((resolve) => pages.listen(0, '127.0.0.1', resolve));
    const { port } = pages.address() as AddressInfo;
    listed = `http://127.0.0.1:${port}`;
    unlisted = `http://localhost:${port}`;
    key = await issuer.createKey({ kind: 'publishable', restrictions: { origins: [listed] } });
  });
  afterAll(() => {
    pages?.closeAllConnections();
    pages?.close();
  });

  test('signs a user in from an origin that the key lists, and out again', async () => {
    const page = await openPage(listed);
    const email = newAddress('browser');
    await enterAddress(page, email);
    await page.getByLabel(/^Code, sent to/).waitFor();
    await enterCode(page, await codeFor(email));
    await page.getByText(`Signed in as ${email}.`).waitFor();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByLabel('E-mail address').waitFor();
  });

  test('is refused on any other origin, and no mail is sent', async () => {
    const page = await openPage(unlisted);
    const email = newAddress('browser');
    await enterAddress(page, email);
    expect(await page.getByRole('alert').textContent()).toMatch(/not available on this page/);
    const { body } = await server.operator.api.get(`/dev/mailbox.json?to=${encodeURIComponent(email)}`);
    expect(body.data).toEqual([]);
  });
});

const byName = (a: { name: string }, b: { name: string }) => a.name.localeCompare(b.name);
