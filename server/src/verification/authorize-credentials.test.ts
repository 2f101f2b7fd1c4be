import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../../test/harness/server.ts';
import { TestIssuer } from '../../test/harness/test-issuer.ts';

const jwt = 'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ1XzEifQ.c2lnbmF0dXJl';

let server: TestServer;
/** A node on the same database that trusts a proxy on this machine. */
let behindProxy: TestServer;
let standard: TestIssuer;
let otp: TestIssuer;

beforeAll(async () => {
  server = await startTestServer();
  behindProxy = await startTestServer({
    nodeOf: server,
    env: { GATELODGE_TRUSTED_PROXIES: '127.0.0.1/32' },
  });
  standard = await TestIssuer.create(server);
  otp = await TestIssuer.create(server, { preset: 'otp' });
});
afterAll(async () => {
  await behindProxy.close();
  await server.close();
});

async function codeOf(issuer: TestIssuer, headers: Record<string, string | string[]>, query = '') {
  const { status, body } = await issuer.authorize(headers, query);
  return status === 200 ? 'ok' : (body.code as string);
}

describe('two different keys in one request', () => {
  // Attack: gateway and application read different headers; the one checks the attacker's key, the other acts on the
  // victim's.
  test('are ambiguous, in two headers or in one that is repeated, whichever is valid', async () => {
    const one = (await standard.createKey()).secret;
    const others = [(await standard.createKey()).secret, `gl_live_sk_${'0'.repeat(44)}`, 'x'];
    for (const other of others) {
      for (const [first, second] of [
        [one, other],
        [other, one],
      ] as const) {
        for (const headers of [
          { Authorization: `Bearer ${first}`, 'X-API-Key': second },
          { 'X-API-Key': [first, second] },
          { Authorization: [`Bearer ${first}`, `Bearer ${second}`] },
          { 'X-API-Key': `${first}, ${second}` },
        ]) {
          expect(await codeOf(standard, headers)).toBe('ambiguous_credentials');
        }
      }
    }
  });

  test('are ambiguous in the other dialects too', async () => {
    const [one, other] = [(await otp.createKey()).secret, (await otp.createKey()).secret];
    const answer = await otp.authorize({ 'X-OTP-API-Key': [one, other] });
    expect(answer.status).toBe(401);
    expect(answer.text).toBe('{"error":"Ambiguous credentials","code":"UNAUTHORIZED"}');
  });

  test('but the same key twice is one key', async () => {
    const { secret } = await standard.createKey();
    for (const headers of [
      { Authorization: `Bearer ${secret}`, 'X-API-Key': secret },
      { 'X-API-Key': [secret, secret] },
      { 'X-API-Key': [secret, ''] },
      { Authorization: '', 'X-API-Key': secret },
    ]) {
      expect(await codeOf(standard, headers)).toBe('ok');
    }
  });

  test('and what is no key header of the profile is none of our business', async () => {
    const { secret } = await otp.createKey();
    const other = (await otp.createKey()).secret;
    const headers = { 'X-OTP-API-Key': secret, 'X-API-Key': other, Authorization: `Bearer ${other}` };
    expect(await codeOf(otp, headers)).toBe('ok');
  });
});

describe('Authorization', () => {
  test('with a JWT beside a key is the application’s own', async () => {
    const { secret } = await standard.createKey();
    expect(await codeOf(standard, { Authorization: `Bearer ${jwt}`, 'X-API-Key': secret })).toBe('ok');
    const other = (await otp.createKey()).secret;
    expect(await codeOf(otp, { Authorization: `Bearer ${jwt}`, 'X-OTP-API-Key': other })).toBe('ok');
  });

  test('with a JWT alone presents no key', async () => {
    expect(await codeOf(standard, { Authorization: `Bearer ${jwt}` })).toBe('missing_key');
  });

  test('with something else beside a key is ambiguous, alone it is no valid key', async () => {
    const { id, secret } = await standard.createKey();
    const basic = `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`;
    for (const authorization of ['Bearer opaque-token', basic, 'Token x', 'Bearer', secret]) {
      expect(await codeOf(standard, { Authorization: authorization })).toBe('invalid_key');
      expect(await codeOf(standard, { Authorization: authorization, 'X-API-Key': secret })).toBe(
        'ambiguous_credentials',
      );
    }
  });
});

describe('a key in the query', () => {
  // Attack: URLs end up in logs, histories and Referer headers, so a key in one has leaked already.
  test('is refused, whatever the parameter is called, with a key in a header or without', async () => {
    const { secret } = await standard.createKey();
    for (const query of [
      `?api_key=${secret}`,
      `?X-API-Key=${secret}`,
      `?x-api-key=`,
      `?access_token=${jwt}`,
      `?apikey=x`,
      `?anything=${secret}`,
      `?a=b&c=${secret}&d=e`,
      `?anything=${secret.replace('_', '%5F')}`,
      `?scope=invoices:read&api%5Fkey=x`,
    ]) {
      expect([query, await codeOf(standard, { 'X-API-Key': secret }, query)]).toEqual([
        query,
        'ambiguous_credentials',
      ]);
      expect([query, await codeOf(standard, {}, query)]).toEqual([query, 'ambiguous_credentials']);
    }
  });

  test('is told by the profile’s own names and beginnings', async () => {
    const { secret } = await otp.createKey();
    const ask = async (query: string) => (await otp.authorize({ 'X-OTP-API-Key': secret }, query)).status;
    expect(await ask('?x-otp-api-key=1')).toBe(401);
    expect(await ask(`?token=${secret}`)).toBe(401);
  });

  // Attack on oneself: a gateway is set up with `?scopes=` for `?scope=`, and nothing is demanded any more.
  test('beside the demands there are is refused, however harmless it looks', async () => {
    const { secret } = await otp.createKey();
    for (const query of [
      '?scopes=invoices:read',
      '?key=otp_live_sk_short',
      '?page=2',
      '?status=429',
      '?Scope=a:b',
    ]) {
      expect((await otp.authorize({ 'X-OTP-API-Key': secret }, query)).status).toBe(422);
    }
  });

  test('of the original request counts too, by the word of a trusted proxy', async () => {
    const { secret } = await standard.createKey();
    const headers = (uri: string) => ({
      'X-API-Key': secret,
      'X-Forwarded-Uri': uri,
      'X-Forwarded-Proto': 'https',
    });
    const trusting = standard.at(behindProxy);
    for (const uri of [`/invoices?api_key=${secret}`, `/?x=${secret}`, `https://api.example/?apikey=x`]) {
      expect(await codeOf(trusting, headers(uri))).toBe('ambiguous_credentials');
      // Anybody else could make requests of others fail, or believe to have had theirs checked.
      expect(await codeOf(standard, headers(uri))).toBe('ok');
    }
    expect(await codeOf(trusting, headers('/invoices?page=2'))).toBe('ok');
    expect(await codeOf(trusting, headers(`/invoices/${secret}`))).toBe('ok');
    expect(await codeOf(trusting, { 'X-API-Key': secret, 'X-Forwarded-Proto': 'https' })).toBe('ok');
  });
});
