import { type RequestListener, setGlobalProxyFromEnv } from 'node:http';
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { receiverCertificate, testCertificate } from '../../test/harness/certificate.ts';
import { DnsServer } from '../../test/harness/dns-server.ts';
import { Receiver, receiverAddress, receiverNetwork } from '../../test/harness/receiver.ts';
import { TcpServer } from '../../test/harness/tcp-server.ts';
import { packageVersion } from '../version.ts';
import { OutboundClient, type OutboundRequest } from './outbound-client.ts';
import { OutboundError } from './outbound-error.ts';

let dns: DnsServer;
let answer: RequestListener;
let receiver: Receiver;
let plain: Receiver;
let client: OutboundClient;

beforeAll(async () => {
  const listener: RequestListener = (request, response) => answer(request, response);
  [dns, receiver, plain] = await Promise.all([
    DnsServer.start(),
    Receiver.start({ answer: listener }),
    Receiver.start({ tls: false, answer: listener }),
  ]);
  dns.set('receiver.test', [receiverAddress]);
  client = new OutboundClient({
    allow: [receiverNetwork],
    dnsServers: [dns.address],
    ca: receiverCertificate.cert,
  });
});

afterAll(async () => {
  await Promise.all([dns, receiver, plain].map((part) => part[Symbol.asyncDispose]()));
});

afterEach(() => {
  vi.unstubAllEnvs();
  receiver.received.length = 0;
  plain.received.length = 0;
});

const ok: RequestListener = (_request, response) => response.end('ok');

function call(url: string, request: Partial<OutboundRequest> = {}, by = client) {
  return by.fetch(url, { accountId: null, timeoutMs: 5_000, ...request });
}

async function failureOf(called: Promise<unknown>): Promise<OutboundError> {
  const error = await called.then(
    () => new Error('it was answered'),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(OutboundError);
  return error as OutboundError;
}

describe('a call', () => {
  test('by name reaches the receiver under that name', async () => {
    answer = (_request, response) => response.writeHead(418, { 'X-Answer': 'a' }).end('teapot');
    const { status, headers, body, isTruncated } = await call(receiver.url('/hook?a=b', 'receiver.test'), {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'X-Own': 'x' },
      body: '{"ü":1}',
    });
    expect([status, headers.get('X-Answer'), body.toString(), isTruncated]).toEqual([
      418,
      'a',
      'teapot',
      false,
    ]);
    expect(receiver.received).toEqual([
      {
        method: 'POST',
        path: '/hook?a=b',
        body: '{"ü":1}',
        headers: {
          host: `receiver.test:${receiver.port}`,
          connection: 'close',
          'content-type': 'application/json',
          'content-length': '8',
          'user-agent': `Gatelodge/${packageVersion}`,
          'accept-encoding': 'identity',
          'x-own': 'x',
        },
      },
    ]);
  });

  test.each(['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE'] as const)('by %s without a body', async (method) => {
    answer = (_request, response) => response.writeHead(204).end();
    expect(await call(receiver.url(), { method })).toMatchObject({ status: 204, body: Buffer.alloc(0) });
    expect(receiver.received[0]).toMatchObject({ method, body: '' });
  });

  test('in the clear reaches what the operator names', async () => {
    answer = ok;
    for (const host of [receiverAddress, 'receiver.test', '[::ffff:127.0.0.2]'])
      expect((await call(plain.url('/', host))).body.toString()).toBe('ok');
  });

  test('of localhost reaches the loopback address that is named', async () => {
    await using local = await TcpServer.start();
    const named = new OutboundClient({ allow: ['127.0.0.1/32'] });
    expect((await call(`http://localhost:${local.port}/`, {}, named)).body.toString()).toBe('local');
  });

  test('tries the next address where one does not answer', async () => {
    answer = ok;
    dns.set('two.receiver.test', ['127.0.0.3', receiverAddress]);
    const both = new OutboundClient({
      allow: ['127.0.0.2/31'],
      dnsServers: [dns.address],
      ca: receiverCertificate.cert,
    });
    expect((await call(receiver.url('/', 'two.receiver.test'), {}, both)).status).toBe(200);
  });

  test('keeps no connection and no cookie', async () => {
    answer = (_request, response) => response.writeHead(200, { 'Set-Cookie': 'a=b; Path=/' }).end();
    const before = receiver.connections;
    for (let index = 0; index < 3; index++) await call(receiver.url());
    expect(receiver.connections - before).toBe(3);
    for (const { headers } of receiver.received) expect(headers).not.toHaveProperty('cookie');
  });

  test('lets nobody choose where or how the message goes', async () => {
    // The attack: Host picks an internal site on a shared receiver, and framing fields smuggle a second request.
    answer = ok;
    const headers = {
      Host: 'internal.test',
      'Content-Length': '999',
      'Transfer-Encoding': 'chunked',
      Connection: 'keep-alive, Authorization',
      Upgrade: 'h2c',
      Expect: '100-continue',
      Cookie: 'a=b',
      'Proxy-Authorization': 'Basic x',
      'Accept-Encoding': 'gzip',
      'User-Agent': '',
      Authorization: 'Bearer own',
    };
    await call(receiver.url(), { method: 'POST', headers, body: 'body' });
    expect(receiver.received[0]).toMatchObject({ body: 'body' });
    expect(receiver.received[0]?.headers).toEqual({
      host: `${receiverAddress}:${receiver.port}`,
      connection: 'close',
      'content-length': '4',
      'accept-encoding': 'identity',
      'user-agent': `Gatelodge/${packageVersion}`,
      authorization: 'Bearer own',
    });
    await expect(call(receiver.url(), { headers: { 'X-A': 'a\r\nX-B: b' } })).rejects.toThrow(TypeError);
  });

  test('takes no proxy from the environment', async () => {
    answer = ok;
    // What NODE_USE_ENV_PROXY=1 does at start. Nobody listens on port 9.
    const proxy = 'http://127.0.0.1:9';
    const restore = setGlobalProxyFromEnv({ HTTP_PROXY: proxy, HTTPS_PROXY: proxy, NO_PROXY: '' });
    onTestFinished(restore);
    for (const url of [receiver.url(), plain.url()]) expect((await call(url)).status).toBe(200);
  });
});

