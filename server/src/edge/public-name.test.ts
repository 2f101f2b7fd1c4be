import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { freePort } from '../../test/harness/process.ts';
import { send } from '../../test/harness/raw-http.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { TestIssuer } from '../../test/harness/test-issuer.ts';

const port = await freePort();
const publicUrl = `http://localhost:${port}`;
const server = await startTestServer({
  env: { GATELODGE_PORT: String(port), GATELODGE_PUBLIC_URL: publicUrl },
});
const elsewhere = await startTestServer({
  nodeOf: server,
  env: { GATELODGE_PUBLIC_URL: 'https://login.example' },
});
afterAll(async () => {
  await elsewhere.close();
  await server.close();
});
const { api } = await createCustomer(server);
const { id } = await TestIssuer.create(server, {}, {}, api);

const browser = { Accept: 'text/html', 'Sec-Fetch-Mode': 'navigate' };
/** Where a browser is sent that asks for this by this name. */
async function sentTo(host: string, path: string, headers: object = browser, url = server.url) {
  const answer = await send(url + path, { method: 'GET', headers: { ...headers, Host: host } });
  return answer.headers.location ?? answer.status;
}

describe('a page that is opened by another name of this machine', () => {
  test.each([
    [`127.0.0.1:${port}`, `/${id}/authorize?client_id=x&state=a%20b`],
    [`[::1]:${port}`, `/${id}/login/some-uid?q=%2F%2Fevil.example`],
    [`127.0.0.1:${port}`, `/${id}/logout?client_id=x`],
    [`127.0.0.1:${port}`, `/${id}/device?user_code=BBBB`],
  ])('goes on at the public one, which its cookies are for: %s%s', async (host, path) => {
    expect(await sentTo(host, path)).toBe(publicUrl + path);
  });

  // A forged Host leads nowhere, and what has the public name already is answered.
  test.each([
    `localhost:${port}`,
    `LOCALHOST:${port}`,
    '127.0.0.1:1',
    '127.0.0.1',
    `evil.example:${port}`,
    `localhost.evil.example:${port}`,
    `127.0.0.1:${port}@evil.example`,
  ])('is answered where it is: %s', async (host) => {
    expect(await sentTo(host, `/${id}/login/some-uid`)).toBe(404);
  });

  test('is answered to programs, and to who comes by a proxy', async () => {
    const path = `/${id}/login/some-uid`;
    const host = `127.0.0.1:${port}`;
    expect(await sentTo(host, path, { Accept: 'text/html' })).toBe(404);
    expect(await sentTo(host, path, { ...browser, 'X-Forwarded-Host': 'localhost' })).toBe(404);
    expect(await sentTo(host, `/${id}/jwks.json`)).toBe(200);
  });

  test('is answered where the public URL is no name of this machine', async () => {
    const { port: other } = new URL(elsewhere.url);
    expect(await sentTo(`127.0.0.1:${other}`, `/${id}/login/some-uid`, browser, elsewhere.url)).toBe(404);
  });
});
