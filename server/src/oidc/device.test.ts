import { afterAll, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { formOf, submitDeviceForm } from '../../test/harness/device-forms.ts';
import { OidcBrowser } from '../../test/harness/oidc-browser.ts';
import { claimsOf, OidcClient } from '../../test/harness/oidc-client.ts';
import { send } from '../../test/harness/raw-http.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';

const server = await startTestServer();
afterAll(() => server.close());
const { api } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
const deviceCode = 'urn:ietf:params:oauth:grant-type:device_code';
const client = await OidcClient.create(server, issuer, {
  openid: { application_type: 'native', grant_types: [deviceCode, 'refresh_token'], redirect_uris: [] },
});
const user = await api.create(`${issuer.path}/users`, { username: 'ada@example.com' });
const poll = (code: string) => client.post('/token', { grant_type: deviceCode, device_code: code });
const submit = (browser: OidcBrowser, form: URLSearchParams) => submitDeviceForm(browser, issuer.id, form);

/** The user of the browser lets the device that shows this code in. */
async function connect(browser: OidcBrowser, userCode: string): Promise<void> {
  const entered = formOf((await browser.request(`/${issuer.id}/device`)).text);
  entered.set('user_code', userCode);
  const confirm = await submit(browser, entered);
  expect(confirm.text).toContain('Is this your device?');
  const confirmed = await submit(browser, formOf(confirm.text));
  expect(confirmed.status).toBe(303);
  const target = new URL(confirmed.headers.get('Location')!);
  const [, , , uid] = target.pathname.split('/');
  let next = await browser.answer(issuer.id, uid!, { userId: user.id });
  let answer = await browser.request(next);
  for (let step = 0; answer.status === 303 && step < 5; step++) {
    const at = /\/login\/([^/]+)$/.exec(new URL(answer.headers.get('Location')!).pathname)?.[1];
    next = await browser.answer(issuer.id, at!, { userId: user.id });
    answer = await browser.request(next);
  }
  expect(answer.text).toContain('Your device is connected');
}

test('is off until the issuer turns it on', async () => {
  const refused = await client.post('/device/authorization', { scope: 'openid' });
  expect([refused.status, refused.body.code, refused.body.detail]).toEqual([
    404,
    'not_found',
    expect.stringContaining('`device_flow`'),
  ]);
  const browser = new OidcBrowser(server);
  for (const page of [
    await browser.request(`/${issuer.id}/device`),
    await submit(browser, new URLSearchParams({ user_code: 'BBBB-BBBB' })),
  ])
    expect([page.status, page.text]).toEqual([404, expect.stringContaining('device_flow')]);
  expect((await poll('x')).body.error).toMatch(/unsupported_grant_type|invalid_request/);
  const { body } = await api.get(`/${issuer.id}/.well-known/openid-configuration`);
  expect(body.device_authorization_endpoint).toBeUndefined();
});

test('a user connects a device by the code that it shows', async () => {
  succeeded(await api.patch(`${issuer.path}/oidc-settings`, { device_flow: true }));
  const { body: metadata } = await api.get(`/${issuer.id}/.well-known/openid-configuration`);
  const started = await client.post('/device/authorization', { scope: 'openid email' });
  expect(started.status).toBe(200);
  expect([metadata.device_authorization_endpoint, started.body.verification_uri]).toEqual([
    `http://localhost:4600/${issuer.id}/device/authorization`,
    `http://localhost:4600/${issuer.id}/device`,
  ]);
  expect((await poll(started.body.device_code)).body.error).toBe('authorization_pending');

  const browser = new OidcBrowser(server);
  const page = await browser.request(`/${issuer.id}/device`);
  expect([page.status, page.text]).toEqual([200, expect.stringContaining('Connect a device')]);
  const wrong = formOf(page.text);
  wrong.set('user_code', 'BBBB-BBBB');
  expect((await submit(browser, wrong)).text).toContain('There is no such code');
  await connect(browser, started.body.user_code);
  const tokens = await poll(started.body.device_code);
  expect(tokens.status).toBe(200);
  expect(claimsOf(tokens.body.access_token)).toMatchObject({
    sub: user.id,
    client_id: client.id,
    amr: ['otp'],
  });
  expect((await client.userinfo(tokens.body.access_token)).body.email).toBe('ada@example.com');
  expect((await client.refresh(tokens.body.refresh_token)).status).toBe(200);
  expect((await poll(started.body.device_code)).body.error).toBe('invalid_grant');
  expect((await client.userinfo(tokens.body.access_token)).status).toBe(401);
});

// The device goes on showing it, and nobody else can tell its user what to do.
test('a code whose confirmation was begun and not finished may have been used, as the page says', async () => {
  const started = await client.post('/device/authorization', { scope: 'openid' });
  const enter = async (browser: OidcBrowser) => {
    const entered = formOf((await browser.request(`/${issuer.id}/device`)).text);
    entered.set('user_code', started.body.user_code);
    return submit(browser, entered);
  };
  const browser = new OidcBrowser(server);
  expect((await submit(browser, formOf((await enter(browser)).text))).status).toBe(303);
  const again = await enter(new OidcBrowser(server));
  expect(again.text).toContain('used already');
  expect(again.text).toContain('have it show a new one');
});

// Attack: whoever knows the id of a client on devices, which is no secret, has rows of 40 kB kept, a thousand a minute.
// RFC 8628 §3.3.1, §5.4: a link can bring the code, and whoever follows one compares it first.
test('a link that brings the code shows it on the page, and submits nothing', async () => {
  const started = await client.post('/device/authorization', { scope: 'openid' });
  const { pathname, search } = new URL(started.body.verification_uri_complete);
  const browser = new OidcBrowser(server);
  const page = await browser.request(pathname + search);
  expect([page.status, page.text]).toEqual([200, expect.stringMatching(/^<!doctype html>/)]);
  expect(page.text).not.toMatch(/<script>|onload|Submitting/);
  expect(page.text).toContain('Is this the code that your device shows?');
  const form = formOf(page.text);
  form.set('user_code', / name="user_code"[^>]* value="([^"]*)"/.exec(page.text)![1]!);
  expect(form.get('user_code')).toBe(started.body.user_code);
  expect((await submit(browser, form)).text).toContain('Is this your device?');
  const hostile = await browser.request(
    `${pathname}?user_code=${encodeURIComponent('"><script>1</script>')}`,
  );
  expect(hostile.text).not.toContain('<script>');
  expect((await browser.request(`${pathname}?user_code=`)).status).toBe(200);
});

