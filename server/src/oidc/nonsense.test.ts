import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { OidcBrowser, pkce } from '../../test/harness/oidc-browser.ts';
import { OidcClient, redirectUri } from '../../test/harness/oidc-client.ts';
import { send } from '../../test/harness/raw-http.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { TestIssuer } from '../../test/harness/test-issuer.ts';
import { idPrefixes, newId } from '../ids/ids.ts';

const server = await startTestServer();
afterAll(() => server.close());
const { api } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
const client = await OidcClient.create(server, issuer);
const asked = (members: Record<string, string> = {}) => ({
  client_id: client.id,
  redirect_uri: redirectUri,
  response_type: 'code',
  scope: 'openid',
  state: 's',
  code_challenge: pkce().challenge,
  code_challenge_method: 'S256',
  ...members,
});
const authorize = (query: Record<string, string> | string, headers: Record<string, string | string[]> = {}) =>
  send(`${server.url}/${issuer.id}/authorize?${new URLSearchParams(query)}`, {
    headers: { Accept: 'text/html', ...headers },
  });

describe('nonsense', () => {
  const paths = [
    '/token',
    '/par',
    '/introspect',
    '/revoke',
    '/keyinfo',
    '/userinfo',
    '/device',
    '/logout',
    '/register',
  ];
  const bodies: [string, string | Uint8Array][] = [
    ['application/x-www-form-urlencoded', ''],
    ['application/x-www-form-urlencoded', 'grant_type=authorization_code&grant_type=refresh_token'],
    ['application/x-www-form-urlencoded', 'client_id=a&client_id=b&token=%00&key=%ED%A0%80&code=%'],
    ['application/x-www-form-urlencoded', '__proto__=1&constructor[prototype]=2&toString=3&hasOwnProperty=4'],
    ['application/x-www-form-urlencoded', `token=${'a'.repeat(50_000)}`],
    ['application/x-www-form-urlencoded', `x=${'a'.repeat(200_000)}`],
    ['application/x-www-form-urlencoded', new Uint8Array([0x61, 0x3d, 0xff, 0xfe, 0x00])],
    ['application/json', '{"grant_type":"authorization_code"}'],
    ['application/json', '['.repeat(20_000)],
    ['text/plain', 'x'],
    ['multipart/form-data; boundary=x', '--x--'],
    ['application/x-www-form-urlencoded; charset=utf-16', 'a=b'],
    ['application/x-www-form-urlencoded; charset=nothing', 'a=b'],
  ];

  test('is the sender’s fault, whatever it is', async () => {
    const basic = `Basic ${Buffer.from(`${client.id}:${client.secret}`).toString('base64')}`;
    for (const path of paths)
      for (const [type, body] of bodies)
        for (const authorization of [undefined, basic, 'Basic !!!', 'Basic JTolJQ==', 'Bearer x', 'DPoP x']) {
          const { status, text } = await send(`${server.url}/${issuer.id}${path}`, {
            method: 'POST',
            headers: { 'Content-Type': type, ...(authorization && { Authorization: authorization }) },
            body,
          });
          expect([path, type, status, status < 500 || text]).toEqual([path, type, status, true]);
        }
  });

  test('at the authorization endpoint too', async () => {
    const deep = `${'{"a":'.repeat(2_000)}1${'}'.repeat(2_000)}`;
    const queries = [
      '',
      'client_id=%00',
      `client_id=${client.id}&client_id=${client.id}`,
      `client_id=${'a'.repeat(10_000)}`,
      ...Object.entries({
        claims: deep.slice(0, 8_000),
        scope: 'openid \u0000 "\\',
        prompt: 'none login',
        max_age: '-1',
        response_mode: 'web_message',
        response_type: 'token id_token',
        nonce: '\ud800',
        state: 'x'.repeat(5_000),
        org: 'org_x',
        resource: 'https://not.registered.example',
        request: 'a.b.c',
        request_uri: 'https://evil.example/x',
        registration: '{}',
        id_token_hint: 'a.b.c',
        ui_locales: '../../etc/passwd',
        login_hint: '<script>',
        acr_values: '__proto__',
        display: 'x',
        dpop_jkt: 'x',
        web_message_uri: 'x',
        code_challenge: 'x',
      }).map(([name, value]) => new URLSearchParams(asked({ [name]: value })).toString()),
      `${new URLSearchParams(asked())}&claims=${encodeURIComponent('{"userinfo":{"__proto__":null,"constructor":{}}}')}`,
      `${new URLSearchParams(asked())}&resource=https://a.example&resource=https://b.example`,
    ];
    for (const query of queries) {
      const { status, text } = await authorize(query);
      expect([query.slice(0, 80), status < 500 || text]).toEqual([query.slice(0, 80), true]);
    }
  });
});

// Attack: a claim by a name that the database can't hold comes to light where the code is made, after the user has signed in.
test('claims of names that nobody knows are passed over', async () => {
  const user = await api.create(`${issuer.path}/users`, { username: 'ada@example.com' });
  const names = ['a\u0000b', '\ud800', '__proto__', 'x'.repeat(500), 'email'].map(
    (name) => `${JSON.stringify(name)}:null`,
  );
  const claims = `{"userinfo":{${names.join()}}}`;
  const tokens = await client.signIn(
    new OidcBrowser(server),
    { userId: user.id },
    { scope: 'openid', claims },
  );
  const { status, body } = await client.userinfo(tokens.access_token);
  expect([status, body.email]).toEqual([200, 'ada@example.com']);
});

test('unknown and malformed issuers are 404 everywhere', async () => {
  for (const id of [newId(idPrefixes.issuer), 'i_x', 'v1', '..', '%00'])
    for (const path of ['/authorize', '/token', '/userinfo', '/.well-known/openid-configuration']) {
      const { status } = await send(`${server.url}/${id}${path}`, {
        method: path === '/token' ? 'POST' : 'GET',
        headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
      });
      expect([id, path, status]).toEqual([id, path, 404]);
    }
});
