import { createRemoteJWKSet, type JWTPayload, jwtVerify } from 'jose';
import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { freePort } from '../../test/harness/process.ts';
import { exchange, send } from '../../test/harness/raw-http.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { SqlLog } from '../../test/harness/sql-log.ts';
import { succeeded } from '../../test/harness/test-issuer.ts';
import { idPrefixes, newId } from '../ids/ids.ts';
import { issuerUrl } from '../issuers/issuer-url.ts';
import { longestTokenSeconds } from '../tokens/token-life.ts';
import { signingAlgorithms } from './signing-key.ts';

const clock = new TestClock();
// On a port of its own choosing, so that the URLs in its documents lead to it.
const port = await freePort();
const publicUrl = `http://127.0.0.1:${port}`;
const server = await startTestServer({
  clock,
  env: { GATELODGE_PORT: String(port), GATELODGE_PUBLIC_URL: publicUrl },
});
const rows = await Rows.open(server.database);
const sql = new SqlLog(server);
afterAll(async () => {
  sql.close();
  await rows.close();
  await server.close();
});
const { api } = await createCustomer(server);
const { signingKeys, settings } = server.running.services;
const leadSeconds = 930;

const paths = ['/jwks.json', '/.well-known/openid-configuration'] as const;
const createIssuer = async (members = {}): Promise<string> =>
  (await api.create('/v1/issuers', { name: 'Acme API', ...members })).id;
const issuerId = await createIssuer();
const at = (path: string) => `${server.url}${path}`;

/** A token as sessions make it. */
function sign(id: string, seconds = 600): Promise<string> {
  const now = clock.nowMs() / 1000;
  const iss = issuerUrl(settings, id);
  const claims = { iss, sub: 'usr_1', aud: iss, exp: now + seconds, iat: now, jti: 'a', client_id: 'otp' };
  return signingKeys.sign({ id }, { ...claims, environment: 'live' }, 'at+jwt');
}

/** Somebody's API, which knows no more of us than the issuer's URL. */
class ResourceServer {
  readonly #iss: string;
  #keys: ReturnType<typeof createRemoteJWKSet> | undefined;

  constructor(id: string) {
    this.#iss = `${publicUrl}/${id}`;
  }

  async accepts(token: string): Promise<JWTPayload> {
    if (this.#keys === undefined) {
      const answer = await fetch(`${this.#iss}/.well-known/openid-configuration`);
      const { issuer, jwks_uri } = (await answer.json()) as { issuer: string; jwks_uri: string };
      expect(issuer).toBe(this.#iss);
      // No second look at a key set that has been read: what it lacks has to have been in it by then.
      this.#keys = createRemoteJWKSet(new URL(jwks_uri), { cooldownDuration: 3_600_000 });
    }
    const { payload } = await jwtVerify(token, this.#keys, {
      issuer: this.#iss,
      audience: this.#iss,
      typ: 'at+jwt',
      currentDate: clock.now(),
    });
    return payload;
  }
}

describe('a library that is given the issuer’s URL', () => {
  test.each(signingAlgorithms)('verifies a token of %s through discovery', async (algorithm) => {
    const id = await createIssuer();
    if (algorithm !== 'ES256') {
      await api.create(`/v1/issuers/${id}/signing-keys/rotate`, { algorithm });
      clock.advance(leadSeconds);
    }
    const token = await sign(id);
    expect(JSON.parse(Buffer.from(token.split('.')[0]!, 'base64url').toString())).toEqual({
      alg: algorithm,
      kid: expect.stringMatching(/^sig_/),
      typ: 'at+jwt',
    });
    expect(await new ResourceServer(id).accepts(token)).toMatchObject({ sub: 'usr_1' });
    const verdict = await signingKeys.verify(id, token, clock.nowMs());
    expect(verdict).toMatchObject({ ok: true, claims: { sub: 'usr_1' } });
  });

  test('verifies every token across a rotation with the key set that it has read before the new key signed', async () => {
    const id = await createIssuer();
    const early = new ResourceServer(id);
    const old = await sign(id, longestTokenSeconds);
    await early.accepts(old);
    await api.create(`/v1/issuers/${id}/signing-keys/rotate`);
    const reader = new ResourceServer(id);
    const kids = new Set<string>();
    let last = old;
    for (let seconds = 0; seconds < 2 * leadSeconds; seconds += 93) {
      last = await sign(id, longestTokenSeconds);
      kids.add(JSON.parse(Buffer.from(last.split('.')[0]!, 'base64url').toString()).kid);
      await reader.accepts(last);
      clock.advance(93);
    }
    expect(kids.size).toBe(2);
    clock.advance(longestTokenSeconds - 2 * leadSeconds - 93);
    expect(await new ResourceServer(id).accepts(old)).toMatchObject({ sub: 'usr_1' });
    clock.advance(2 * leadSeconds + 1200);
    const { keys } = (await (await fetch(`${publicUrl}/${id}/jwks.json`)).json()) as {
      keys: { kid: string }[];
    };
    expect(keys.map(({ kid }) => kid)).toEqual([[...kids][1]]);
  });

  test('takes no token of one issuer for another’s, nor a sandbox twin’s for the live one’s', async () => {
    const twin = (await api.create(`/v1/issuers/${issuerId}/sandbox-issuer`)).id;
    const other = await createIssuer();
    for (const [own, foreign] of [
      [issuerId, twin],
      [twin, issuerId],
      [issuerId, other],
    ] as const) {
      const token = await sign(foreign);
      await expect(new ResourceServer(own).accepts(token)).rejects.toThrow();
      expect(await signingKeys.verify(own, token, clock.nowMs())).toEqual({ ok: false });
      // Attack: signed by the one, saying that it is the other's.
      const iss = issuerUrl(settings, own);
      const now = clock.nowMs() / 1000;
      const claims = { iss, sub: 'usr_1', aud: iss, exp: now + 600, iat: now, jti: 'a', client_id: 'otp' };
      const forged = await signingKeys.sign({ id: foreign }, { ...claims, environment: 'live' }, 'at+jwt');
      await expect(new ResourceServer(own).accepts(forged)).rejects.toThrow();
      expect(await signingKeys.verify(own, forged, clock.nowMs())).toEqual({ ok: false });
      expect(await signingKeys.verify(foreign, forged, clock.nowMs())).toEqual({ ok: false });
    }
  });
});

