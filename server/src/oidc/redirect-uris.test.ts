import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { OidcBrowser, pkce } from '../../test/harness/oidc-browser.ts';
import { OidcClient, redirectUri } from '../../test/harness/oidc-client.ts';
import { send } from '../../test/harness/raw-http.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { TestIssuer } from '../../test/harness/test-issuer.ts';
import { hostileRedirectUris } from '../clients/fixtures/hostile-redirect-uris.ts';

const server = await startTestServer();
afterAll(() => server.close());
const { api } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
const client = await OidcClient.create(server, issuer);
const native = await OidcClient.create(server, issuer, {
  openid: {
    application_type: 'native',
    redirect_uris: ['http://127.0.0.1/cb', 'http://[::1]/cb', 'com.example.app:/cb'],
  },
});
const user = await api.create(`${issuer.path}/users`, { username: 'ada@example.com' });
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

describe('a redirect URI', () => {
  // Whoever gets a code sent to a place of its own signs in as the user.
  const mutants = [
    ...hostileRedirectUris,
    `${redirectUri}/`,
    `${redirectUri}?x=1`,
    `${redirectUri}#x`,
    `${redirectUri}%00`,
    `${redirectUri}/../callback`,
    redirectUri.toUpperCase(),
    redirectUri.replace('https', 'http'),
    redirectUri.replace('app.example', 'app.example.'),
    redirectUri.replace('app.example', 'app.example:443'),
    redirectUri.replace('app.example', 'evil.example@app.example'),
    redirectUri.replace('app.example', 'app.example@evil.example'),
    redirectUri.replace('app.example', 'app.example.evil.example'),
    redirectUri.replace('callback', 'c%61llback'),
    redirectUri.replace('callback', 'callback%2f'),
    redirectUri.replace('/callback', '\\callback'),
    ` ${redirectUri}`,
    `${redirectUri} `,
    `${redirectUri}\n`,
  ];

  test('200 mutants of a registered one are refused, and nobody is sent there', async () => {
    expect(mutants.length).toBeGreaterThanOrEqual(200);
    for (const mutant of mutants) {
      const { status, headers } = await authorize(asked({ redirect_uri: mutant }));
      // 431: too long for a request line at all.
      const isRefused = status === 400 || (status === 431 && mutant.length > 10_000);
      expect([mutant.slice(0, 100), isRefused, headers.location]).toEqual([
        mutant.slice(0, 100),
        true,
        undefined,
      ]);
    }
  });

  test('nor is anything that differs from it by a little, asked for or pushed', async () => {
    const near = nearTo(redirectUri);
    expect(near.length).toBeGreaterThanOrEqual(200);
    for (const mutant of near) {
      const { status, headers } = await authorize(asked({ redirect_uri: mutant }));
      expect([mutant, status, headers.location]).toEqual([mutant, 400, undefined]);
    }
    for (const mutant of [...near, ...mutants.filter(({ length }) => length < 10_000)]) {
      const { status, body } = await client.post('/par', asked({ redirect_uri: mutant }));
      expect([mutant, status, body.request_uri]).toEqual([mutant, 400, undefined]);
    }
    expect((await client.post('/par', asked())).status).toBe(201);
    // Nor does the token endpoint take another than the one that the code was sent to.
    const code = await client.code(new OidcBrowser(server), { userId: user.id });
    const { body } = await client.redeem(code, { redirect_uri: `${redirectUri}/` });
    expect(body.error).toBe('invalid_grant');
  });

  test('of a native client has any port on loopback, and nothing else of it may differ', async () => {
    const of = (uri: string) => authorize(asked({ client_id: native.id, redirect_uri: uri }));
    for (const uri of ['http://127.0.0.1:51004/cb', 'http://[::1]:1/cb', 'com.example.app:/cb'])
      expect([uri, (await of(uri)).status]).toEqual([uri, 303]);
    for (const uri of [
      'http://127.0.0.1:51004/cb2',
      'http://127.0.0.2:51004/cb',
      'http://localhost:51004/cb',
      'https://127.0.0.1:51004/cb',
      'http://127.0.0.1:99999/cb',
      'http://127.0.0.1:51004/cb?x',
      'http://127.0.0.1:51004@evil.example/cb',
      'http://evil.example:80/cb',
      'com.example.app:/cb/',
      'com.example.app://evil/cb',
    ])
      expect([uri, (await of(uri)).status]).toEqual([uri, 400]);
  });
});

test('PKCE is demanded, S256 alone; optional where a client with a secret says so', async () => {
  const errorOf = async (members: Record<string, string>, by = client) => {
    const { code_challenge: _challenge, code_challenge_method: _method, ...bare } = asked();
    const { headers } = await authorize({ ...bare, client_id: by.id, ...members });
    return headers.location?.includes('/login/')
      ? 'goes on'
      : new URL(headers.location ?? 'https://x').searchParams.get('error');
  };
  const { challenge } = pkce();
  expect(await errorOf({})).toBe('invalid_request');
  expect(await errorOf({ code_challenge: challenge, code_challenge_method: 'plain' })).toBe(
    'invalid_request',
  );
  expect(await errorOf({ code_challenge: challenge })).toBe('invalid_request');
  expect(await errorOf({ code_challenge: challenge, code_challenge_method: 'S256' })).toBe('goes on');
  const optional = await OidcClient.create(server, issuer, { openid: { pkce: 'optional' } });
  expect(await errorOf({}, optional)).toBe('goes on');
  const code = await client.code(new OidcBrowser(server), { userId: user.id });
  expect((await client.redeem({ ...code, verifier: pkce().verifier })).body.error).toBe('invalid_grant');
});

/** A character more, less or other at each place, and what parsers of URLs read alike. */
function nearTo(uri: string): string[] {
  const places = [...uri].map((_, at) => at);
  const changed = [
    ...places.map((at) => uri.slice(0, at) + uri.slice(at + 1)),
    ...places.flatMap((at) =>
      ['.', '/', '%', '@', '\\'].map((each) => uri.slice(0, at) + each + uri.slice(at)),
    ),
    ...places.map((at) => uri.slice(0, at) + flipped(uri[at]!) + uri.slice(at + 1)),
    ...places.map((at) => `${uri.slice(0, at)}%${uri.charCodeAt(at).toString(16)}${uri.slice(at + 1)}`),
    ...['', '?', '#', '&a=b', ';a', '%20', '%00', '%0d%0a', '\t', '\u200b', '\u2028'].map((end) => uri + end),
    ...['\u200b', ' ', '\t', '//', 'view-source:', 'javascript:'].map((start) => start + uri),
  ];
  return [...new Set(changed)].filter((each) => each !== uri);
}

function flipped(character: string): string {
  const upper = character.toUpperCase();
  return upper === character ? '\uff0f' : upper;
}
