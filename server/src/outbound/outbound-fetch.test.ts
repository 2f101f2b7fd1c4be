import type { RequestListener } from 'node:http';
import { createRemoteJWKSet, customFetch, exportJWK, generateKeyPair, jwtVerify, SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { receiverCertificate } from '../../test/harness/certificate.ts';
import { DnsServer } from '../../test/harness/dns-server.ts';
import { Receiver, receiverAddress, receiverNetwork } from '../../test/harness/receiver.ts';
import { OutboundClient } from './outbound-client.ts';
import { OutboundError } from './outbound-error.ts';
import { createOutboundFetch, type OutboundFetch } from './outbound-fetch.ts';

let dns: DnsServer;
let answer: RequestListener;
let receiver: Receiver;
let fetch: OutboundFetch;

beforeAll(async () => {
  [dns, receiver] = await Promise.all([
    DnsServer.start(),
    Receiver.start({ answer: (request, response) => answer(request, response) }),
  ]);
  dns.set('receiver.test', [receiverAddress]);
  dns.set('inside.test', ['10.0.0.1']);
  const client = new OutboundClient({
    allow: [receiverNetwork],
    dnsServers: [dns.address],
    ca: receiverCertificate.cert,
  });
  fetch = createOutboundFetch(client, { accountId: 'acc_1', maxBytes: 5_000 });
});

afterAll(async () => {
  await Promise.all([dns, receiver].map((part) => part[Symbol.asyncDispose]()));
});

/** What the test takes of it. */
interface OidcProvider {
  default: new (
    issuer: string,
    configuration: object,
  ) => {
    Client: { find(id: string): Promise<{ backchannelLogout(sub: string, sid: string): Promise<void> }> };
  };
}

const lastReceived = () => receiver.received.at(-1);

describe('the answer is a Response', () => {
  test.each([200, 204, 205, 304, 404, 503])('of status %i', async (status) => {
    answer = (_request, response) => response.writeHead(status, { 'Content-Type': 'application/json' }).end();
    const response = await fetch(receiver.url());
    expect(response).toBeInstanceOf(Response);
    expect([response.status, response.ok]).toEqual([status, status < 300]);
    expect(await response.text()).toBe('');
  });

  test('with its body and fields, each cookie apart', async () => {
    answer = (_request, response) =>
      response.writeHead(200, { 'Set-Cookie': ['a=b', 'c=d'], 'X-A': 'ä' }).end('{"ü":[1]}');
    const response = await fetch(new URL(receiver.url()));
    expect(response.headers.getSetCookie()).toEqual(['a=b', 'c=d']);
    expect(await response.json()).toEqual({ ü: [1] });
  });

  test('of a redirect, which is not followed', async () => {
    answer = (_request, response) => response.writeHead(302, { Location: '/elsewhere' }).end();
    for (const redirect of [undefined, 'follow', 'manual'] as const) {
      const response = await fetch(receiver.url('/here'), { ...(redirect && { redirect }) });
      expect([response.status, lastReceived()?.path]).toEqual([302, '/here']);
    }
  });
});

describe('the request', () => {
  test.each([
    ['text', 'a=b', 'a=b', 'text/plain;charset=UTF-8'],
    ['form', new URLSearchParams({ a: 'b c' }), 'a=b+c', 'application/x-www-form-urlencoded;charset=UTF-8'],
    ['bytes', Buffer.from('a=b'), 'a=b', undefined],
    ['nothing', null, '', undefined],
  ])('has a body of %s', async (_what, body, text, type) => {
    answer = (_request, response) => response.end();
    await fetch(receiver.url(), { method: 'post', body });
    expect(lastReceived()).toMatchObject({ method: 'POST', body: text });
    expect(lastReceived()?.headers['content-type']).toBe(type);
  });

  test('has the fields that were given, in any form', async () => {
    answer = (_request, response) => response.end();
    const given = { 'Content-Type': 'application/x-a', accept: 'application/json', 'user-agent': '' };
    for (const headers of [given, new Headers(given), Object.entries(given)]) {
      await fetch(receiver.url(), { method: 'POST', headers, body: '' });
      expect(lastReceived()?.headers).toMatchObject({
        'content-type': 'application/x-a',
        accept: 'application/json',
        'user-agent': expect.stringMatching(/^Gatelodge\//),
      });
    }
  });

  test('of a method or with a body that we never send is a fault of the caller’s', async () => {
    for (const init of [{ method: 'CONNECT' }, { method: 'TRACE' }, { method: 'POST', body: new FormData() }])
      await expect(fetch(receiver.url(), init)).rejects.toThrow(TypeError);
  });
});

test.each([
  ['https://127.0.0.1/', 'blocked_address'],
  ['http://inside.test/', 'blocked_url'],
  ['https://missing.test/', 'network'],
])('%s is rejected with the reason', async (url, reason) => {
  const error: unknown = await fetch(url).catch((cause: unknown) => cause);
  expect(error).toBeInstanceOf(OutboundError);
  expect(error).toMatchObject({ reason });
});

describe('libraries that take it', () => {
  test('jose reads a key set, and no larger one than is bounded', async () => {
    const { publicKey, privateKey } = await generateKeyPair('ES256');
    const jwk = { ...(await exportJWK(publicKey)), kid: 'one', alg: 'ES256' };
    const token = await new SignJWT({ sub: 'x' })
      .setProtectedHeader({ alg: 'ES256', kid: 'one' })
      .sign(privateKey);
    const keys = (path: string) =>
      createRemoteJWKSet(new URL(receiver.url(path, 'receiver.test')), { [customFetch]: fetch });
    answer = (request, response) => {
      const more = request.url === '/bomb' ? { more: 'x'.repeat(10_000) } : {};
      response.setHeader('Content-Type', 'application/json');
      response.end(JSON.stringify({ keys: [jwk], ...more }));
    };
    expect((await jwtVerify(token, keys('/jwks'))).payload.sub).toBe('x');
    await expect(jwtVerify(token, keys('/bomb'))).rejects.toMatchObject({ reason: 'too_large' });
  });

  test('oidc-provider logs out at clients, and at none inside', async () => {
    answer = (_request, response) => response.writeHead(204).end();
    const clientAt = (id: string, uri: string) => ({
      client_id: id,
      client_secret: 'secret-of-the-test-0123456789abcdef',
      redirect_uris: ['https://receiver.test/callback'],
      backchannel_logout_uri: uri,
      backchannel_logout_session_required: true,
    });
    const configuration = {
      clients: [
        clientAt('good', receiver.url('/logout', 'receiver.test')),
        clientAt('inside', 'https://169.254.169.254/logout'),
      ],
      features: { backchannelLogout: { enabled: true }, devInteractions: { enabled: false } },
      fetch,
    };
    // Its types are not part of it.
    const library: string = 'oidc-provider';
    const { default: Provider } = (await import(library)) as OidcProvider;
    const provider = new Provider('https://issuer.test', configuration);
    const logout = async (id: string) => (await provider.Client.find(id)).backchannelLogout('usr_1', 's_1');
    await logout('good');
    expect(lastReceived()).toMatchObject({ method: 'POST', path: '/logout' });
    expect(lastReceived()?.headers['content-type']).toContain('application/x-www-form-urlencoded');
    expect(lastReceived()?.body).toMatch(/^logout_token=ey/);
    const before = receiver.received.length;
    await expect(logout('inside')).rejects.toMatchObject({ reason: 'blocked_address' });
    expect(receiver.received).toHaveLength(before);
  });
});
