import { afterAll, beforeAll, expect, test } from 'vitest';
import { codeIn } from '../harness/delivered-mail.ts';
import { LoginVisitor } from '../harness/login-pages.ts';
import { MailServer } from '../harness/mail-server.ts';
import { OidcClient } from '../harness/oidc-client.ts';
import { send } from '../harness/raw-http.ts';
import { startTestServer, type TestServer } from '../harness/server.ts';
import { createKey, succeeded, TestIssuer, type TestKey } from '../harness/test-issuer.ts';

let mailServer: MailServer;
let server: TestServer;
let issuerId: string;
let key: TestKey;
beforeAll(async () => {
  mailServer = await MailServer.start();
  server = await startTestServer({ env: mailServer.env });
  const { api } = server.operator;
  issuerId = (await api.create('/v1/issuers', { name: 'Acme' })).id;
  key = await createKey(api, `/v1/issuers/${issuerId}/api-keys`);
});
afterAll(async () => {
  await server.close();
  await mailServer[Symbol.asyncDispose]();
});

// Attack on mails: a request names another host, in every field that proxies write, to have it stand in the mail.
const poison = {
  Host: 'evil.example',
  'X-Forwarded-Host': 'evil.example',
  'X-Original-Host': 'evil.example',
  Forwarded: 'host=evil.example',
  Referer: 'https://evil.example/',
  'User-Agent': 'evil.example',
};

function post(path: string, body: unknown, headers: Record<string, string> = {}) {
  return send(`${server.url}${path}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${key.secret}`, ...headers },
    body: JSON.stringify(body),
  });
}

test('a user signs in by the code of a mail that a real mail server has delivered over TLS', async () => {
  const email = 'alice@example.com';
  succeeded(
    await server.operator.api.patch(`/v1/issuers/${issuerId}/login-settings`, {
      mail: { sender: 'Blue Bakery', brand_name: 'Bäckerei Blau', language: 'de' },
    }),
  );
  const requested = await post('/auth/request-otp', { email }, poison);
  expect([requested.status, requested.body.success]).toEqual([200, true]);
  const [mail, ...others] = await mailServer.waitForMails(email);
  expect(others).toEqual([]);
  expect(mail).toMatchObject({
    from: 'Blue Bakery <no-reply@gatelodge.test>',
    to: email,
    subject: 'Ihr Code zum Anmelden bei Bäckerei Blau',
  });
  expect(await mailServer.log()).toMatch(/P=esmtpsa X=TLS.* A=\w+:gatelodge /);
  expect(mail!.raw).not.toContain('evil');
  expect(mail!.text + mail!.html).not.toMatch(/https?:|<a\b/);

  const verified = await post('/auth/verify-otp', { email, otp: codeIn(mail!) });
  expect(verified.status).toBe(200);
  const again = await post('/auth/verify-otp', { email, otp: codeIn(mail!) });
  expect(again.status).toBe(401);
});

test('nobody gets a mail by a request that is refused', async () => {
  const email = 'bob@example.com';
  const refused = await post('/auth/request-otp', { email }, { Authorization: 'Bearer nothing' });
  expect(refused.status).toBe(401);
  await post('/auth/request-otp', { email: 'carol@example.com' });
  await mailServer.waitForMails('carol@example.com');
  expect(await mailServer.mailsTo(email)).toEqual([]);
});

test('the page of the code leads to no mailbox of ours where mails are sent', async () => {
  const client = await OidcClient.create(server, await TestIssuer.create(server));
  const visitor = new LoginVisitor(server);
  const page = await visitor.submit(await visitor.begin(client), { email: 'bob@example.com' });
  expect(page.html).toContain('Look in your spam folder');
  expect(page.html).not.toContain('/dev/mailbox');
});
