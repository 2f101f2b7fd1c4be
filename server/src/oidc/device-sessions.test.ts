import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { formOf, submitDeviceForm } from '../../test/harness/device-forms.ts';
import { OidcBrowser } from '../../test/harness/oidc-browser.ts';
import { claimsOf, OidcClient } from '../../test/harness/oidc-client.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';

const server = await startTestServer();
afterAll(() => server.close());
const { api } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
succeeded(await api.patch(`${issuer.path}/oidc-settings`, { device_flow: true }));
const grantType = 'urn:ietf:params:oauth:grant-type:device_code';
const tv = await OidcClient.create(server, issuer, {
  openid: { application_type: 'native', grant_types: [grantType, 'refresh_token'], redirect_uris: [] },
});
const web = await OidcClient.create(server, issuer);
let users = 0;
const newUser = () => api.create(`${issuer.path}/users`, { username: `user${users++}@example.com` });

/** A browser in which a user is signed in. */
async function signedIn() {
  const { id: userId } = await newUser();
  const browser = new OidcBrowser(server);
  return { userId, browser, tokens: await web.signIn(browser, { userId }) };
}

/** The page on which the user says yes to a device, in a browser that is signed in. */
async function pageOf(browser: OidcBrowser, userCode: string): Promise<URLSearchParams> {
  const entered = formOf((await browser.request(`/${issuer.id}/device`)).text);
  entered.set('user_code', userCode);
  return formOf((await submitDeviceForm(browser, issuer.id, entered)).text);
}
const begin = async () => succeeded(await tv.post('/device/authorization', { scope: 'openid' })).body;
const poll = (code: string) => tv.post('/token', { grant_type: grantType, device_code: code });
async function connect(browser: OidcBrowser) {
  const started = await begin();
  const answer = await submitDeviceForm(browser, issuer.id, await pageOf(browser, started.user_code));
  expect(answer.text).toContain('Your device is connected');
  return succeeded(await poll(started.device_code)).body;
}

describe('devices that are connected in one browser', () => {
  // Attack: one of them is somebody else's, and takes the others along.
  test('have a session each: what ends that of one leaves the others', async () => {
    const { browser } = await signedIn();
    const [one, another] = [await connect(browser), await connect(browser)];
    expect(claimsOf(one.id_token).sid).not.toBe(claimsOf(another.id_token).sid);
    succeeded(await tv.post('/revoke', { token: one.refresh_token }));
    expect((await tv.refresh(one.refresh_token)).status).toBe(400);
    expect((await tv.refresh(another.refresh_token)).status).toBe(200);
  });

  test('go on when that browser is signed out, and end with all sessions of their user', async () => {
    const { userId, browser, tokens } = await signedIn();
    const device = await connect(browser);
    await browser.request(`/${issuer.id}/logout?id_token_hint=${tokens.id_token}`);
    expect((await web.refresh(tokens.refresh_token!)).status).toBe(400);
    const { body: next } = succeeded(await tv.refresh(device.refresh_token));
    succeeded(await api.post(`${issuer.path}/users/${userId}/sessions/revoke`));
    expect((await tv.refresh(next.refresh_token)).status).toBe(400);
  });

  test('take nobody’s browser along when their session is ended', async () => {
    const { userId, browser } = await signedIn();
    const { sid } = claimsOf((await connect(browser)).id_token);
    succeeded(await api.post(`${issuer.path}/sessions/${sid}/revoke`));
    const silent = await web.code(browser, { userId }, { prompt: 'none' });
    expect(silent.code).not.toBe('');
  });
});

// Attack: whoever has seen a code connects the device at the same moment, and it shows its owner somebody else's account.
test('of users who connect a device at once one has, and the others are told that they have not', async () => {
  const browsers = await Promise.all([signedIn(), signedIn(), signedIn()]);
  for (let round = 0; round < 4; round++) {
    const started = await begin();
    const forms = await Promise.all(browsers.map(({ browser }) => pageOf(browser, started.user_code)));
    const answers = await Promise.all(
      browsers.map(({ browser }, at) => submitDeviceForm(browser, issuer.id, forms[at]!)),
    );
    const connected = browsers.filter((_, at) => answers[at]!.text.includes('Your device is connected'));
    expect(connected.length).toBe(1);
    const { body } = succeeded(await poll(started.device_code));
    expect(claimsOf(body.access_token).sub).toBe(connected[0]!.userId);
  }
});
