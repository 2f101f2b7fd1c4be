import type { RequestListener } from 'node:http';
import type { Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { receiverCertificate } from '../../test/harness/certificate.ts';
import { DnsServer } from '../../test/harness/dns-server.ts';
import { Receiver, receiverAddress, receiverNetwork } from '../../test/harness/receiver.ts';
import { TcpServer } from '../../test/harness/tcp-server.ts';
import { OutboundClient, type OutboundRequest } from './outbound-client.ts';
import { OutboundError } from './outbound-error.ts';

let dns: DnsServer;
let answer: RequestListener;
let receiver: Receiver;
let client: OutboundClient;

beforeAll(async () => {
  [dns, receiver] = await Promise.all([
    DnsServer.start(),
    Receiver.start({ answer: (request, response) => answer(request, response) }),
  ]);
  client = new OutboundClient({
    allow: [receiverNetwork],
    dnsServers: [dns.address],
    ca: receiverCertificate.cert,
  });
});

afterAll(async () => {
  await Promise.all([dns, receiver].map((part) => part[Symbol.asyncDispose]()));
});

function call(url: string, request: Partial<OutboundRequest> = {}) {
  return client.fetch(url, { accountId: null, timeoutMs: 5_000, ...request });
}

async function failureOf(called: Promise<unknown>): Promise<OutboundError> {
  const error = await called.then(
    () => new Error('it was answered'),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(OutboundError);
  return error as OutboundError;
}

describe('answers that never end', () => {
  /** Sends a piece every 5 ms for as long as somebody listens. */
  const dripping =
    (piece: string, head = ''): ((socket: Socket) => void) =>
    (socket) => {
      socket.write(head);
      const timer = setInterval(() => socket.write(piece), 5);
      socket.once('close', () => clearInterval(timer));
    };

  test.each([
    ['no byte', () => {}],
    ['a status line byte by byte', dripping('0', 'HTTP/1.1 200 ')],
    ['a header field byte by byte', dripping('x', 'HTTP/1.1 200 OK\r\nX-Drip: ')],
    ['a body byte by byte', dripping('x', 'HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n')],
    ['chunks of one byte', dripping('1\r\nx\r\n', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')],
  ])('timeout: %s', async (_what, serve) => {
    // The attack: one byte now and then, each within the idle timeout, holds a connection and a slot for ever.
    await using raw = await TcpServer.start(serve, receiverAddress);
    const error = await failureOf(call(`http://${receiverAddress}:${raw.port}/`, { timeoutMs: 150 }));
    expect(error.reason).toBe('timeout');
    await vi.waitFor(() => expect(raw.open).toBe(0));
  });

  test('timeout: a TLS handshake that does not begin', async () => {
    await using raw = await TcpServer.start(() => {}, receiverAddress);
    const error = await failureOf(call(`https://${receiverAddress}:${raw.port}/`, { timeoutMs: 150 }));
    expect(error.reason).toBe('timeout');
    await vi.waitFor(() => expect(raw.open).toBe(0));
  });

  test('timeout: a name whose DNS server keeps silent', async () => {
    dns.set('silent.test', () => null);
    const error = await failureOf(call('https://silent.test/', { timeoutMs: 150 }));
    expect(error.reason).toBe('timeout');
  });

  test('timeout, for whoever brings a signal of AbortSignal.timeout; else the signal’s own reason', async () => {
    await using raw = await TcpServer.start(() => {}, receiverAddress);
    const url = `http://${receiverAddress}:${raw.port}/`;
    expect((await failureOf(call(url, { signal: AbortSignal.timeout(50) }))).reason).toBe('timeout');
    const given = new AbortController();
    const called = call(url, { signal: given.signal });
    given.abort(new Error('no longer wanted'));
    await expect(called).rejects.toThrow('no longer wanted');
    await expect(call(url, { signal: given.signal })).rejects.toThrow('no longer wanted');
  });
});

describe('answers that are too large', () => {
  const big: RequestListener = (_request, response) => response.end('x'.repeat(10_001));
  const endless: RequestListener = (_request, response) => {
    const more = () => void (!response.destroyed && response.write('x'.repeat(10_000), more));
    more();
  };

  test.each([
    ['a body longer than asked for', big],
    ['a body without an end', endless],
  ])('too_large: %s', async (_what, given) => {
    answer = given;
    expect((await failureOf(call(receiver.url(), { maxBytes: 10_000 }))).reason).toBe('too_large');
  });

  test.each([big, endless])('is cut off for whom the status is what counts', async (given) => {
    answer = given;
    const cut = await call(receiver.url(), { maxBytes: 10_000, truncate: true });
    expect([cut.status, cut.body.length, cut.isTruncated]).toEqual([200, 10_000, true]);
  });

  test('a body of just that length is whole', async () => {
    answer = big;
    const whole = await call(receiver.url(), { maxBytes: 10_001 });
    expect([whole.body.length, whole.isTruncated]).toEqual([10_001, false]);
  });

  test('a compressed bomb stays as small as it was sent', async () => {
    // The attack: a kilobyte that unpacks to gigabytes, sent although we ask for none of it.
    const bomb = gzipSync(Buffer.alloc(4 * 1024 * 1024));
    answer = (_request, response) => response.writeHead(200, { 'Content-Encoding': 'gzip' }).end(bomb);
    const { body } = await call(receiver.url(), { maxBytes: bomb.length });
    expect(body.equals(bomb)).toBe(true);
  });

  test.each([
    ['a header field of 20 KiB', `HTTP/1.1 200 OK\r\nX-Big: ${'x'.repeat(20_480)}\r\n\r\n`],
    ['10,000 header fields', `HTTP/1.1 200 OK\r\n${'X-A: b\r\n'.repeat(10_000)}\r\n`],
    ['a hundred interim answers', 'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(100)],
  ])('too_large: %s', async (_what, head) => {
    await using raw = await TcpServer.start((socket) => socket.write(head), receiverAddress);
    const error = await failureOf(call(`http://${receiverAddress}:${raw.port}/`));
    expect(error.reason).toBe('too_large');
  });
});

describe('answers that are none', () => {
  test.each([
    ['nothing', ''],
    ['another protocol', 'SSH-2.0-OpenSSH_9.2\r\n'],
    ['a status that HTTP lacks', 'HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n'],
    [
      'another protocol, politely',
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n',
    ],
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab'],
    ['half of a body', 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf'],
  ])('network: %s', async (_what, text) => {
    await using raw = await TcpServer.start((socket) => socket.end(text), receiverAddress);
    const error = await failureOf(call(`http://${receiverAddress}:${raw.port}/`));
    expect(error.reason).toBe('network');
    expect(error.isTemporary).toBe(true);
  });

  test('network: no such name, no server behind it, nobody who listens', async () => {
    dns.set('broken.test', () => 'refused');
    await using gone = await Receiver.start();
    const url = gone.url();
    await gone[Symbol.asyncDispose]().catch(() => {});
    expect(await failureOf(call('https://missing.test/'))).toMatchObject({
      reason: 'network',
      code: 'ENOTFOUND',
    });
    expect(await failureOf(call('https://broken.test/'))).toMatchObject({
      reason: 'network',
      code: 'ESERVFAIL',
    });
    expect(await failureOf(call(url))).toMatchObject({ reason: 'network', code: 'ECONNREFUSED' });
  });

  test('network: a name with more addresses than anybody looks at', async () => {
    // The attack: an answer of DNS with thousands of addresses, to keep the server busy with them.
    const addressed = (count: number) => Array.from({ length: count }, () => receiverAddress);
    dns.set('many.test', addressed(64));
    dns.set('more.test', addressed(65));
    expect((await failureOf(call(receiver.url('/', 'many.test')))).reason).toBe('tls');
    expect((await failureOf(call(receiver.url('/', 'more.test')))).code).toBe('ETOOMANYADDRESSES');
  });

  test('errors tell neither what a name leads to nor what the receiver sent', async () => {
    dns.set('inside.test', ['10.66.77.88']);
    answer = (_request, response) => response.end('canary'.repeat(100));
    const errors = await Promise.all([
      failureOf(call('https://inside.test/')),
      failureOf(call('http://inside.test/')),
      failureOf(call(receiver.url(), { maxBytes: 10 })),
    ]);
    expect(errors.map(({ reason }) => reason)).toEqual(['blocked_address', 'blocked_url', 'too_large']);
    for (const error of errors) {
      const shown = JSON.stringify([error, error.message, error.stack, String(error.cause)]);
      expect(shown).not.toMatch(/10\.66|canary/);
    }
    expect(errors.map(({ isTemporary }) => isTemporary)).toEqual([false, false, true]);
  });
});
