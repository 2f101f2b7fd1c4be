import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { type CryptoKey, exportJWK, exportSPKI, generateKeyPair, importJWK, type JWK, jwtVerify } from 'jose';
import { beforeAll, describe, expect, test } from 'vitest';
import { Random } from '../../test/harness/random.ts';
import { scaled } from '../../test/harness/scale.ts';
import { type SigningAlgorithm, signingAlgorithms } from '../signing-keys/signing-key.ts';
import { accessTokenType, headerSegment, signJwt, verifyAccessToken } from './jwt.ts';

/*
 * Attack: a token that this issuer has not signed, or has signed for something else, passes for an access token of it
 * (RFC 8725). Everything here that can be signed is signed with the issuer's own key, so that only the form is wrong.
 */

const issuer = 'https://id.example.com/i_0000000000000000000000000';
const nowMs = Date.parse('2026-11-21T12:00:00.000Z');
const now = nowMs / 1000;
const claims = {
  iss: issuer,
  sub: 'usr_1',
  aud: issuer,
  exp: now + 600,
  iat: now,
  jti: 'a',
  sid: 's_1',
  client_id: 'otp',
  amr: ['otp'],
  auth_time: now,
  environment: 'live',
  organizations: [],
};

interface Pair {
  algorithm: SigningAlgorithm;
  kid: string;
  privateKey: CryptoKey;
  publicKey: CryptoKey;
  publicJwk: JWK;
}

const pairs = new Map<SigningAlgorithm, Pair>();
let es256: Pair;
beforeAll(async () => {
  for (const algorithm of signingAlgorithms) {
    const pair = await generateKeyPair(algorithm, { extractable: true });
    const publicJwk = await exportJWK(pair.publicKey);
    pairs.set(algorithm, { algorithm, kid: `sig_${algorithm}`, ...pair, publicJwk });
  }
  es256 = pairs.get('ES256')!;
});

const headerOf = ({ algorithm, kid }: Pair) => ({ alg: algorithm, kid, typ: accessTokenType });
const sign = (pair: Pair, payload: object = claims) =>
  signJwt(payload, headerSegment(headerOf(pair)), (data) => signatureOf(pair, data));

function verify(
  pair: Pair,
  token: string,
  demands: { nowMs?: number; issuer?: string; audience?: string } = {},
) {
  const expected = headerSegment(headerOf(pair));
  const key = { algorithm: pair.algorithm, publicKey: () => Promise.resolve(pair.publicKey) };
  return verifyAccessToken(token, (header) => (header === expected ? key : undefined), {
    issuer,
    nowMs,
    ...demands,
  });
}

const base64url = (value: string | Uint8Array) => Buffer.from(value).toString('base64url');

/** By another implementation than the one under test. */
async function signatureOf({ algorithm, privateKey }: Pair, data: string | Uint8Array): Promise<Uint8Array> {
  const parameters = {
    ES256: { name: 'ECDSA', hash: 'SHA-256' },
    EdDSA: 'Ed25519',
    RS256: 'RSASSA-PKCS1-v1_5',
  }[algorithm];
  return new Uint8Array(await crypto.subtle.sign(parameters, privateKey, Buffer.from(data)));
}

/** Signs parts as they are given, whatever they hold. */
async function signParts(pair: Pair, header: string, payload: string): Promise<string> {
  const input = `${base64url(header)}.${base64url(payload)}`;
  return `${input}.${base64url(await signatureOf(pair, input))}`;
}

