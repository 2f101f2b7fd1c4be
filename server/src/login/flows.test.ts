import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { codeOf, LoginVisitor } from '../../test/harness/login-pages.ts';
import { claimsOf, OidcClient, redirectUri } from '../../test/harness/oidc-client.ts';
import { newAddress, wrongCodes } from '../../test/harness/otp-client.ts';
import { send } from '../../test/harness/raw-http.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { TestIssuer } from '../../test/harness/test-issuer.ts';

const clock = new TestClock(new Date().toISOString());
const server = await startTestServer({ clock });
afterAll(() => server.close());
const { api } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, { name: 'Acme' }, api);
const client = await OidcClient.create(server, issuer, { confidential: true, openid: { pkce: 'optional' } });
const external = await OidcClient.create(server, issuer, { type: 'external' });

/** Without PKCE, so that a test redeems the code without a verifier. */
const plain = { code_challenge: '', code_challenge_method: '' };

describe('whoever', () => {
  test('sends a form twice arrives once: the second is sent on as the first', async () => {
    const visitor = new LoginVisitor(server);
    const { page, code } = await visitor.askForCode(await visitor.begin(client), newAddress());
    const form = {
      method: 'POST',
      body: new URLSearchParams({ ...page.forms[0]!.fields, code }).toString(),
      headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
    };
    const kept = [...visitor.browser.cookies];
    const first = await visitor.browser.request(page.url.pathname, form);
    for (const [key, cookie] of kept) visitor.browser.cookies.set(key, cookie);
    const second = await visitor.browser.request(page.url.pathname, form);
    expect([first.status, second.status]).toEqual([303, 303]);
    expect(second.headers.get('Location')).toBe(first.headers.get('Location'));
    expect(codeOf(await visitor.go(second.headers.get('Location')!))).not.toBeNull();
    // Back, once it is over.
    const back = await visitor.submit(page, { code });
    expect([back.status, back.title]).toEqual([404, 'Error: This sign-in is over – Acme']);
    // What helps comes first; cookies are what it may be otherwise.
    expect(back.html).toMatch(/go back to the application and start again\..*cookies/s);
    const german = await visitor.submit(page, { code }, { headers: { 'Accept-Language': 'de' } });
    expect(german.html).toMatch(/gehen Sie zurück zur Anwendung und beginnen Sie neu\..*Cookies/s);
  });

  // 50 forms at once with the right code: one of them signs in, and whoever comes too late is sent on or told so.
  test('sends the right code fifty times at once signs in once', async () => {
    const visitor = new LoginVisitor(server);
    const { page, code } = await visitor.askForCode(await visitor.begin(client), newAddress());
    const fields = new URLSearchParams({ ...page.forms[0]!.fields, code }).toString();
    const headers = {
      'Content-Type': 'application/x-www-form-urlencoded',
      Cookie: [...visitor.browser.cookies.values()]
        .filter(({ path }) => page.url.pathname.startsWith(path))
        .map(({ name, value }) => `${name}=${value}`)
        .join('; '),
    };
    const answers = await Promise.all(
      Array.from({ length: 50 }, () =>
        send(`${server.url}${page.url.pathname}`, { method: 'POST', headers, body: fields }),
      ),
    );
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 303));
    const devices = answers.filter(({ headers: { 'set-cookie': lines = [] } }) =>
      lines.some((line) => line.startsWith('gl_device_')),
    );
    expect(devices).toHaveLength(1);
    expect(codeOf(await visitor.go(devices[0]!.headers.location!))).not.toBeNull();
  });

  test('has to sign in again finds the address filled in', async () => {
    const visitor = new LoginVisitor(server);
    const address = newAddress();
    await visitor.signIn(client, address);
    const page = await visitor.begin(client, { prompt: 'login' });
    expect(page.forms[0]!.fields.email).toBe(address);
  });

  test('has two tabs open signs in in both', async () => {
    const visitor = new LoginVisitor(server);
    const address = newAddress();
    const [one, other] = [await visitor.begin(client), await visitor.begin(external)];
    const { page: onesCode, code } = await visitor.askForCode(one, address);
    expect(codeOf(await visitor.submit(onesCode, { code }))).not.toBeNull();
    clock.advance(61);
    const asked = await visitor.askForCode(other, address);
    const consent = await visitor.submit(asked.page, { code: asked.code });
    expect(codeOf(await visitor.submit(consent))).not.toBeNull();
  });

  test('leaves the page open for too long is told that it is over', async () => {
    const visitor = new LoginVisitor(server);
    const { page, code } = await visitor.askForCode(await visitor.begin(client), newAddress());
    clock.advance(3_601);
    const late = await visitor.submit(page, { code });
    expect([late.status, late.title]).toEqual([403, 'Error: This page is out of date – Acme']);
  });

  test('has guessed too often is told to have a new code sent, which works at once', async () => {
    const visitor = new LoginVisitor(server);
    const address = newAddress();
    const { page, code } = await visitor.askForCode(await visitor.begin(client), address);
    let spent = page;
    for (const guess of wrongCodes(code, 5)) spent = await visitor.submit(page, { code: guess });
    expect([spent.status, spent.title]).toEqual([422, 'Error: You need a new code – Acme']);
    expect(spent.html).toContain('That code isn’t right or has expired. Send a new code to go on.');
    expect(spent.forms[0]!.buttons.map(({ text }) => text)).toEqual(['Send a new code']);
    // The page of before, with the right code: it is too late for it.
    const blocked = await visitor.submit(page, { code });
    expect([blocked.status, Number(blocked.headers.get('Retry-After')) > 0]).toEqual([429, true]);
    expect(blocked.html).toContain('There have been too many wrong codes, so the last one no longer works.');
    const tooSoon = await visitor.submit(blocked);
    expect(tooSoon.html).toContain('You can ask for another code in 1 minute.<');
    clock.advance(61);
    const resent = await visitor.submit(tooSoon);
    expect([resent.status, resent.title]).toEqual([200, 'Check your email – Acme']);
    expect(codeOf(await visitor.submit(resent, { code: await visitor.nextCode(address, 1) }))).not.toBeNull();
  });

  // Whoever guesses on with one code after another uses up the hour of the address, and then no new code helps.
  test('has guessed too often with several codes waits, and is told for how long', async () => {
    const visitor = new LoginVisitor(server);
    const address = newAddress();
    const { page, code } = await visitor.askForCode(await visitor.begin(client), address);
    for (const guess of wrongCodes(code, 5)) await visitor.submit(page, { code: guess });
    clock.advance(61);
    const resent = await visitor.submit(await visitor.submit(page, { code }));
    const second = await visitor.nextCode(address, 1);
    const [one = '', other = ''] = wrongCodes(second, 2);
    expect((await visitor.submit(resent, { code: one })).html).toContain('1 attempt left.');
    for (const guess of [other, second]) {
      const blocked = await visitor.submit(resent, { code: guess });
      expect([blocked.status, blocked.title]).toEqual([429, 'Error: Check your email – Acme']);
      expect(Number(blocked.headers.get('Retry-After'))).toBeGreaterThan(3000);
      expect(blocked.html).toContain(
        'Too many attempts. Try again in 59 minutes. A new code changes nothing.',
      );
    }
  });

  test('has signed in on this device before has codes left when strangers have used up theirs', async () => {
    const address = newAddress();
    const owner = new LoginVisitor(server);
    await owner.signIn(client, address);
    const stranger = new LoginVisitor(server);
    let asked = await stranger.begin(client);
    for (let sends = 0; sends < 6; sends++) {
      clock.advance(61);
      asked = await stranger.submit(await stranger.begin(client), { email: address });
    }
    expect([asked.status, Number(asked.headers.get('Retry-After')) > 60]).toEqual([429, true]);
    // Whoever has a code already can still use it.
    const withCode = await stranger.submit(asked, {}, { form: 1 });
    expect(withCode.title).toBe('Check your email – Acme');
    const page = await owner.begin(client, { prompt: 'login' });
    const { page: second, code } = await owner.askForCode(page, address);
    expect(codeOf(await owner.submit(second, { code }))).not.toBeNull();
  });

  test('signs in as somebody else where somebody is signed in becomes the other', async () => {
    const visitor = new LoginVisitor(server);
    const [one, other] = [newAddress(), newAddress()];
    await visitor.signIn(client, one);
    const arrived = await visitor.signIn(client, other, { prompt: 'login', ...plain });
    const { body } = await client.post('/token', {
      grant_type: 'authorization_code',
      code: codeOf(arrived) ?? '',
      redirect_uri: redirectUri,
    });
    expect(claimsOf(body.id_token).email).toBe(other);
    const ended = await api.get('/v1/events?type=session.terminated&limit=1');
    expect(ended.body.data[0].data.reason).toBe('logout');
  });
});

