import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { formOf, submitDeviceForm } from '../../test/harness/device-forms.ts';
import { HeldRows } from '../../test/harness/held-rows.ts';
import { OidcBrowser, pkce } from '../../test/harness/oidc-browser.ts';
import { claimsOf, OidcClient, redirectUri } from '../../test/harness/oidc-client.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';

const server = await startTestServer();
const { api } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
succeeded(await api.patch(`${issuer.path}/oidc-settings`, { device_flow: true }));
const client = await OidcClient.create(server, issuer);
const other = await OidcClient.create(server, issuer);
/** Its users are asked what they allow, so that a request of it goes on without a code. */
const external = await OidcClient.create(server, issuer, { type: 'external' });
const grantType = 'urn:ietf:params:oauth:grant-type:device_code';
const device = await OidcClient.create(server, issuer, {
  type: 'external',
  openid: { application_type: 'native', grant_types: [grantType, 'refresh_token'], redirect_uris: [] },
});
const ada = await api.create(`${issuer.path}/users`, { username: 'ada@example.com' });
const bob = await api.create(`${issuer.path}/users`, { username: 'bob@example.com' });

let held: HeldRows;
beforeAll(async () => {
  held = await HeldRows.open(server.database);
});
afterEach(() => held.release());
afterAll(async () => {
  await held.close();
  await server.close();
});

/** Up to where the user has answered on the page, and the browser is about to go on. */
async function upToResume(browser: OidcBrowser, of: OidcClient, userId: string, parameters = {}) {
  const start = await browser.request(
    `/${issuer.id}/authorize?${new URLSearchParams({
      client_id: of.id,
      redirect_uri: redirectUri,
      response_type: 'code',
      scope: 'openid',
      state: 's',
      code_challenge: pkce().challenge,
      code_challenge_method: 'S256',
      prompt: 'login',
      ...parameters,
    })}`,
  );
  const page = new URL(start.headers.get('Location')!).pathname;
  const uid = page.split('/').at(-1)!;
  return { page, answer: () => browser.answer(issuer.id, uid, { userId }) };
}

const isSignedIn = async (browser: OidcBrowser) =>
  (await other.code(browser, { userId: ada.id }, { prompt: 'none' })).parameters.get('error') === null;

const signOut = (browser: OidcBrowser, idToken: string) =>
  browser.request(`/${issuer.id}/logout?id_token_hint=${idToken}`);

// Attack: somebody goes on in one window while the login is ended elsewhere, and stays signed in.
describe('a login that gets another id while it is ended', () => {
  test.each([
    ['by its user', (browser: OidcBrowser, idToken: string) => signOut(browser, idToken)],
    [
      'by the API, with one of its sessions',
      (_browser: OidcBrowser, idToken: string) =>
        api.post(`${issuer.path}/sessions/${claimsOf(idToken).sid}/revoke`),
    ],
    [
      'by the API, with all sessions of its user',
      () => api.post(`${issuer.path}/users/${ada.id}/sessions/revoke`),
    ],
  ])('%s is ended', async (_how, end) => {
    const browser = new OidcBrowser(server);
    const { id_token } = await client.signIn(browser, { userId: ada.id });
    const resume = await (await upToResume(browser, external, ada.id)).answer();
    const elsewhere = browser.at(server);
    await held.hold('Session');
    const goingOn = browser.request(resume);
    await held.waiting(1);
    const ending = end(elsewhere, id_token!);
    await held.waiting(2);
    await held.release();
    await goingOn;
    expect((await ending).status).toBeLessThan(300);
    expect(await isSignedIn(browser)).toBe(false);
  });
});