describe.each(signingAlgorithms)('%s', (algorithm) => {
  const pair = () => pairs.get(algorithm)!;

  test('what is signed is read here, and by a library with nothing but the public key', async () => {
    const token = await sign(pair());
    expect(await verify(pair(), token)).toEqual(claims);
    const elsewhere = await jwtVerify(token, (await importJWK(pair().publicJwk, algorithm)) as CryptoKey, {
      issuer,
      audience: issuer,
      typ: 'at+jwt',
      currentDate: new Date(nowMs),
    });
    expect(elsewhere.payload).toEqual(claims);
    expect(elsewhere.protectedHeader).toEqual(headerOf(pair()));
  });

  test('the form that these tests sign by hand is the form that passes', async () => {
    const token = await signParts(pair(), JSON.stringify(headerOf(pair())), JSON.stringify(claims));
    expect(await verify(pair(), token)).toEqual(claims);
  });

  test('no change of a single character passes', async () => {
    const token = await sign(pair());
    const random = new Random();
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=.+/ ';
    for (let round = 0; round < scaled(300, 3_000); round++) {
      const at = random.int(token.length);
      const changed = token.slice(0, at) + random.pick([...alphabet]) + token.slice(at + 1);
      if (changed !== token) expect(await verify(pair(), changed), `${random.seed} ${changed}`).toBeNull();
    }
  });

  test('the last character of the signature has one spelling, though several decode to the same bytes', async () => {
    const token = await sign(pair());
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    const accepted = [];
    for (const last of alphabet)
      if ((await verify(pair(), token.slice(0, -1) + last)) !== null) accepted.push(last);
    expect(accepted).toEqual([token.at(-1)]);
  });

  test('neither the key of another algorithm nor the public key as a secret makes a token', async () => {
    const header = { ...headerOf(pair()), alg: 'HS256' };
    const input = `${base64url(JSON.stringify(header))}.${base64url(JSON.stringify(claims))}`;
    const secrets = [
      await exportSPKI(pair().publicKey),
      (await exportSPKI(pair().publicKey)).trim(),
      JSON.stringify(pair().publicJwk),
      Buffer.from(await crypto.subtle.exportKey('spki', pair().publicKey)),
      '',
    ];
    for (const secret of secrets) {
      const token = `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
      expect(await verify(pair(), token)).toBeNull();
      const underOurHeader = `${headerSegment(headerOf(pair()))}.${token.split('.').slice(1).join('.')}`;
      expect(await verify(pair(), underOurHeader)).toBeNull();
    }
    for (const other of pairs.values()) {
      if (other === pair()) continue;
      expect(await verify(pair(), await sign(other))).toBeNull();
      const confused = await signParts(other, JSON.stringify(headerOf(pair())), JSON.stringify(claims));
      expect(await verify(pair(), confused)).toBeNull();
    }
  });
});

test('the header says nothing but what the key says, in one spelling', async () => {
  const right = headerOf(es256);
  const { publicJwk } = es256;
  const headers: [string, string][] = [
    ['alg none', JSON.stringify({ ...right, alg: 'none' })],
    ['alg None', JSON.stringify({ ...right, alg: 'None' })],
    ['alg es256', JSON.stringify({ ...right, alg: 'es256' })],
    ['alg ES384', JSON.stringify({ ...right, alg: 'ES384' })],
    ['no alg', JSON.stringify({ kid: right.kid, typ: right.typ })],
    ['no kid', JSON.stringify({ alg: right.alg, typ: right.typ })],
    ['no typ', JSON.stringify({ alg: right.alg, kid: right.kid })],
    ['an ID token', JSON.stringify({ ...right, typ: 'JWT' })],
    ['typ in capitals', JSON.stringify({ ...right, typ: 'AT+JWT' })],
    ['typ as a media type', JSON.stringify({ ...right, typ: 'application/at+jwt' })],
    ['a logout token', JSON.stringify({ ...right, typ: 'logout+jwt' })],
    ['another kid', JSON.stringify({ ...right, kid: 'sig_other' })],
    ['a kid that is a path', JSON.stringify({ ...right, kid: '../../dev/null' })],
    ['a kid that is no text', JSON.stringify({ ...right, kid: [right.kid] })],
    ['crit', JSON.stringify({ ...right, crit: ['exp'], exp: 1 })],
    ['an empty crit', JSON.stringify({ ...right, crit: [] })],
    ['crit of b64', JSON.stringify({ ...right, crit: ['b64'], b64: true })],
    ['b64', JSON.stringify({ ...right, b64: false, crit: ['b64'] })],
    ['a key of its own', JSON.stringify({ ...right, jwk: publicJwk })],
    ['a URL of keys', JSON.stringify({ ...right, jku: 'https://evil.example/jwks.json' })],
    ['a certificate', JSON.stringify({ ...right, x5c: ['MIIB'] })],
    ['compressed', JSON.stringify({ ...right, zip: 'DEF' })],
    ['a member twice', JSON.stringify(right).replace('{', '{"alg":"none",')],
    ['white space', JSON.stringify(right, null, 1)],
    ['another order', JSON.stringify({ typ: right.typ, alg: right.alg, kid: right.kid })],
    ['an array', '[]'],
    ['no JSON', 'at+jwt'],
    ['nothing', '{}'],
  ];
  for (const [about, header] of headers)
    expect(await verify(es256, await signParts(es256, header, JSON.stringify(claims))), about).toBeNull();
});

test('an unsigned token is none, however it says so', async () => {
  const payload = base64url(JSON.stringify(claims));
  const header = headerSegment(headerOf(es256));
  for (const alg of ['none', 'NONE', 'nOnE', '']) {
    const none = base64url(JSON.stringify({ ...headerOf(es256), alg }));
    for (const token of [`${none}.${payload}.`, `${none}.${payload}`, `${none}.${payload}.AA`])
      expect(await verify(es256, token)).toBeNull();
  }
  for (const token of [`${header}.${payload}.`, `${header}.${payload}`, `${header}..AA`, '..', '.', ''])
    expect(await verify(es256, token)).toBeNull();
  // Neither are ECDSA's zero signature (CVE-2022-21449), one of another length, or DER.
  for (const signature of [
    Buffer.alloc(64),
    Buffer.alloc(63),
    Buffer.alloc(65),
    Buffer.from('3006020100020100', 'hex'),
  ])
    expect(await verify(es256, `${header}.${payload}.${signature.toString('base64url')}`)).toBeNull();
});

test('the claims are what this issuer says of an access token that holds now', async () => {
  const without = (name: string) =>
    Object.fromEntries(Object.entries(claims).filter(([key]) => key !== name));
  const payloads: [string, object][] = [
    ...['iss', 'sub', 'aud', 'exp', 'iat', 'jti', 'client_id', 'environment'].map(
      (name): [string, object] => [`no ${name}`, without(name)],
    ),
    ...['iss', 'sub', 'aud', 'jti', 'client_id', 'sid', 'scope'].flatMap((name): [string, object][] =>
      [null, 1, '', {}, [''], [null]].map((value) => [
        `${name} ${JSON.stringify(value)}`,
        { ...claims, [name]: value },
      ]),
    ),
    ...['exp', 'iat', 'auth_time'].flatMap((name): [string, object][] =>
      [null, '1', String(now + 600), 1.5, -1, {}, [now + 600]].map((value) => [
        `${name} ${JSON.stringify(value)}`,
        { ...claims, [name]: value },
      ]),
    ),
    ['an expired one', { ...claims, exp: now }],
    ['one of long ago', { ...claims, exp: 0 }],
    ['not yet', { ...claims, nbf: now + 1 }],
    ['nbf that is no number', { ...claims, nbf: '0' }],
    ['another issuer', { ...claims, iss: 'https://id.example.com/i_1111111111111111111111111' }],
    ['the issuer with a slash', { ...claims, iss: `${issuer}/` }],
    ['the issuer in capitals', { ...claims, iss: issuer.toUpperCase() }],
    ['several issuers', { ...claims, iss: [issuer] }],
    ['an empty audience', { ...claims, aud: [] }],
    ['a third environment', { ...claims, environment: 'LIVE' }],
  ];
  for (const [about, payload] of payloads)
    expect(await verify(es256, await sign(es256, payload)), about).toBeNull();
  const token = await sign(es256);
  expect(await verify(es256, token, { nowMs: nowMs + 599_999 })).toEqual(claims);
  expect(await verify(es256, token, { nowMs: nowMs + 600_000 })).toBeNull();
  expect(await verify(es256, token, { issuer: `${issuer}1` })).toBeNull();
});

test('an audience that is asked for has to be among the token’s', async () => {
  const both = await sign(es256, { ...claims, aud: ['https://a.example', 'https://b.example'] });
  expect(await verify(es256, both, { audience: 'https://b.example' })).not.toBeNull();
  for (const audience of [
    'https://b.example/',
    'https://c.example',
    'https://a.example,https://b.example',
    '',
  ])
    expect(await verify(es256, both, { audience })).toBeNull();
  const one = await sign(es256);
  expect(await verify(es256, one, { audience: issuer })).not.toBeNull();
  expect(await verify(es256, one, { audience: issuer.slice(0, -1) })).toBeNull();
});

test('a claim that stands twice is refused, whichever of the two a reader would take', async () => {
  const header = JSON.stringify(headerOf(es256));
  const right = JSON.stringify(claims);
  for (const payload of [
    right.replace('{', '{"sub":"usr_admin",'),
    right.replace(/\}$/, ',"sub":"usr_1"}'),
    right.replace('{', '{"exp":9999999999,'),
    right.replace('{', '{"\\u0073ub":"usr_admin",'),
    right.replace('{', '{ '),
    right.replace('"usr_1"', '"\\u0075sr_1"'),
    right.replace(`"iat":${now}`, `"iat":${now}.0`),
    `${right} `,
    `\ufeff${right}`,
    'null',
    '[]',
    '"text"',
    '',
    right.slice(0, -1),
  ])
    expect(await verify(es256, await signParts(es256, header, payload)), payload).toBeNull();
});

test('a token of 8 KiB is read and a longer one is not even decoded', async () => {
  const lengthOf = (length: number) => ({ ...claims, scope: 'x'.repeat(length) });
  const fits = await sign(es256, lengthOf(5_500));
  expect(fits.length).toBeLessThanOrEqual(8192);
  expect(await verify(es256, fits)).not.toBeNull();
  const header = JSON.stringify(headerOf(es256));
  const oversized = await signParts(es256, header, JSON.stringify(lengthOf(6_500)));
  expect(oversized.length).toBeGreaterThan(8192);
  expect(await verify(es256, oversized)).toBeNull();
  await expect(sign(es256, lengthOf(6_500))).rejects.toThrow(/characters/);
  const huge = 'x'.repeat(10_000_000);
  for (const token of [huge, `${huge}.${huge}.${huge}`, '.'.repeat(1_000_000)])
    expect(await verify(es256, token)).toBeNull();
});

test('whatever claims are signed, they come back as they were', async () => {
  const extra = fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 3 }), { maxKeys: 5 });
  await fc.assert(
    fc.asyncProperty(extra, async (members) => {
      const { nbf: _nbf, scope: _scope, ...others } = members;
      const payload = JSON.parse(JSON.stringify({ ...others, ...claims })) as object;
      if (JSON.stringify(payload).length > 4_000) return;
      expect(await verify(es256, await sign(es256, payload))).toEqual(payload);
    }),
    { numRuns: scaled(50, 1_000) },
  );
});

test('no text makes it throw', async () => {
  await fc.assert(
    fc.asyncProperty(fc.oneof(fc.string(), fc.string({ unit: 'binary' })), async (text) => {
      expect(await verify(es256, text)).toBeNull();
      expect(await verify(es256, `${headerSegment(headerOf(es256))}.${text}`)).toBeNull();
      expect(
        await verify(es256, `${headerSegment(headerOf(es256))}.${base64url(text)}.${base64url(text)}`),
      ).toBeNull();
    }),
    { numRuns: scaled(100, 2_000) },
  );
});
