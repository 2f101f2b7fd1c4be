import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { send } from '../../test/harness/raw-http.ts';
import { startTestServer, type TestServer } from '../../test/harness/server.ts';

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.close());

const bearer = () => ({ Authorization: `Bearer ${server.operator.key.secret}` });

describe('a key in the URL', () => {
  // What is in a URL ends up in logs and histories: whoever puts a key there has to hear of it the first time.
  test('is refused on every operation, also beside a right one in its header', async () => {
    const { secret } = server.demo.key;
    for (const query of [
      `key=${secret}`,
      `search=${secret}`,
      `limit=1&x=${encodeURIComponent(secret)}`,
      'api_key=x',
      'API_KEY=x',
      'access_token=',
    ]) {
      for (const [method, path] of [
        ['POST', '/v1/keys/verify'],
        ['GET', '/v1/issuers'],
        ['POST', '/v1/issuers'],
        ['GET', `/v1/issuers/${server.demo.issuerId}/organizations`],
        ['DELETE', `/v1/issuers/${server.demo.issuerId}`],
      ] as const) {
        for (const headers of [bearer(), {}]) {
          const answer = await send(`${server.url}${path}?${query}`, { method, headers });
          expect([path, query, answer.status, answer.body.code]).toEqual([
            path,
            query,
            401,
            'ambiguous_credentials',
          ]);
          expect(answer.headers['www-authenticate']).toBeDefined();
          expect(answer.text).not.toContain(secret);
        }
      }
    }
    expect(
      (await send(`${server.url}/v1/issuers/${server.demo.issuerId}`, { headers: bearer() })).status,
    ).toBe(200);
  });

  test('is not what words to search for are taken for', async () => {
    for (const query of [
      'search=api_key',
      'search=sk_live',
      'search=gl_live_sk_',
      'search=acme%20access_token&limit=5',
    ]) {
      const answer = await send(`${server.url}/v1/issuers?${query}`, { headers: bearer() });
      expect([query, answer.status]).toEqual([query, 200]);
    }
  });

  test('nor is a cursor', async () => {
    await server.operator.api.create('/v1/issuers', { name: 'one more' });
    let path = '/v1/issuers?limit=1';
    let pages = 0;
    for (; pages < 5; pages++) {
      const { status, body } = await send(server.url + path, { headers: bearer() });
      expect(status).toBe(200);
      if (body.next_cursor === null) break;
      path = `/v1/issuers?limit=1&cursor=${encodeURIComponent(body.next_cursor)}`;
    }
    expect(pages).toBeGreaterThan(0);
  });
});