describe('TLS', () => {
  test.each([
    [
      'an authority that nobody trusts',
      { ca: testCertificate.cert },
      receiverAddress,
      'DEPTH_ZERO_SELF_SIGNED_CERT',
    ],
    ['the usual authorities, which did not sign it', {}, receiverAddress, 'DEPTH_ZERO_SELF_SIGNED_CERT'],
    ['the name of another', { ca: receiverCertificate.cert }, 'other.test', 'ERR_TLS_CERT_ALTNAME_INVALID'],
  ])('tls: %s, also where the environment says not to look', async (_what, trust, host, code) => {
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
    dns.set('other.test', [receiverAddress]);
    const by = new OutboundClient({ allow: [receiverNetwork], dnsServers: [dns.address], ...trust });
    expect(await failureOf(call(receiver.url('/', host), {}, by))).toMatchObject({ reason: 'tls', code });
    expect(receiver.received).toEqual([]);
  });

  test('tls: a receiver that does not speak it', async () => {
    expect((await failureOf(call(`https://${receiverAddress}:${plain.port}/`))).reason).toBe('tls');
    expect((await failureOf(call(`http://${receiverAddress}:${receiver.port}/`))).reason).toBe('network');
  });
});

test('a name that leads nowhere yet may be set', async () => {
  dns.set('silent.test', () => null);
  for (const name of ['missing.test', 'silent.test', 'receiver.test'])
    expect((await client.checkUrlAndName(`https://${name}/`, { accountId: null, timeoutMs: 100 })).ok).toBe(
      true,
    );
  expect(await client.checkUrlAndName('ftp://receiver.test/', { accountId: null })).toMatchObject({
    reason: 'blocked_url',
  });
});