// Attack: a code is made while its user signs out, and the client goes on as if nothing had been.
describe('no session begins for a login that is ended meanwhile', () => {
  test('at a request that asks nobody', async () => {
    const browser = new OidcBrowser(server);
    const { id_token } = await client.signIn(browser, { userId: ada.id });
    const elsewhere = browser.at(server);
    await held.hold('AuthorizationCode');
    const asking = other.code(browser, { userId: ada.id }, { prompt: 'none' });
    await held.waiting(1);
    const leaving = signOut(elsewhere, id_token!);
    await held.waiting(2);
    await held.release();
    const code = await asking;
    expect((await leaving).status).toBe(200);
    // Who was first is before it in all: what the code has begun has ended with the login.
    const { status, body } = await other.redeem(code);
    expect([status, body.error]).toEqual([400, 'invalid_grant']);
  });

  test('nor after it is gone', async () => {
    const browser = new OidcBrowser(server);
    const { id_token } = await client.signIn(browser, { userId: ada.id });
    const sid = claimsOf(id_token!).sid;
    const elsewhere = browser.at(server);
    await held.holdUser(ada.id);
    const asking = other.code(browser, { userId: ada.id }, { prompt: 'none' });
    await held.waiting(1);
    expect((await signOut(elsewhere, id_token!)).status).toBe(200);
    await held.release();
    expect((await asking).parameters.get('error')).toBe('login_required');
    const { body } = await api.get(`${issuer.path}/sessions?user_id=${ada.id}&status=active`);
    expect(body.data.map(({ id }: { id: string }) => id)).not.toContain(sid);
    expect(body.data).toEqual([]);
  });

  test('at a page that the user has answered: it says so, and hands nobody a code', async () => {
    const browser = new OidcBrowser(server);
    const { id_token } = await client.signIn(browser, { userId: ada.id });
    const resume = await (await upToResume(browser, other, ada.id)).answer();
    const elsewhere = browser.at(server);
    await held.holdUser(ada.id);
    const goingOn = browser.request(resume);
    await held.waiting(1);
    expect((await signOut(elsewhere, id_token!)).status).toBe(200);
    await held.release();
    const answer = await goingOn;
    expect([answer.status, answer.headers.get('Location')]).toEqual([400, null]);
    expect(answer.text).toMatch(/^<!doctype html>/);
    expect((await api.get(`${issuer.path}/sessions?user_id=${ada.id}&status=active`)).body.data).toEqual([]);
  });
});

test('a late answer does not take the cookie away that another window was given', async () => {
  const browser = new OidcBrowser(server);
  await client.signIn(browser, { userId: ada.id });
  const late = browser.at(server);
  await other.code(late, { userId: ada.id }, { prompt: 'none' });
  expect(late.setCookies.filter((line) => /gl_login/.test(line))).toEqual([]);
});

test('a shorter time of logins holds for those that there are, from their next use on', async () => {
  const own = await TestIssuer.create(server, {}, {}, api);
  const app = await OidcClient.create(server, own);
  const user = await api.create(`${own.path}/users`, { username: 'ada@example.com' });
  const browser = new OidcBrowser(server);
  await app.signIn(browser, { userId: user.id });
  succeeded(await api.patch(`${own.path}/oidc-settings`, { login_seconds: 300 }));
  const before = browser.setCookies.length;
  await app.signIn(browser, { userId: user.id }, { prompt: 'none' });
  const line = browser.setCookies.slice(before).find((set) => set.startsWith('gl_login'))!;
  const expires = Date.parse(/expires=([^;]*)/i.exec(line)![1]!);
  expect((expires - Date.now()) / 1000).toBeLessThanOrEqual(300);
});

// Attack: whoever is about to sign in when all sessions of the user are ended stays in.
test('a first login is not kept where all sessions of its user have ended meanwhile', async () => {
  const browser = new OidcBrowser(server);
  const { answer } = await upToResume(browser, client, ada.id);
  const resume = await answer();
  await held.hold('AuthorizationCode');
  const goingOn = browser.request(resume);
  await held.waiting(1);
  const ending = api.post(`${issuer.path}/users/${ada.id}/sessions/revoke`);
  await held.waiting(2);
  await held.release();
  const told = await goingOn;
  expect((await ending).status).toBe(200);
  expect([told.status, told.headers.get('Location')]).toEqual([400, null]);
  expect(await isSignedIn(browser)).toBe(false);
});

test('of two windows in which two users sign in, the second is told that it is over, on a page', async () => {
  const browser = new OidcBrowser(server);
  const [first, second] = [
    await upToResume(browser, client, ada.id),
    await upToResume(browser, other, bob.id),
  ];
  const [one, two] = [await first.answer(), await second.answer()];
  expect((await browser.request(one)).headers.get('Location')).toContain('code=');
  const answer = await browser.request(two);
  expect([answer.status, answer.headers.get('Location')]).toEqual([400, null]);
  expect(answer.text).toMatch(/^<!doctype html>/);
  expect(answer.text).not.toContain('logout/confirm');
  expect(await isSignedIn(browser)).toBe(true);
});