test('what a device asks with is no longer than what would stand in a URL', async () => {
  const ask = (length: number, query = '') =>
    client.post(`/device/authorization${query}`, { scope: 'openid', nonce: 'x'.repeat(length) });
  expect((await ask(12_000)).status).toBe(200);
  for (const query of ['', '?x', '?x=/token']) {
    const { status, body } = await ask(17_000, query);
    expect([query, status, body.error]).toEqual([query, 413, 'invalid_request']);
  }
  const inPieces = await send(`${server.url}/${issuer.id}/device/authorization`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams({ client_id: client.id, scope: 'openid' }).toString(),
    isChunked: true,
  });
  expect([inPieces.status, inPieces.body.error]).toEqual([411, 'invalid_request']);
});

// Attack: a device that was let in for one organization waits for its first refresh, and has them all.
test('a device is for the organization that it was connected for, also after refreshes', async () => {
  let org = '';
  for (let at = 0; at < 3; at++) {
    ({ id: org } = await issuer.createOrganization());
    const member = { member_id: user.id, scopes: ['invoices:read'] };
    await api.create(`${issuer.path}/organizations/${org}/members`, member);
  }
  const started = await client.post('/device/authorization', { scope: 'openid', org });
  await connect(new OidcBrowser(server), started.body.user_code);
  let { body } = await poll(started.body.device_code);
  for (let round = 0; round < 3; round++) {
    for (const token of [body.access_token, body.id_token]) {
      const { org_id, organizations } = claimsOf(token);
      expect([org_id, organizations.length]).toEqual([org, 1]);
    }
    ({ body } = await client.refresh(body.refresh_token));
  }
});

// A user code is short; whoever guesses one connects its own account's session to somebody's device, or sees what asks.
test('a form without the secret of its page is nobody’s', async () => {
  const started = await client.post('/device/authorization', { scope: 'openid' });
  const forged = new URLSearchParams({ user_code: started.body.user_code, confirm: 'yes', xsrf: 'x' });
  const { status, text } = await submit(new OidcBrowser(server), forged);
  expect([status < 500, text.includes('Is this your device?')]).toEqual([true, false]);
  expect((await poll(started.body.device_code)).body.error).toBe('authorization_pending');
});

test('whoever is asked about an external device may sign in as somebody else first', async () => {
  const external = await OidcClient.create(server, issuer, {
    type: 'external',
    openid: { application_type: 'native', grant_types: [deviceCode], redirect_uris: [] },
  });
  const other = await api.create(`${issuer.path}/users`, { username: `other${Math.random()}@example.com` });
  const { body } = await external.post('/device/authorization', { scope: 'openid' });
  const browser = new OidcBrowser(server);
  const entered = formOf((await browser.request(`/${issuer.id}/device`)).text);
  entered.set('user_code', body.user_code);
  const confirm = await submit(browser, entered);
  const confirmed = await submit(browser, formOf(confirm.text));
  const { interactions } = server.running.services.oidc;
  const steps: string[] = [];
  let location = confirmed.headers.get('Location');
  let userId = user.id as string;
  while (location !== null) {
    const uid = /\/login\/([^/]+)$/.exec(new URL(location).pathname)?.[1];
    if (uid !== undefined) {
      const exchange = browser.exchange(`/${issuer.id}/login/${uid}`);
      const loaded = await interactions.load(exchange, issuer.id, uid);
      steps.push(loaded.step);
      if (loaded.step === 'consent' && userId === user.id) {
        location = await interactions.useOtherAccount(exchange, loaded);
        userId = other.id;
      } else location = await browser.answer(issuer.id, uid, { userId });
    }
    location = (await browser.request(location)).headers.get('Location');
  }
  expect(steps.filter((step) => step !== 'organization')).toEqual(['login', 'consent', 'login', 'consent']);
  const { body: tokens } = await external.post('/token', {
    grant_type: deviceCode,
    device_code: body.device_code,
  });
  expect(claimsOf(tokens.access_token).sub).toBe(other.id);
});