describe.each(paths)('GET /{issuer_id}%s', (path) => {
  test('200 for anybody and any page, to be kept for a while', async () => {
    for (const origin of [undefined, 'null', 'https://evil.example']) {
      const answer = await send(at(`/${issuerId}${path}?a=b`), { headers: origin ? { Origin: origin } : {} });
      expect(answer.status).toBe(200);
      expect(answer.headers).toMatchObject({
        'content-type': 'application/json; charset=utf-8',
        'cache-control': 'public, max-age=300',
        etag: expect.stringMatching(/^"[\w-]{22}"$/),
        'access-control-allow-origin': '*',
        'x-content-type-options': 'nosniff',
        'x-request-id': expect.any(String),
        'content-length': String(Buffer.byteLength(answer.text)),
      });
      expect(answer.headers['access-control-allow-credentials']).toBeUndefined();
      expect(answer.headers['set-cookie']).toBeUndefined();
    }
  });

  test('304 for who has it already, without a body or a length of one', async () => {
    const { headers, text } = await send(at(`/${issuerId}${path}`));
    const etag = headers.etag!;
    for (const known of [etag, `W/${etag}`, `"x", ${etag}`, '*', `"x",W/${etag} ,"y"`]) {
      const answer = await send(at(`/${issuerId}${path}`), { headers: { 'If-None-Match': known } });
      expect([answer.status, answer.text]).toEqual([304, '']);
      expect(answer.headers).toMatchObject({ etag, 'cache-control': 'public, max-age=300' });
      expect(answer.headers['content-length']).toBeUndefined();
      expect(answer.headers['access-control-allow-origin']).toBe('*');
    }
    for (const unknown of ['"x"', etag.slice(1, -1), '', 'W/"x"', '"']) {
      const answer = await send(at(`/${issuerId}${path}`), { headers: { 'If-None-Match': unknown } });
      expect([answer.status, answer.text]).toEqual([200, text]);
    }
  });

  test('HEAD answers the same without the body', async () => {
    const get = await send(at(`/${issuerId}${path}`));
    const head = await send(at(`/${issuerId}${path}`), { method: 'HEAD' });
    expect([head.status, head.text]).toEqual([200, '']);
    for (const name of ['content-length', 'etag', 'cache-control', 'content-type'])
      expect(head.headers[name]).toBe(get.headers[name]);
  });

  test('OPTIONS says what there is, and a preflight of any page is told yes', async () => {
    const options = await send(at(`/${issuerId}${path}`), { method: 'OPTIONS' });
    expect([options.status, options.headers.allow]).toEqual([204, 'GET, HEAD, OPTIONS']);
    sql.clear();
    const preflight = await send(at(`/${newId(idPrefixes.issuer)}${path}`), {
      method: 'OPTIONS',
      headers: {
        Origin: 'https://app.example.com',
        'Access-Control-Request-Method': 'GET',
        'Access-Control-Request-Headers': 'x-anything',
      },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers).toMatchObject({
      'access-control-allow-origin': '*',
      'access-control-allow-methods': 'GET, HEAD, OPTIONS',
      'access-control-allow-headers': '*',
    });
    expect(sql.lookups).toEqual([]);
  });

  test.each(['POST', 'PUT', 'PATCH', 'DELETE', 'QUERY'])('405 for %s', async (method) => {
    const answer = await send(at(`/${issuerId}${path}`), { method, body: 'x' });
    expect([answer.status, answer.body.code]).toEqual([405, 'method_not_allowed']);
    expect(answer.headers.allow).toBe('GET, HEAD, OPTIONS');
    expect(answer.headers['access-control-allow-origin']).toBe('*');
    expect(answer.headers['cache-control']).toBe('no-store');
  });

  test('404 for an id that nothing has, and the same for what no id can be, as no answer to be kept', async () => {
    const deleted = await createIssuer();
    expect((await send(at(`/${deleted}${path}`))).status).toBe(200);
    succeeded(await api.delete(`/v1/issuers/${deleted}`));
    const unknown = newId(idPrefixes.issuer);
    const answers = [];
    for (const id of [
      unknown,
      deleted,
      'i_',
      `${issuerId}0`,
      issuerId.slice(0, -1),
      issuerId.toUpperCase(),
      'x',
      'v2',
      '%69_1',
    ]) {
      const answer = await send(at(`/${id}${path}`), { headers: { 'X-Request-Id': 'same' } });
      const { date: _date, ...headers } = answer.headers;
      answers.push({ status: answer.status, headers, text: answer.text });
      expect(answer.text).not.toContain(id === 'x' ? '/x' : id);
    }
    for (const answer of answers) expect(answer).toEqual(answers[0]);
    expect(answers[0]).toMatchObject({
      status: 404,
      headers: { 'cache-control': 'no-store', 'access-control-allow-origin': '*' },
    });
    expect(JSON.parse(answers[0]!.text).code).toBe('not_found');
  });

  test('of a suspended issuer it stays: its tokens elsewhere end by themselves', async () => {
    const suspended = await createIssuer();
    const before = await send(at(`/${suspended}${path}`));
    succeeded(await api.post(`/v1/issuers/${suspended}/suspend`));
    expect((await send(at(`/${suspended}${path}`))).text).toBe(before.text);
  });
});

test('what is no path of an issuer’s is a route that there is none of', async () => {
  for (const path of [
    `/${issuerId}`,
    `/${issuerId}/`,
    `/${issuerId}/jwks`,
    `/${issuerId}/jwksAjson`,
    `/${issuerId}//jwks.json`,
    `/${issuerId}/jwks.json/`,
    `/${issuerId}/auth/nothing`,
    `/${issuerId}/${issuerId}/jwks.json`,
    '/jwks.json',
    '/auth/jwks.json',
    '/.well-known/openid-configuration',
  ]) {
    const answer = await send(at(path));
    expect([path, answer.status, answer.body.code]).toEqual([path, 404, 'route_not_found']);
    expect(answer.headers['content-type']).toBe('application/problem+json');
  }
});

test('no byte of the request’s host, scheme or proxies reaches a document', async () => {
  // Attack: whoever asks in the name of a proxy has discovery, and whoever caches it, point at a host of its own.
  const marker = 'evil.example';
  const forged = {
    Host: marker,
    'X-Forwarded-Host': marker,
    'X-Forwarded-Proto': 'gopher',
    'X-Forwarded-For': marker,
    'X-Forwarded-Port': '1',
    'X-Forwarded-Prefix': `/${marker}`,
    'X-Original-URL': `https://${marker}/`,
    'X-Rewrite-URL': `https://${marker}/`,
    Forwarded: `host=${marker};proto=gopher`,
  };
  for (const path of paths) {
    const honest = await send(at(`/${issuerId}${path}`), { headers: { 'X-Request-Id': 'same' } });
    const asked = await send(at(`/${issuerId}${path}?iss=https://${marker}`), {
      headers: { ...forged, 'X-Request-Id': 'same' },
    });
    const { date: _a, ...told } = asked.headers;
    const { date: _b, ...expected } = honest.headers;
    expect([asked.status, told, asked.text]).toEqual([200, expected, honest.text]);
    const absolute = await exchange(
      server.url,
      `GET http://${marker}/${issuerId}${path} HTTP/1.1\r\nHost: ${marker}\r\nConnection: close\r\n\r\n`,
    );
    expect(absolute).toContain(honest.text);
    expect(absolute).not.toContain(marker);
  }
});

describe('a flood of strangers', () => {
  test('that names the same issuer costs no SQL once it is known, be it there or not', async () => {
    const known = await createIssuer();
    const unknown = newId(idPrefixes.issuer);
    const malformed = 'i_x';
    const ask = () =>
      Promise.all(
        [known, unknown, malformed].flatMap((id) => paths.map((path) => send(at(`/${id}${path}`)))),
      );
    await ask();
    sql.clear();
    for (let round = 0; round < 20; round++)
      expect((await ask()).map(({ status }) => status)).toEqual([200, 200, 404, 404, 404, 404]);
    expect(sql.lookups.filter(({ text }) => /lookup_(issuer|signing_keys)/.test(text))).toEqual([]);
  });

  test('that comes at once for a cold issuer is one look-up of each kind', async () => {
    const cold = await createIssuer();
    sql.clear();
    const answers = await Promise.all(Array.from({ length: 50 }, () => send(at(`/${cold}/jwks.json`))));
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
    const texts = sql.lookups
      .map(({ text }) => text)
      .filter((text) => /lookup_(issuer_v2|signing_keys)/.test(text));
    expect(texts.length).toBe(2);
  });
});
