import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { codeOf, LoginVisitor } from '../../test/harness/login-pages.ts';
import { OidcClient } from '../../test/harness/oidc-client.ts';
import { newAddress } from '../../test/harness/otp-client.ts';
import { send } from '../../test/harness/raw-http.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { TestIssuer } from '../../test/harness/test-issuer.ts';

const clock = new TestClock(new Date().toISOString());
const server = await startTestServer({ clock });
afterAll(() => server.close());
const { api } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, { name: 'Acme' }, api);
const client = await OidcClient.create(server, issuer);
const external = await OidcClient.create(server, issuer, { type: 'external' });

/** A sign-in that waits for the code of the mail. */
async function atCodePage(visitor = new LoginVisitor(server), address = newAddress()) {
  const { page, code } = await visitor.askForCode(await visitor.begin(client), address);
  return { visitor, page, code, address };
}

describe('a form of another site', () => {
  // CSRF: a page that the user has open elsewhere submits our form from the user's browser.
  test.for([
    ['says that it comes from another site', { 'Sec-Fetch-Site': 'cross-site' }],
    ['says that it comes from a neighbour below the same domain', { 'Sec-Fetch-Site': 'same-site' }],
    ['comes from another origin', { Origin: 'https://evil.example' }],
    ['comes from an origin that begins like ours', { Origin: 'http://localhost:4600.evil.example' }],
    ['comes from another port', { Origin: 'http://localhost:4601' }],
    ['hides where it comes from', { Origin: 'null' }],
    ['says both', { Origin: 'http://localhost:4600', 'Sec-Fetch-Site': 'cross-site' }],
  ] as const)('%s: nothing is done', async ([, headers]) => {
    const { visitor, page, code } = await atCodePage();
    const refused = await visitor.submit(page, { code }, { headers: { ...headers } });
    expect([refused.status, refused.title]).toEqual([403, 'Error: That came from another site – Acme']);
    // The code has not been used.
    const own = { Origin: 'http://localhost:4600', 'Sec-Fetch-Site': 'same-origin' };
    expect(codeOf(await visitor.submit(page, { code }, { headers: own }))).not.toBeNull();
  });

  // As above, by a browser that tells neither origin nor site. The token of another interaction is one that the attacker
  // has seen in its own browser.
  test('has no token, or one of another interaction', async () => {
    const { visitor, page, code } = await atCodePage();
    const attacker = await atCodePage();
    const { token } = attacker.page.forms[0]!.fields;
    for (const guess of ['', 'x', token!, page.forms[0]!.fields.token!.slice(1)]) {
      const refused = await visitor.submit(page, { code, token: guess });
      expect([refused.status, refused.title]).toEqual([403, 'Error: This page is out of date – Acme']);
    }
    expect(codeOf(await visitor.submit(page, { code }))).not.toBeNull();
  });

  // The same at the page where it would be worth most.
  test('allows no client anything', async () => {
    const visitor = new LoginVisitor(server);
    const consent = await visitor.signIn(external, newAddress());
    expect(consent.title).toBe('Allow App to use your account? – Acme');
    for (const [values, headers] of [
      [{ token: 'x' }, {}],
      [{}, { 'Sec-Fetch-Site': 'cross-site' }],
    ] as const)
      expect((await visitor.submit(consent, values, { headers: { ...headers } })).status).toBe(403);
    const undecided = await visitor.submit(consent, { decision: 'whatever' });
    expect([undecided.status, undecided.title]).toEqual([200, consent.title]);
  });
});

describe('somebody else’s sign-in', () => {
  // Session fixation and login CSRF: the attacker begins a sign-in, and has its victim open the URL and finish it; or the
  // other way round, finishes it itself and has the victim's browser be signed in as the attacker.
  test('can’t be gone on with in another browser', async () => {
    const { page, code } = await atCodePage();
    const victim = new LoginVisitor(server);
    const seen = await victim.go(page.url.pathname);
    expect([seen.status, seen.title]).toEqual([404, 'Error: This sign-in is over – Acme']);
    const pushed = await victim.submit(page, { code });
    expect([pushed.status, pushed.title]).toEqual([404, 'Error: This sign-in is over – Acme']);
    const missing = await victim.go(`/${issuer.id}/login/${'A'.repeat(21)}`);
    expect(missing.html.replace(/req_\w+/, '')).toBe(seen.html.replace(/req_\w+/, ''));
  });

  // The attacker can plant cookies (a neighbour below the same domain, plain HTTP): those of its own flow.
  test('is not helped by planted cookies of another flow', async () => {
    const attacker = await atCodePage();
    const { visitor, page } = await atCodePage();
    const planted = [...attacker.visitor.browser.cookies.values()].find(({ name }) =>
      name.includes('gl_flow'),
    )!;
    const path = page.url.pathname;
    visitor.browser.cookies.set(`${path} ${planted.name}`, { ...planted, path });
    const refused = await visitor.submit(page, {
      code: attacker.code,
      token: attacker.page.forms[0]!.fields.token!,
    });
    expect([refused.status, refused.title]).toEqual([403, 'Error: This page is out of date – Acme']);
    // And it begins anew, with its own address to type.
    expect((await visitor.go(path)).title).toBe('Sign in – Acme');
  });
});

