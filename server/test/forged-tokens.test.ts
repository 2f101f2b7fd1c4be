import { createHmac, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { afterAll, expect, test } from 'vitest';
import type { KeyMaterial } from '../src/signing-keys/key-material.ts';
import { createCustomer } from './harness/customer.ts';
import { OidcBrowser } from './harness/oidc-browser.ts';
import { claimsOf, OidcClient } from './harness/oidc-client.ts';
import { send } from './harness/raw-http.ts';
import { startTestServer } from './harness/server.ts';
import { signIn } from './harness/sign-in.ts';
import { TestIssuer } from './harness/test-issuer.ts';

/*
 * The attack: a token that this issuer has not made, or has made for something else, at every endpoint that takes one (RFC
 * 8725). Whatever can be signed is signed by the issuer's own key, so that only what is named is wrong with it.
 */

const server = await startTestServer();
afterAll(() => server.close());
const { api } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
const neighbour = await TestIssuer.create(server, {}, {}, api);
const client = await OidcClient.create(server, issuer);
const otherClient = await OidcClient.create(server, issuer);
const [user, otherUser] = [
  await api.create(`${issuer.path}/users`, { username: 'ada@example.com' }),
  await api.create(`${issuer.path}/users`, { username: 'eve@example.com' }),
];
const tokens = await client.signIn(new OidcBrowser(server), { userId: user.id });
const others = await otherClient.signIn(new OidcBrowser(server), { userId: otherUser.id });
const { token: builtIn } = await signIn(server, issuer.id, user.id);
const keyOf = async ({ id }: TestIssuer): Promise<KeyMaterial> =>
  (await server.running.services.signingKeys.keySet(id))!.signer(Date.now())!;
const [key, neighbourKey] = [await keyOf(issuer), await keyOf(neighbour)];

const base64url = (value: string | Uint8Array) => Buffer.from(value).toString('base64url');
const headerOf = (token: string): Record<string, unknown> =>
  JSON.parse(Buffer.from(token.split('.')[0]!, 'base64url').toString());

async function signed(header: string, payload: string, by: KeyMaterial = key): Promise<string> {
  const input = `${base64url(header)}.${base64url(payload)}`;
  return `${input}.${base64url(await by.sign(Buffer.from(input)))}`;
}

function macked(header: object, payload: object, secret: string | Uint8Array): string {
  const input = `${base64url(JSON.stringify(header))}.${base64url(JSON.stringify(payload))}`;
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
}

/** What is wrong, and the token; made of one that counts. */
async function forgeries(good: string): Promise<[string, string][]> {
  const header = headerOf(good);
  const claims = claimsOf(good);
  const [head, body, signature] = good.split('.') as [string, string, string];
  const [whole, all] = [JSON.stringify(header), JSON.stringify(claims)];
  const withHeader = async (members: object): Promise<[string, string]> => [
    `header ${JSON.stringify(members)}`,
    await signed(JSON.stringify({ ...header, ...members }), all),
  ];
  const withClaims = async (members: object): Promise<[string, string]> => [
    `claims ${JSON.stringify(members).slice(0, 80)}`,
    await signed(whole, JSON.stringify({ ...claims, ...members })),
  ];
  const pem = createPublicKey({ key: key.publicJwk as never, format: 'jwk' }).export({
    type: 'spki',
    format: 'pem',
  });
  const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const ownHeader = { ...header, jwk: stranger.publicKey.export({ format: 'jwk' }) };
  const ownInput = `${base64url(JSON.stringify(ownHeader))}.${body}`;
  const ownKey = { key: stranger.privateKey, dsaEncoding: 'ieee-p1363' } as const;
  const nowSeconds = Math.floor(Date.now() / 1000);
  return [
    ...['none', 'None', 'NONE', ''].flatMap((alg): [string, string][] =>
      ['', signature].map((end) => [
        `alg "${alg}"`,
        `${base64url(JSON.stringify({ ...header, alg }))}.${body}.${end}`,
      ]),
    ),
    ['no signature', `${head}.${body}.`],
    ['two parts', `${head}.${body}`],
    ['a signature of zeros', `${head}.${body}.${base64url(Buffer.alloc(64))}`],
    ['another end', `${good.slice(0, -6)}AAAAAA`],
    ['padding', `${good}=`],
    ['the signature of another token', `${head}.${body}.${others.access_token.split('.')[2]}`],
    ['the public key as a secret', macked({ ...header, alg: 'HS256' }, claims, pem)],
    ['the JWK as a secret', macked({ ...header, alg: 'HS256' }, claims, JSON.stringify(key.publicJwk))],
    ['an empty secret', macked({ ...header, alg: 'HS256' }, claims, '')],
    ['a key of its own', `${ownInput}.${base64url(sign('sha256', Buffer.from(ownInput), ownKey))}`],
    ['the key of another issuer', await signed(whole, all, neighbourKey)],
    [
      'that and its kid',
      await signed(JSON.stringify({ ...header, kid: neighbourKey.id }), all, neighbourKey),
    ],
    ...(await Promise.all(
      [
        { alg: 'ES384' },
        { alg: 'RS256' },
        { alg: 'EdDSA' },
        { typ: 'JWT' },
        { typ: 'logout+jwt' },
        { typ: undefined },
        { typ: 'application/at+jwt' },
        { kid: undefined },
        { kid: '../../dev/null' },
        { kid: `${key.id}' or '1'='1` },
        { crit: ['exp'] },
        { crit: [] },
        { b64: false, crit: ['b64'] },
        { jku: 'https://evil.example/jwks.json' },
        { x5u: 'https://evil.example/x' },
        { x5c: ['MIIB'] },
        { zip: 'DEF' },
        { cty: 'JWT' },
      ].map(withHeader),
    )),
    ['the header twice', await signed(whole.replace('{', '{"alg":"none",'), all)],
    ['a claim twice, first', await signed(whole, all.replace('{', `{"sub":"${otherUser.id}",`))],
    ['a claim twice, last', await signed(whole, all.replace(/\}$/, `,"sub":"${otherUser.id}"}`))],
    ['exp twice', await signed(whole, all.replace('{', '{"exp":9999999999,'))],
    ['white space', await signed(whole, ` ${all}`)],
    ...(await Promise.all(
      [
        { iss: `http://localhost:4600/${neighbour.id}` },
        { iss: 'https://evil.example' },
        { iss: [claims.iss] },
        { iss: undefined },
        { sub: otherUser.id },
        { sub: undefined },
        { sid: claimsOf(others.access_token).sid },
        { sid: `s_${'0'.repeat(25)}` },
        { client_id: otherClient.id },
        { client_id: `c_${'0'.repeat(25)}` },
        { client_id: undefined },
        { aud: undefined },
        { aud: [] },
        { exp: nowSeconds - 1 },
        { exp: String(nowSeconds + 600) },
        { exp: undefined },
        { exp: null },
        { iat: undefined },
        { nbf: nowSeconds + 600 },
        { jti: undefined },
        { environment: 'sandbox' },
        { environment: undefined },
        { padding: 'x'.repeat(8_192) },
      ].map(withClaims),
    )),
  ];
}

