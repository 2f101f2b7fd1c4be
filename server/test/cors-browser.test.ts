import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Browser, Frame, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { launchChromium } from './harness/chromium.ts';
import { startTestServer, type TestServer } from './harness/server.ts';
import { createKey, succeeded, TestIssuer, type TestKey } from './harness/test-issuer.ts';

let server: TestServer;
let pages: Server;
let browser: Browser;
/** A page on the origin that the keys of these tests are for, and one on an origin that they are not for. */
let own: Page;
let other: Page;
let ownOrigin: string;
let otherOrigin: string;

beforeAll(async () => {
  server = await startTestServer();
  pages = createServer((_request, response) => {
    response.setHeader('Content-Type', 'text/html');
    // A sandboxed frame has the origin `null`.
    response.end(
      '<!doctype html><title>page</title><iframe sandbox="allow-scripts" srcdoc="frame"></iframe>',
    );
  });
  await new Promise<void>((resolve) => pages.listen(0, '127.0.0.1', resolve));
  const { port } = pages.address() as AddressInfo;
  ownOrigin = `http://127.0.0.1:${port}`;
  otherOrigin = `http://localhost:${port}`;
  browser = await launchChromium();
  [own, other] = [await browser.newPage(), await browser.newPage()];
  await own.goto(ownOrigin);
  await other.goto(otherOrigin);
});
afterAll(async () => {
  await browser?.close();
  pages?.closeAllConnections();
  pages?.close();
  await server?.close();
});

type PageRequest = Pick<RequestInit, 'method' | 'credentials'> & {
  headers?: Record<string, string>;
  body?: string;
};

/** What a script on the page can make out of the answer; null where the browser keeps it from it. */
type Seen = {
  status: number;
  environment: string | null;
  requestId: string | null;
  keyId: string | null;
  body: string;
} | null;

function fetchFrom(page: Page | Frame, path: string, init: PageRequest = {}): Promise<Seen> {
  return page.evaluate(
    async ([url, options]) => {
      try {
        const response = await fetch(url, options);
        return {
          status: response.status,
          environment: response.headers.get('X-Environment'),
          requestId: response.headers.get('X-Request-Id'),
          keyId: response.headers.get('X-Gatelodge-Key-Id'),
          body: await response.text(),
        };
      } catch {
        return null;
      }
    },
    [server.url + path, init] as const,
  );
}

const verifying = (authorization: string, body: unknown): PageRequest => ({
  method: 'POST',
  headers: { Authorization: authorization, 'Content-Type': 'application/json' },
  body: JSON.stringify(body),
});

/** Keys, and a way to ask about each of the operations that pages may call: with a key of a page's own. */
async function prepare(restrictions: Record<string, unknown>) {
  const issuer = await TestIssuer.create(server, { preset: 'otp' });
  const publishable = (members = {}) => issuer.createKey({ kind: 'publishable', restrictions, ...members });
  const caller = await createKey(server.operator.api, '/v1/api-keys', { restrictions });
  return { issuer, publishable, caller };
}