test('where sign-up is off, an address that nobody has gets no mail and no way in', async () => {
  await api.patch(`${issuer.path}/login-settings`, { sign_up: false });
  const visitor = new LoginVisitor(server);
  const address = newAddress();
  const page = await visitor.submit(await visitor.begin(client), { email: address });
  expect([page.status, page.title]).toEqual([200, 'Check your email – Acme']);
  expect(await visitor.mailsTo(address)).toEqual([]);
  await api.patch(`${issuer.path}/login-settings`, { sign_up: true });
});

test('of a sandbox issuer the mails land in its mailbox, and the pages say so', async () => {
  const sandbox = await TestIssuer.create(server, {}, { name: 'Acme', environment: 'sandbox' }, api);
  const app = await OidcClient.create(server, sandbox);
  const visitor = new LoginVisitor(server);
  const address = newAddress();
  const first = await visitor.begin(app);
  expect(first.html).toContain('<span class="badge">Sandbox</span>');
  const { page, code } = await visitor.askForCode(first, address);
  const mailbox = await api.get(`${sandbox.path}/sandbox-mailbox`);
  expect(mailbox.body.data[0]).toMatchObject({ to: address });
  expect(codeOf(await visitor.submit(page, { code }))).not.toBeNull();
});

test('a sandbox issuer whose name says so has no badge that says it again', async () => {
  const sandbox = await TestIssuer.create(
    server,
    {},
    { name: 'Acme (sandbox)', environment: 'sandbox' },
    api,
  );
  const { html } = await new LoginVisitor(server).begin(await OidcClient.create(server, sandbox));
  expect(html).toContain('<span class="brand-name">Acme (sandbox)</span>');
  expect(html).not.toContain('class="badge"');
});