test('where a login can’t be written the client is told, and the browser goes on with the one that it has', async () => {
  const browser = new OidcBrowser(server);
  await client.signIn(browser, { userId: ada.id });
  const resume = await (await upToResume(browser, other, ada.id)).answer();
  await held.fail('Session');
  const answer = await browser.request(resume);
  await held.release();
  const told = new URL(answer.headers.get('Location')!);
  expect([told.searchParams.get('error'), told.searchParams.get('code')]).toEqual([
    'temporarily_unavailable',
    null,
  ]);
  expect(await isSignedIn(browser)).toBe(true);
});

test('who is not meant by an id_token_hint finds no address of its own on the page', async () => {
  const { id_token: hint } = await client.signIn(new OidcBrowser(server), { userId: ada.id });
  const browser = new OidcBrowser(server);
  await other.signIn(browser, { userId: bob.id });
  const { page } = await upToResume(browser, client, ada.id, { id_token_hint: hint!, prompt: '' });
  const { text } = await browser.request(page);
  expect(text).toContain('type="email"');
  expect(text).not.toContain('bob@example.com');
  // What the client says of whom it means is filled in.
  const told = { id_token_hint: hint!, login_hint: 'ada@example.com', prompt: '' };
  const hinted = await upToResume(browser, client, ada.id, told);
  expect((await browser.request(hinted.page)).text).toContain('value="ada@example.com"');
});

describe('an id_token_hint of a device', () => {
  const submit = (browser: OidcBrowser, form: URLSearchParams) => submitDeviceForm(browser, issuer.id, form);
  const connect = async (browser: OidcBrowser, idToken?: string) => {
    const hint = idToken ?? (await deviceTokens(ada.id)).id_token!;
    const started = await device.post('/device/authorization', { scope: 'openid', id_token_hint: hint });
    const entered = formOf((await browser.request(`/${issuer.id}/device`)).text);
    entered.set('user_code', started.body.user_code);
    const asked = await submit(browser, formOf((await submit(browser, entered)).text));
    return { started, asked };
  };
  const deviceTokens = async (userId: string) => {
    const browser = new OidcBrowser(server);
    const started = await device.post('/device/authorization', { scope: 'openid' });
    const entered = formOf((await browser.request(`/${issuer.id}/device`)).text);
    entered.set('user_code', started.body.user_code);
    const asked = await submit(browser, formOf((await submit(browser, entered)).text));
    await finish(browser, asked.headers.get('Location')!, userId);
    return (await poll(started)).body;
  };
  const poll = (started: { body: { device_code: string } }) =>
    device.post('/token', { grant_type: grantType, device_code: started.body.device_code });
  const finish = async (browser: OidcBrowser, from: string, userId: string) => {
    let location: string | null = from;
    let answer = null;
    for (let step = 0; step < 6 && location !== null; step++) {
      const { pathname } = new URL(location, 'http://localhost:4600');
      const page: RegExpExecArray | null = /\/login\/([^/]+)$/.exec(pathname);
      if (page === null) {
        answer = await browser.request(location);
        location = answer.headers.get('Location');
      } else location = await browser.answer(issuer.id, page[1]!, { userId });
    }
    return answer!;
  };

  test('connects it for nobody else, whoever signs in', async () => {
    const browser = new OidcBrowser(server);
    const { started, asked } = await connect(browser);
    const answer = await finish(browser, asked.headers.get('Location')!, bob.id);
    expect(answer.status).toBe(400);
    expect((await poll(started)).body.error).toBe('login_required');
  });

  test('does not sign out whoever was signed in, where it does not come to an end', async () => {
    const browser = new OidcBrowser(server);
    await client.signIn(browser, { userId: ada.id });
    const hint = (await deviceTokens(bob.id)).id_token!;
    const { started, asked } = await connect(browser, hint);
    const answer = await finish(browser, asked.headers.get('Location')!, ada.id);
    expect(answer.status).toBe(400);
    expect((await poll(started)).body.error).toBe('login_required');
    expect(await isSignedIn(browser)).toBe(true);
  });

  test('asks whoever is signed in as somebody else to sign in', async () => {
    const browser = new OidcBrowser(server);
    await client.signIn(browser, { userId: bob.id });
    const { started, asked } = await connect(browser);
    const steps: string[] = [];
    const uid = new URL(asked.headers.get('Location')!).pathname.split('/').at(-1)!;
    await browser.answer(issuer.id, uid, { userId: ada.id, onStep: ({ step }) => steps.push(step) });
    expect(steps).toEqual(['login']);
    expect((await poll(started)).body.error).toBe('authorization_pending');
  });
});
