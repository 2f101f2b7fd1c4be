import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { type LoginPage, LoginVisitor } from '../../test/harness/login-pages.ts';
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

/** A sign-in that waits for the code of the mail. */
async function atCodePage(visitor = new LoginVisitor(server), address = newAddress()) {
  const { page, code } = await visitor.askForCode(await visitor.begin(client), address);
  return { visitor, page, code, address };
}

describe('nonsense', () => {
  const bodies: readonly (readonly [string, Record<string, string>, string])[] = [
    ['another type', { 'Content-Type': 'application/json' }, '{"action":"code"}'],
    ['no type', {}, 'action=code'],
    [
      'no UTF-8',
      { 'Content-Type': 'application/x-www-form-urlencoded' },
      Buffer.from([0xff, 0xfe]).toString('latin1'),
    ],
    ['too much', { 'Content-Type': 'application/x-www-form-urlencoded' }, `code=${'1'.repeat(100_000)}`],
    ['nothing', { 'Content-Type': 'application/x-www-form-urlencoded' }, ''],
    [
      'members twice',
      { 'Content-Type': 'application/x-www-form-urlencoded' },
      'token=a&token=b&action=code&action=x',
    ],
  ];

  test.for(bodies)('in a form: %s', async ([, headers, body]) => {
    const { visitor, page } = await atCodePage();
    const answer = await visitor.browser.request(page.url.pathname, {
      method: 'POST',
      headers,
      body: Buffer.from(body, 'latin1'),
    });
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(answer.status).toBeLessThan(500);
    expect(answer.headers.get('Content-Type')).toBe('text/html; charset=utf-8');
  });

  test('in fields is an address or a code that is none, or a step that is not asked for', async () => {
    const { visitor, page } = await atCodePage();
    const texts = [
      '\0',
      '\ud800',
      '�',
      'a'.repeat(5_000),
      '{{7*7}}',
      '<img src=x onerror=alert(1)>',
      '१२३४५६',
      '-123456-7 8',
    ];
    for (const text of texts)
      for (const action of ['address', 'code', 'organization', 'consent', 'constructor', '__proto__', text]) {
        const answer = await visitor.submit(page, {
          action,
          email: text,
          code: text,
          organization: text,
          decision: text,
        });
        expect([text, action, answer.status < 500]).toEqual([text, action, true]);
        expect(answer.html).not.toContain('<img');
      }
  });

  test('in a URL is nothing', async () => {
    for (const path of [
      '/login/',
      '/login/%00',
      '/login/..%2f..',
      '/login/x?q=%ff',
      '/login-assets/../main.ts',
      '/login-assets/login.css',
      '/login-assets/%2e%2e',
    ]) {
      const { status } = await send(`${server.url}/${issuer.id}${path}`, {
        headers: { Accept: 'text/html' },
      });
      expect([path, status]).toEqual([path, 404]);
    }
    expect((await send(`${server.url}/i_nope/login/x`)).status).toBe(404);
    expect((await send(`${server.url}/${issuer.id}/login/x`, { method: 'DELETE' })).status).toBe(405);
  });
});

// Enumeration: who is a user, who is suspended, who could be one.
test('addresses of anybody are answered alike, from the first page to the last', async () => {
  const suspended = newAddress();
  const { id } = await api.create(`${issuer.path}/users`, { username: suspended });
  await api.post(`${issuer.path}/users/${id}/suspend`);
  await api.patch(`${issuer.path}/login-settings`, { sign_up: false });
  const known = newAddress();
  await api.create(`${issuer.path}/users`, { username: known });
  const seen: unknown[] = [];
  for (const address of [known, suspended, newAddress()]) {
    const visitor = new LoginVisitor(server);
    const first = await visitor.begin(client);
    const second = await visitor.submit(first, { email: address });
    const steps: LoginPage[] = [second, await visitor.submit(second, {}, { form: 1 })];
    for (let guesses = 0; guesses < 6; guesses++)
      steps.push(await visitor.submit(second, { code: '000000' }));
    seen.push(
      steps.map(({ status, html, headers }) => [
        status,
        headers.get('Retry-After'),
        [...headers.keys()].sort(),
        html.replaceAll(address, '').replaceAll(/login\/[\w-]+|name="token" value="[^"]*"/g, ''),
      ]),
    );
  }
  await api.patch(`${issuer.path}/login-settings`, { sign_up: true });
  expect(seen[1]).toEqual(seen[0]);
  expect(seen[2]).toEqual(seen[0]);
});

// Secrets in logs outlive everything.
test('neither codes nor tokens nor addresses are in the log, and no address in a URL or an event', async () => {
  const { visitor, page, code, address } = await atCodePage();
  await visitor.submit(page, { code });
  const log = server.logLines.join('\n');
  for (const secret of [
    address,
    page.forms[0]!.fields.token!,
    ...[...visitor.browser.cookies.values()].map(({ value }) => value),
  ])
    expect(log.includes(secret)).toBe(false);
  expect(page.url.href).not.toContain(encodeURIComponent(address));
  const { text } = await api.get('/v1/events?limit=50');
  expect(text).not.toContain(address);
  expect(text).not.toContain(code);
});

test('a name that is markup is shown as it is', async () => {
  const name = '"><img src=x onerror=alert(1)>';
  const hostile = await TestIssuer.create(server, {}, { name }, api);
  const app = await OidcClient.create(server, hostile, { name, type: 'external' });
  const visitor = new LoginVisitor(server);
  const address = newAddress();
  const first = await visitor.begin(app, { ui_locales: '<script>', login_hint: name });
  const { page: second, code } = await visitor.askForCode(first, address);
  const consent = await visitor.submit(second, { code });
  for (const page of [first, second, consent]) {
    expect(page.html).not.toContain('<img');
    expect(page.html).toContain('&lt;img');
  }
  expect(consent.title).toContain(name);
});