describe('a page on an allowed origin', () => {
  test('reads X-Environment from a 200 of /v1/authorize, and no identity meant for gateways', async () => {
    const { issuer, publishable } = await prepare({ origins: [ownOrigin] });
    for (const [environment, label] of [
      ['live', 'LIVE'],
      ['sandbox', 'SANDBOX'],
    ]) {
      const { secret } = await publishable({ environment });
      const seen = await fetchFrom(own, `/v1/authorize/${issuer.id}`, {
        headers: { 'X-OTP-API-Key': secret },
      });
      expect(seen).toMatchObject({ status: 200, environment: label, keyId: null });
      expect(seen?.requestId).toMatch(/^req_/);
    }
  });

  test('reads the reason from a 401 of /v1/authorize', async () => {
    const { issuer, publishable } = await prepare({ origins: [ownOrigin] });
    const revoked = await publishable();
    succeeded(await issuer.api.post(`${revoked.path}/revoke`));
    await publishable();
    const ask = (headers: Record<string, string>) =>
      fetchFrom(own, `/v1/authorize/${issuer.id}`, { headers });
    expect(await ask({})).toMatchObject({
      status: 401,
      body: '{"error":"Missing API key","code":"UNAUTHORIZED"}',
    });
    expect(await ask({ 'X-OTP-API-Key': 'otp_sandbox_pk_x' })).toMatchObject({
      status: 401,
      environment: 'SANDBOX',
      body: '{"error":"Invalid API key","code":"UNAUTHORIZED"}',
    });
    expect(await ask({ 'X-OTP-API-Key': revoked.secret })).toMatchObject({
      status: 401,
      environment: 'LIVE',
      body: '{"error":"API key has been revoked","code":"UNAUTHORIZED"}',
    });
  });

  test('reads the reason from a 403 that is not about its origin', async () => {
    const issuer = await TestIssuer.create(server, { preset: 'tenant-header' });
    const tenant = await issuer.createOrganization({ external_id: 'tenant_abc123' });
    const restrictions = { origins: [ownOrigin] };
    const publishable = await issuer.createKey({ kind: 'publishable', restrictions }, tenant.id);
    const secret = await issuer.createKey({ restrictions }, tenant.id);
    const ask = async (key: TestKey, headers: Record<string, string>, query = '') => {
      const seen = await fetchFrom(own, `/v1/authorize/${issuer.id}${query}`, {
        headers: { 'x-api-key': key.secret, ...headers },
      });
      return [seen?.status, seen?.environment, seen?.body && JSON.parse(seen.body).error.code];
    };
    expect(await ask(publishable, { 'x-tn': 'tenant_abc123' })).toEqual([200, 'LIVE', '']);
    expect(await ask(publishable, {})).toEqual([403, 'LIVE', 'tenant_required']);
    expect(await ask(publishable, { 'x-tn': tenant.id }, '?scope=a:read')).toEqual([
      403,
      'LIVE',
      'insufficient_scope',
    ]);
    expect(await ask(secret, { 'x-tn': tenant.id })).toEqual([403, 'LIVE', 'secret_key_in_browser']);
  });

  test('reads who it is from /v1/me, and why it is nobody', async () => {
    const { issuer, publishable } = await prepare({ origins: [ownOrigin] });
    const [key, disabled] = [await publishable({ environment: 'sandbox' }), await publishable()];
    succeeded(await issuer.api.post(`${disabled.path}/disable`));
    const seen = await fetchFrom(own, '/v1/me', { headers: { Authorization: `Bearer ${key.secret}` } });
    expect(seen).toMatchObject({ status: 200, environment: 'SANDBOX' });
    expect(JSON.parse(seen!.body).data.id).toBe(key.id);
    for (const [headers, code] of [
      [{}, 'missing_key'],
      [{ 'X-OTP-API-Key': 'x' }, 'invalid_key'],
      [{ 'X-OTP-API-Key': disabled.secret }, 'disabled_key'],
    ] as const) {
      const refused = await fetchFrom(own, '/v1/me', { headers });
      expect([refused?.status, JSON.parse(refused!.body).code]).toEqual([401, code]);
    }
  });

  test('reads a decision from /v1/keys/verify, and why there is none', async () => {
    const { publishable, caller } = await prepare({ origins: [ownOrigin] });
    const subject = await publishable({ environment: 'sandbox' });
    const ask = async (authorization: string, body: unknown) => {
      const seen = await fetchFrom(own, '/v1/keys/verify', verifying(authorization, body));
      return [seen?.status, seen?.environment, JSON.parse(seen!.body).code];
    };
    const body = { key: subject.secret };
    expect(await ask(`Bearer ${caller.secret}`, body)).toEqual([200, 'SANDBOX', 'VALID']);
    expect(await ask('Bearer gl_sandbox_sk_x', body)).toEqual([401, 'SANDBOX', 'invalid_key']);
    expect(await ask(`Bearer ${subject.secret}`, body)).toEqual([403, 'SANDBOX', 'permission_denied']);
    expect(await ask(`Bearer ${caller.secret}`, {})).toEqual([422, 'LIVE', 'invalid_request']);
  });

  test('may be on any port of loopback where the key says so', async () => {
    const { issuer, publishable } = await prepare({ origins: ['http://localhost:*'] });
    const headers = { 'X-OTP-API-Key': (await publishable()).secret };
    expect(await fetchFrom(other, `/v1/authorize/${issuer.id}`, { headers })).toMatchObject({ status: 200 });
    expect(await fetchFrom(own, `/v1/authorize/${issuer.id}`, { headers })).toBeNull();
  });
});