describe('cookies', () => {
  test('are the issuer’s alone by name and by path, and no script’s; the address is in none of them', async () => {
    const visitor = new LoginVisitor(server);
    const address = newAddress('not-to-be-read');
    await visitor.signIn(client, address);
    const lines = visitor.browser.setCookies;
    expect(lines.length).toBeGreaterThan(5);
    for (const line of lines) {
      expect(line.split('=')[0]).toContain(issuer.id);
      expect(/path=([^;]*)/i.exec(line)?.[1]?.startsWith(`/${issuer.id}/`)).toBe(true);
      expect(line).toMatch(/; httponly/i);
      expect(line).toMatch(/; samesite=lax/i);
      expect(line).not.toContain('not-to-be-read');
      expect(Buffer.from(line.split('=')[1] ?? '', 'base64url').toString()).not.toContain('not-to-be-read');
    }
  });

  // Two issuers share the host: whoever owns one of them must not get at what the other knows of the browser.
  test('of one issuer are nothing to another, under whichever name they are sent', async () => {
    const { api: otherApi } = await createCustomer(server);
    const other = await TestIssuer.create(server, {}, { name: 'Other' }, otherApi);
    const otherClient = await OidcClient.create(server, other);
    const visitor = new LoginVisitor(server);
    const { page, code } = await visitor.askForCode(await visitor.begin(client), newAddress());
    const there = await visitor.begin(otherClient);
    expect(there.title).toBe('Sign in – Other');
    const flow = [...visitor.browser.cookies.values()].find(
      ({ name, path }) => name === `gl_flow_${issuer.id}` && path === page.url.pathname,
    )!;
    const name = flow.name.replace(issuer.id, other.id);
    visitor.browser.cookies.set(`${there.url.pathname} ${name}`, { ...flow, name, path: there.url.pathname });
    const refused = await visitor.submit(there, {
      action: 'code',
      code,
      token: page.forms[0]!.fields.token!,
    });
    expect(refused.status).toBe(403);
    // What is under way at the first is not disturbed.
    expect(codeOf(await visitor.submit(page, { code }))).not.toBeNull();
    expect((await visitor.begin(otherClient)).title).toBe('Sign in – Other');
  });
});

describe('what a request says of where it went', () => {
  // A forged Host in a proxy's cache or in the user's mail leads to the attacker.
  test('leads nowhere: no byte of it is in any answer', async () => {
    const forged = {
      Host: 'evil.example',
      'X-Forwarded-Host': 'evil.example',
      'X-Forwarded-Proto': 'https',
      Forwarded: 'host=evil.example',
      'X-Original-URL': '/evil.example',
    };
    const { visitor, page, code, address } = await atCodePage();
    const cookies = [...visitor.browser.cookies.values()]
      .filter(({ path }) => page.url.pathname.startsWith(path))
      .map(({ name, value }) => `${name}=${value}`)
      .join('; ');
    const { token } = page.forms[0]!.fields;
    for (const fields of [
      { action: 'change' },
      { action: 'address', email: address },
      { action: 'code', code },
    ]) {
      const answer = await send(`${server.url}${page.url.pathname}`, {
        method: 'POST',
        headers: { ...forged, Cookie: cookies, 'Content-Type': 'application/x-www-form-urlencoded' },
        body: new URLSearchParams({ token: token!, ...fields }).toString(),
      });
      expect(JSON.stringify(answer.headers) + answer.text).not.toContain('evil');
      if (answer.headers.location !== undefined)
        expect(answer.headers.location.startsWith('http://localhost:4600/')).toBe(true);
    }
    const [mail] = await visitor.mailsTo(address);
    expect(JSON.stringify(mail)).not.toContain('evil');
  });

  // Open redirect: our own URL in a mail, which leads to the attacker's site.
  test('and what its query says leads nowhere either', async () => {
    const { visitor, page } = await atCodePage();
    for (const parameter of [
      'returnTo',
      'return_to',
      'redirect_uri',
      'next',
      'url',
      'onward',
      'location',
      'continue',
    ]) {
      const seen = await visitor.go(`${page.url.pathname}?${parameter}=https://evil.example`);
      expect([seen.status, seen.html.includes('evil')]).toEqual([200, false]);
    }
    const elsewhere = await visitor.begin(client, { redirect_uri: 'https://evil.example/callback' });
    expect([elsewhere.status, elsewhere.url.origin]).toEqual([400, 'http://localhost:4600']);
  });
});

// Over plain HTTP a neighbour on the network reads and plants cookies; a browser that has once been here by TLS does not
// come any other way.
test('behind TLS, cookies go nowhere without it, and browsers are told to stay', async () => {
  const env = {
    GATELODGE_PUBLIC_URL: 'https://login.example',
    SMTP_URL: 'smtps://mail.example',
    MAIL_FROM: 'login@login.example',
  };
  const plain = await startTestServer({ env });
  const made = await TestIssuer.create(plain);
  const app = await OidcClient.create(plain, made);
  const behind = await startTestServer({
    nodeOf: plain,
    env: { ...env, GATELODGE_TRUSTED_PROXIES: '127.0.0.1/32' },
  });
  const headers = { 'X-Forwarded-Proto': 'https', 'X-Forwarded-For': '203.0.113.9' };
  const visitor = new LoginVisitor(behind, { headers });
  const page = await visitor.begin(app);
  expect(page.url.origin).toBe('https://login.example');
  expect(page.headers.get('Strict-Transport-Security')).toBe('max-age=31536000');
  expect(visitor.browser.setCookies.length).toBeGreaterThan(2);
  for (const line of visitor.browser.setCookies) {
    expect(line).toMatch(/^__Secure-/);
    expect(line).toMatch(/; secure/i);
  }
  await behind.close();
  await plain.close();
});