const statusAt = async (path: string, token: string) =>
  (await send(server.url + path, { headers: { Authorization: `Bearer ${token}` } })).status;

test('no forged token opens userinfo or is active at introspection', async () => {
  const good = tokens.access_token;
  expect([await statusAt(`/${issuer.id}/userinfo`, good), await client.isActive(good)]).toEqual([200, true]);
  const forged = await forgeries(good);
  expect(forged.length).toBeGreaterThan(60);
  for (const [about, token] of forged) {
    expect([about, await statusAt(`/${issuer.id}/userinfo`, token)]).toEqual([about, 401]);
    expect([about, await client.isActive(token)]).toEqual([about, false]);
  }
  // Another resource's, and one that is bound to a key whose proof is not there.
  const [header, claims] = [JSON.stringify(headerOf(good)), claimsOf(good)];
  for (const members of [{ aud: 'https://api.example' }, { cnf: { jkt: 'x' } }]) {
    const token = await signed(header, JSON.stringify({ ...claims, ...members }));
    expect([members, await statusAt(`/${issuer.id}/userinfo`, token)]).toEqual([members, 401]);
  }
  expect(await statusAt(`/${issuer.id}/userinfo`, tokens.id_token!)).toBe(401);
  expect(await statusAt(`/${neighbour.id}/userinfo`, good)).toBe(401);
});

test('nor /auth/me and /v1/me', async () => {
  const paths = ['/auth/me', `/${issuer.id}/auth/me`, '/v1/me'];
  for (const path of paths) expect(await statusAt(path, builtIn)).toBe(200);
  const forged = await forgeries(builtIn);
  const [header, claims] = [JSON.stringify(headerOf(builtIn)), claimsOf(builtIn)];
  for (const members of [{ aud: 'https://api.example' }, { aud: client.id }, { cnf: { jkt: 'x' } }])
    forged.push([JSON.stringify(members), await signed(header, JSON.stringify({ ...claims, ...members }))]);
  for (const [about, token] of forged)
    for (const path of paths) expect([about, path, await statusAt(path, token)]).toEqual([about, path, 401]);
});

test('a token of a client, of whichever type, opens nothing that is the built-in client’s', async () => {
  const external = await OidcClient.create(server, issuer, { type: 'external' });
  const theirs = await external.signIn(new OidcBrowser(server), { userId: user.id });
  const machine = await OidcClient.create(server, issuer, {
    openid: { application_type: 'm2m', grant_types: ['client_credentials'], redirect_uris: [] },
  });
  const { body } = await machine.post('/token', { grant_type: 'client_credentials' });
  for (const token of [theirs.access_token, theirs.id_token!, tokens.access_token, body.access_token])
    for (const [method, path] of [
      ['GET', '/auth/me'],
      ['GET', `/${issuer.id}/auth/me`],
      ['POST', '/auth/logout'],
      ['GET', '/v1/me'],
      ['GET', issuer.path],
    ] as const) {
      const { status } = await send(server.url + path, {
        method,
        headers: { Authorization: `Bearer ${token}` },
      });
      expect([path, status]).toEqual([path, 401]);
    }
  for (const path of ['/auth/refresh', '/auth/logout']) {
    const { status } = await send(server.url + path, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ refresh_token: theirs.refresh_token }),
    });
    expect([path, status]).toEqual([path, 401]);
  }
  expect((await external.userinfo(theirs.access_token)).status).toBe(200);
  expect((await external.refresh(theirs.refresh_token!)).status).toBe(200);
  expect(await statusAt('/v1/me', body.access_token)).toBe(401);
});