describe('a page on another origin', () => {
  // Attack: somebody else's page uses a key that it read out of the source of the page it is for.
  test('is kept from every answer, and its request is refused as well', async () => {
    const { issuer, publishable, caller } = await prepare({ origins: [ownOrigin] });
    const key = await publishable();
    const asKey = { headers: { 'X-OTP-API-Key': key.secret } };
    const asCaller = verifying(`Bearer ${caller.secret}`, { key: key.secret });
    for (const [path, init] of [
      [`/v1/authorize/${issuer.id}`, asKey],
      ['/v1/me', asKey],
      ['/v1/keys/verify', asCaller],
    ] as const) {
      expect([path, (await fetchFrom(own, path, init))?.status]).toEqual([path, 200]);
      expect([path, await fetchFrom(other, path, init)]).toEqual([path, null]);
    }
    // The refusal's reason is kept from it too; a request without a key is about no key's list, so it is not.
    expect(await fetchFrom(other, '/v1/me')).toMatchObject({ status: 401 });
  });

  test('is let in by a key without a list', async () => {
    const { issuer, publishable, caller } = await prepare({});
    const key = await publishable();
    const asKey = { headers: { 'X-OTP-API-Key': key.secret } };
    for (const page of [own, other]) {
      expect(await fetchFrom(page, `/v1/authorize/${issuer.id}`, asKey)).toMatchObject({ status: 200 });
      expect(await fetchFrom(page, '/v1/me', asKey)).toMatchObject({ status: 200 });
      const asCaller = verifying(`Bearer ${caller.secret}`, { key: key.secret });
      expect(await fetchFrom(page, '/v1/keys/verify', asCaller)).toMatchObject({ status: 200 });
    }
  });

  test('is refused by a key that no browser may use', async () => {
    const { issuer, publishable } = await prepare({ browsers: 'deny' });
    const asKey = { headers: { 'X-OTP-API-Key': (await publishable()).secret } };
    expect(await fetchFrom(own, `/v1/authorize/${issuer.id}`, asKey)).toBeNull();
    expect(await fetchFrom(own, '/v1/me', asKey)).toBeNull();
  });
});

test('a sandboxed frame, whose origin is null, is in no list', async () => {
  const frame = own.frames()[1]!;
  const listed = await prepare({ origins: [ownOrigin] });
  const open = await prepare({});
  expect(await frame.evaluate('origin')).toBe('null');
  for (const [{ issuer, publishable }, expected] of [
    [listed, undefined],
    [open, 200],
  ] as const) {
    const init = { headers: { 'X-OTP-API-Key': (await publishable()).secret } };
    expect((await fetchFrom(frame, `/v1/authorize/${issuer.id}`, init))?.status).toBe(expected);
    expect((await fetchFrom(frame, '/v1/me', init))?.status).toBe(expected);
  }
});

test('no answer is given to a page that sends cookies along', async () => {
  const { issuer, publishable } = await prepare({ origins: [ownOrigin] });
  const init: PageRequest = { headers: { 'X-OTP-API-Key': (await publishable()).secret } };
  for (const path of [`/v1/authorize/${issuer.id}`, '/v1/me']) {
    expect(await fetchFrom(own, path, { ...init, credentials: 'include' })).toBeNull();
    expect(await fetchFrom(own, path, { ...init, credentials: 'omit' })).toMatchObject({ status: 200 });
  }
});
