import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { codeOf, LoginVisitor } from '../../test/harness/login-pages.ts';
import { OidcClient } from '../../test/harness/oidc-client.ts';
import { newAddress, wrongCodes } from '../../test/harness/otp-client.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { TestIssuer } from '../../test/harness/test-issuer.ts';

const clock = new TestClock(new Date().toISOString());
const server = await startTestServer({ clock });
afterAll(() => server.close());
const { api } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, { name: 'Acme' }, api);
const client = await OidcClient.create(server, issuer);

describe('a user', () => {
  test('signs in by the first button of the first form of each page, without a script', async () => {
    const visitor = new LoginVisitor(server);
    const address = newAddress();
    const first = await visitor.begin(client);
    expect([first.status, first.title]).toEqual([200, 'Sign in – Acme']);
    expect(first.html).toContain('to continue to App');
    const { page: second, code } = await visitor.askForCode(first, address);
    expect([second.status, second.title]).toEqual([200, 'Check your email – Acme']);
    const arrived = await visitor.submit(second, { code });
    expect(codeOf(arrived)).toMatch(/./);
    expect(arrived.url.searchParams.get('state')).toBe('some-state');
  });

  test('becomes one on its first sign-in, which is on record', async () => {
    const visitor = new LoginVisitor(server);
    const address = newAddress();
    expect(codeOf(await visitor.signIn(client, address))).not.toBeNull();
    const users = await api.get(`${issuer.path}/users?username=${encodeURIComponent(address)}`);
    const events = await api.get('/v1/events?limit=10');
    const [types, actors] = [
      events.body.data.map(({ type }: { type: string }) => type),
      events.body.data.map(({ actor }: { actor: { id: string } }) => actor.id),
    ];
    expect(users.body.data).toHaveLength(1);
    expect(types.slice(0, 4)).toEqual(['session.created', 'otp.verified', 'user.created', 'otp.requested']);
    expect(actors[1]).toBe('login-pages');
  });

  test('who is signed in already goes through without a page', async () => {
    const visitor = new LoginVisitor(server);
    await visitor.signIn(client, newAddress());
    expect(codeOf(await visitor.begin(client))).not.toBeNull();
    expect(codeOf(await visitor.begin(client, { prompt: 'none' }))).not.toBeNull();
  });

  test('finds the address filled in that the client knows, whatever it is made of', async () => {
    const page = await new LoginVisitor(server).begin(client, {
      login_hint: '"><script>alert(1)</script>@x.example',
    });
    expect(page.html).not.toContain('<script>alert');
    expect(page.forms[0]!.fields.email).toBe('"><script>alert(1)</script>@x.example');
  });

  test('may take another address, and comes back to the first without another mail', async () => {
    const visitor = new LoginVisitor(server);
    const address = newAddress();
    const { page } = await visitor.askForCode(await visitor.begin(client), address);
    const again = await visitor.submit(page, {}, { form: 1, button: 1 });
    expect([again.title, again.forms[0]!.fields.email]).toEqual(['Sign in – Acme', address]);
    const back = await visitor.submit(again, { email: address.toUpperCase() });
    expect([back.status, back.title]).toEqual([200, 'Check your email – Acme']);
    expect(await visitor.mailsTo(address)).toHaveLength(1);
  });

  test.for([
    ['en', 'You can ask for a code again in 52 seconds. Use the one that you have been sent, if you have.'],
    [
      'de',
      'Sie können in 52 Sekunden wieder einen Code anfordern. Haben Sie schon einen erhalten, verwenden Sie diesen.',
    ],
  ] as const)(
    'who begins anew within a minute is told of the code that there is, and when there is another (%s)',
    async ([language, text]) => {
      const address = newAddress();
      const before = new LoginVisitor(server);
      const { code } = await before.askForCode(await before.begin(client), address);
      clock.advance(8);
      const visitor = new LoginVisitor(server, { headers: { 'Accept-Language': language } });
      const refused = await visitor.submit(await visitor.begin(client), { email: address });
      expect([refused.status, refused.headers.get('Retry-After')]).toEqual([429, '52']);
      expect(refused.html).toContain(text);
      // Another press promises no mail either.
      const again = await visitor.submit(refused, { email: address });
      expect([again.status, again.html.includes(text)]).toEqual([429, true]);
      const withCode = await visitor.submit(again, {}, { form: 1 });
      expect(withCode.status).toBe(200);
      expect(withCode.html).toContain('data-wait-seconds="52"');
      expect(codeOf(await visitor.submit(withCode, { code }))).not.toBeNull();
    },
  );

  test.each([
    ['en', 'This is a development server.'],
    ['de', 'Dies ist ein Entwicklungsserver.'],
  ])('is led to the mails of a development server, in %s', async (language, told) => {
    const visitor = new LoginVisitor(server);
    const first = await visitor.begin(client, { ui_locales: language });
    const { page } = await visitor.askForCode(first, newAddress());
    expect(page.html).toContain(told);
    expect(page.html).toContain('<a href="/dev/mailbox" target="_blank"');
    expect(page.html).not.toMatch(/spam/i);
  });

  test('has another code sent that was asked for elsewhere a moment ago, and waits for the next', async () => {
    const visitor = new LoginVisitor(server);
    const address = newAddress();
    const { page } = await visitor.askForCode(await visitor.begin(client), address);
    clock.advance(61);
    const other = new LoginVisitor(server);
    const { code } = await other.askForCode(await other.begin(client), address);
    clock.advance(20);
    const refused = await visitor.submit(page, {}, { form: 1 });
    expect(refused.html).toContain('You can ask for another code in 40 seconds. The last one still works.');
    expect(refused.html).toContain('data-wait-seconds="40"');
    expect(codeOf(await visitor.submit(refused, { code }))).not.toBeNull();
  });

  test('has another code sent after a minute, and only the newest one works', async () => {
    const visitor = new LoginVisitor(server);
    const address = newAddress();
    const { page, code } = await visitor.askForCode(await visitor.begin(client), address);
    const tooSoon = await visitor.submit(page, {}, { form: 1 });
    expect([tooSoon.status, tooSoon.headers.get('Retry-After')]).toEqual([429, '60']);
    clock.advance(61);
    const resent = await visitor.submit(page, {}, { form: 1 });
    expect(resent.html).toContain('A new code is on its way');
    const newest = await visitor.nextCode(address, 1);
    const wrong = await visitor.submit(resent, { code: code === newest ? wrongCodes(code, 1)[0]! : code });
    expect(wrong.status).toBe(422);
    expect(codeOf(await visitor.submit(wrong, { code: newest }))).not.toBeNull();
  });
});