test('an issuer that is suspended meanwhile lets nobody go on', async () => {
  const short = await TestIssuer.create(server, {}, { name: 'Short' }, api);
  const app = await OidcClient.create(server, short);
  const visitor = new LoginVisitor(server);
  const { page, code } = await visitor.askForCode(await visitor.begin(app), newAddress());
  await api.post(`${short.path}/suspend`);
  const stopped = await visitor.submit(page, { code });
  expect([stopped.status, stopped.title]).toEqual([403, 'Error: Sign-in is not available – Short']);
  await api.post(`${short.path}/activate`);
  expect(codeOf(await visitor.submit(page, { code }))).not.toBeNull();
});

test('the mail speaks as the page does, unless the issuer has written it itself', async () => {
  const german = await TestIssuer.create(server, {}, { name: 'Marke' }, api);
  const app = await OidcClient.create(server, german);
  const visitor = new LoginVisitor(server, { headers: { 'Accept-Language': 'de' } });
  const address = newAddress();
  const subjectOf = async (accepted: string, parameters: Record<string, string> = {}) => {
    clock.advance(61);
    const before = (await visitor.mailsTo(address)).length;
    const page = await visitor.begin(app, parameters, { 'Accept-Language': accepted });
    await visitor.submit(page, { email: address }, { headers: { 'Accept-Language': accepted } });
    await visitor.nextCode(address, before);
    return (await visitor.mailsTo(address))[0]!.subject;
  };
  expect(await subjectOf('de-AT, en;q=0.5')).toBe('Ihr Code zum Anmelden bei Marke');
  expect(await subjectOf('fr')).toBe('Your code to sign in to Marke');
  expect(await subjectOf('en', { ui_locales: 'de' })).toBe('Ihr Code zum Anmelden bei Marke');
  await api.patch(`${german.path}/login-settings`, { mail: { subject: 'Hello {{code}}' } });
  expect(await subjectOf('de')).toMatch(/^Hello \d{6}$/);
});

test.for([
  ['the client’s wish first', { ui_locales: 'fr de' }, 'en', 'de'],
  ['then the browser’s', {}, 'fr, de-AT;q=0.8, en;q=0.5', 'de'],
  ['then the issuer’s', {}, 'fr', 'de'],
  ['and a wish that is none is none', { ui_locales: '"><script>' }, '*, en;q=0', 'de'],
] as const)('the language: %s', async ([, parameters, accepted, language]) => {
  const german = await TestIssuer.create(server, {}, { name: 'Deutsch' }, api);
  await api.patch(`${german.path}/login-settings`, { mail: { language: 'de', brand_name: 'Marke' } });
  const visitor = new LoginVisitor(server, { headers: { 'Accept-Language': accepted } });
  const page = await visitor.begin(await OidcClient.create(server, german), parameters);
  expect([page.headers.get('Content-Language'), page.title]).toEqual([language, 'Anmelden – Marke']);
});