test('a wrong code says how many attempts are left, for an address that nobody has as well', async () => {
  await api.patch(`${issuer.path}/login-settings`, { sign_up: false });
  const known = newAddress();
  await api.create(`${issuer.path}/users`, { username: known });
  const pages = [];
  for (const address of [known, newAddress()]) {
    const visitor = new LoginVisitor(server);
    const second = await visitor.submit(await visitor.begin(client), { email: address });
    const answers = [];
    for (const code of ['000000', '00000', 'x']) {
      const { status, html } = await visitor.submit(second, { code });
      const shown = /role="alert"[^>]*>(?:<a[^>]*>)?(.*?)</.exec(html)?.[1];
      answers.push([status, shown]);
    }
    pages.push([
      second.status,
      second.html
        .replaceAll(address, '')
        .replaceAll(/value="[^"]*"/g, '')
        .replaceAll(/login\/[\w-]+/g, ''),
      answers,
    ]);
  }
  expect(pages[0]).toEqual(pages[1]);
  expect(pages[0]![2]).toEqual([
    [422, 'That code isn’t right or has expired. 4 attempts left.'],
    [422, 'Enter the code from the email: 6 to 8 digits.'],
    [422, 'Enter the code from the email: 6 to 8 digits.'],
  ]);
  await api.patch(`${issuer.path}/login-settings`, { sign_up: true });
});
