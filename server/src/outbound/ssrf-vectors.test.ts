import { networkInterfaces } from 'node:os';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { receiverCertificate } from '../../test/harness/certificate.ts';
import { type DnsAnswer, type DnsQuestion, DnsServer } from '../../test/harness/dns-server.ts';
import { Canary, Receiver, receiverAddress, receiverNetwork } from '../../test/harness/receiver.ts';
import { OutboundClient } from './outbound-client.ts';
import { OutboundError } from './outbound-error.ts';

/*
 * The attack: a tenant registers a URL that makes the server call something that only the server can reach: itself, its
 * database, a cloud’s metadata service, a neighbour. A canary listens on every address of this machine; the one that the tests
 * allow stands for the internet.
 */

let canary: Canary;
let dns: DnsServer;
let receiver: Receiver;
let strict: OutboundClient;
let client: OutboundClient;

beforeAll(async () => {
  [canary, dns, receiver] = await Promise.all([Canary.start(), DnsServer.start(), Receiver.start()]);
  const options = { dnsServers: [dns.address], ca: receiverCertificate.cert };
  strict = new OutboundClient({ allow: [], ...options });
  client = new OutboundClient({ allow: [receiverNetwork], ...options });
});

afterAll(async () => {
  await Promise.all([canary, dns, receiver].map((part) => part[Symbol.asyncDispose]()));
});

async function reasonOf(by: OutboundClient, url: string): Promise<string> {
  const error: unknown = await by.fetch(url, { accountId: null, timeoutMs: 5_000 }).then(
    ({ status }) => `answered ${status}`,
    (reason: unknown) => reason,
  );
  return error instanceof OutboundError ? error.reason : String(error);
}

/** Refused by a server that allows nothing and by one that allows a neighbouring address. */
async function expectRefused(url: string, reason: string) {
  const before = canary.connections;
  expect([url, await reasonOf(strict, url)]).toEqual([url, reason]);
  expect([url, await reasonOf(client, url)]).toEqual([url, reason]);
  expect(canary.connections).toBe(before);
}

const ownAddresses = Object.values(networkInterfaces())
  .flatMap((addresses = []) => addresses)
  .filter(({ scopeid = 0 }) => scopeid === 0)
  .map(({ address }) => (address.includes(':') ? `[${address}]` : address));

describe('hosts that are addresses', () => {
  test.each([
    // This machine, in the spellings that URL parsers take.
    ...['127.0.0.1', '127.0.0.1.', '127.1', '127.0.1', '2130706433', '0x7f000001', '0x7f.0.0.1', '0x7f.1'],
    ...['0177.0.0.1', '0177.1', '017700000001', '00000177.0.0.1', '127.255.255.254', '0', '0.0.0.0', '0x0'],
    ...['１２７.０.０.１', '①②⑦.⓪.⓪.①', '127。0。0。1', '%31%32%37.0.0.1', '127%2e0%2e0%2e1'],
    ...['[::1]', '[::]', '[0:0:0:0:0:0:0:1]', '[0000::0001]', '[::ffff:127.0.0.1]', '[::ffff:7f00:1]'],
    ...['[0:0:0:0:0:ffff:7f00:1]', '[::ffff:0.0.0.0]', '[::127.0.0.1]', '[::ffff:0:127.0.0.1]'],
    ...['[64:ff9b::127.0.0.1]', '[64:ff9b::7f00:1]', '[64:ff9b:1::7f00:1]', '[2002:7f00:1::]'],
    ...['[2001:0:7f00:1::]', '[2001:0:808:808:0:0:80ff:fffe]', ...ownAddresses],
    // Neighbours.
    ...['10.0.0.1', '10.255.255.255', '172.16.0.1', '172.31.255.255', '192.168.0.1', '100.64.0.1'],
    ...[
      '[::ffff:10.0.0.1]',
      '[64:ff9b::10.0.0.1]',
      '[fc00::1]',
      '[fd12:3456:789a::1]',
      '[fe80::1]',
      '[fec0::1]',
    ],
    // Metadata services: AWS, GCP, Azure, Alibaba, Oracle, AWS by IPv6.
    ...['169.254.169.254', '2852039166', '0xa9fea9fe', '0251.0376.0251.0376', '169.254.170.2'],
    ...[
      '[::ffff:169.254.169.254]',
      '[64:ff9b::a9fe:a9fe]',
      '168.63.129.16',
      '100.100.100.200',
      '192.0.0.192',
    ],
    '[fd00:ec2::254]',
    // Reserved, to many, and to all.
    ...['192.0.0.1', '192.0.2.1', '198.18.0.1', '198.51.100.1', '203.0.113.1', '192.88.99.1', '224.0.0.1'],
    ...[
      '239.255.255.250',
      '240.0.0.1',
      '255.255.255.255',
      '[ff02::1]',
      '[100::1]',
      '[2001:db8::1]',
      '[3fff::1]',
    ],
    ...['[5f00::1]', '[4000::1]'],
  ])('https://%s', (host) => expectRefused(`https://${host}:${canary.port}/`, 'blocked_address'));

  test.each(['127.0.0.1', '10.0.0.1', '169.254.169.254', '[::1]', '0x7f.1'])('http://%s', (host) =>
    expectRefused(`http://${host}:${canary.port}/latest/meta-data/`, 'blocked_address'),
  );
});

describe('URLs that readers understand in two ways', () => {
  test.each([
    ['https://user:secret@127.0.0.1:PORT/', 'blocked_url'],
    ['https://receiver.test@127.0.0.1:PORT/', 'blocked_url'],
    ['https://127.0.0.1:PORT\\@receiver.test/', 'blocked_url'],
    ['https:\\\\127.0.0.1:PORT/', 'blocked_url'],
    ['https:127.0.0.1:PORT/', 'blocked_address'],
    ['https:///127.0.0.1:PORT/', 'blocked_address'],
    ['https://127.0.0.1:PORT/#@receiver.test/', 'blocked_url'],
    ['https://127.0.0.1:PORT?@receiver.test/', 'blocked_address'],
    ['https://127.0.0.1:PORT/ https://receiver.test/', 'blocked_url'],
    ['https://127.0.\n0.1:PORT/', 'blocked_url'],
    ['\thttps://127.0.0.1:PORT/', 'blocked_url'],
    ['//127.0.0.1:PORT/', 'blocked_url'],
    ['127.0.0.1:PORT', 'blocked_url'],
    ['file:///etc/passwd', 'blocked_url'],
    ['gopher://127.0.0.1:PORT/_GET', 'blocked_url'],
    ['ftp://127.0.0.1:PORT/', 'blocked_url'],
    ['ws://127.0.0.1:PORT/', 'blocked_url'],
    ['unix:/var/run/docker.sock', 'blocked_url'],
    ['data:text/plain,x', 'blocked_url'],
    ['blob:https://receiver.test/1', 'blocked_url'],
    ['jar:https://127.0.0.1:PORT/!/', 'blocked_url'],
    ['https://receiver.test:22/', 'blocked_url'],
    ['https://receiver.test:25/', 'blocked_url'],
  ])('%j', (url, reason) => expectRefused(url.replace('PORT', String(canary.port)), reason));
});

describe('names', () => {
  test.each(['localhost', 'LOCALHOST', 'localhost.', 'a.b.localhost'])('https://%s', (name) =>
    expectRefused(`https://${name}:${canary.port}/`, 'blocked_address'),
  );

  const aliased =
    (addresses: string[], ...aliases: string[]) =>
    () => ({ aliases, addresses });
  test.each<[string, (question: DnsQuestion) => DnsAnswer]>([
    ['a loopback address', aliased(['127.0.0.1'])],
    ['a loopback address of IPv6 alone', aliased(['::1'])],
    ['a private address', aliased(['10.0.0.1'])],
    ['the metadata service', aliased(['169.254.169.254'])],
    ['the unspecified address', aliased(['0.0.0.0'])],
    ['a mapped address', aliased(['::ffff:7f00:1'])],
    ['an address behind NAT64', aliased(['64:ff9b::7f00:1'])],
    ['an address through 6to4', aliased(['2002:7f00:1::1'])],
    ['a unique local address', aliased(['fd00:ec2::254'])],
    ['an alias of a private name', aliased(['127.0.0.1'], 'db.corp.test')],
    ['aliases of aliases', aliased(['10.0.0.1'], 'one.test', 'two.test', 'three.test')],
    ['an alias of localhost', aliased(['127.0.0.1'], 'localhost')],
    ['a good address and a private one', aliased([receiverAddress, '127.0.0.1'])],
    ['a private address and a good one', aliased(['127.0.0.1', receiverAddress])],
    ['a good address, and loopback by IPv6', aliased([receiverAddress, '::1'])],
    [
      'many good addresses and one private one',
      aliased([...Array<string>(12).fill(receiverAddress), '10.0.0.1']),
    ],
  ])('that lead to %s', async (what, answer) => {
    const name = `${what.replaceAll(/[^a-z0-9]+/gi, '-').toLowerCase()}.receiver.test`;
    dns.set(name, answer);
    await expectRefused(`https://${name}:${canary.port}/`, 'blocked_address');
    expect(await strict.checkUrlAndName(`https://${name}/`, { accountId: null })).toMatchObject({
      reason: 'blocked_address',
    });
  });

  test('in the clear, whatever they lead to', async () => {
    dns.set('plain.receiver.test', ['127.0.0.1']);
    await expectRefused(`http://plain.receiver.test:${canary.port}/`, 'blocked_url');
  });

  // The attack: the name leads to the internet when it is checked and to loopback when it is connected to.
  test('that lead elsewhere the second time are not asked about twice', async () => {
    const rebound = ({ type, before }: DnsQuestion) => {
      const address = before === 0 ? receiverAddress : '127.0.0.1';
      return { addresses: type === 'A' ? [address] : [] };
    };
    dns.set('rebinding.receiver.test', rebound);
    const url = (port: number) => `https://rebinding.receiver.test:${port}/`;
    const before = canary.connections;
    expect((await client.fetch(url(receiver.port), { accountId: null })).status).toBe(200);
    expect(dns.asked('rebinding.receiver.test', 'A')).toBe(1);
    expect(dns.asked('rebinding.receiver.test', 'AAAA')).toBe(1);
    // The next call asks anew and finds it out.
    expect(await reasonOf(client, url(canary.port))).toBe('blocked_address');
    expect(canary.connections).toBe(before);
  });

  test('that alternate from one question to the next: never a connection to the private one', async () => {
    dns.set('flapping.receiver.test', ({ type, before }) => ({
      addresses: type === 'AAAA' ? [] : [before % 2 === 0 ? '127.0.0.1' : receiverAddress],
    }));
    const before = canary.connections;
    const reasons = new Set<string>();
    for (let index = 0; index < 10; index++)
      reasons.add(await reasonOf(client, `https://flapping.receiver.test:${canary.port}/`));
    expect(reasons).toContain('blocked_address');
    expect(canary.connections).toBe(before);
  });
});

describe('redirects', () => {
  test.each([
    [301, '/latest/meta-data/'],
    [302, 'https://127.0.0.1:PORT/'],
    [303, 'http://169.254.169.254/latest/meta-data/'],
    [307, 'http://localhost:PORT/'],
    [308, '//[::1]:PORT/'],
    [300, 'gopher://127.0.0.1:PORT/'],
  ])('%i to %s is an answer, and nobody goes there', async (status, location) => {
    const target = location.replace('PORT', String(canary.port));
    await using redirecting = await Receiver.start({
      answer: (_request, response) => response.writeHead(status, { Location: target }).end(),
    });
    const before = canary.connections;
    const answer = await client.fetch(redirecting.url(), { accountId: null });
    expect([answer.status, answer.headers.get('Location')]).toEqual([status, target]);
    expect(redirecting.received).toHaveLength(1);
    expect(canary.connections).toBe(before);
  });

  test('neither by Refresh, Link or Alt-Svc', async () => {
    const port = String(canary.port);
    await using hinting = await Receiver.start({
      answer: (_request, response) =>
        response
          .writeHead(200, {
            Refresh: `0; url=https://127.0.0.1:${port}/`,
            Link: `<https://127.0.0.1:${port}/>; rel=preload`,
            'Alt-Svc': `h2="127.0.0.1:${port}"`,
          })
          .end(),
    });
    const before = canary.connections;
    for (let index = 0; index < 2; index++) await client.fetch(hinting.url(), { accountId: null });
    expect(hinting.received).toHaveLength(2);
    expect(canary.connections).toBe(before);
  });
});

test('the canary would have sung', async () => {
  const open = new OutboundClient({ allow: ['127.0.0.0/8'] });
  const before = canary.connections;
  expect(await reasonOf(open, `https://127.0.0.1:${canary.port}/`)).toBe('network');
  expect([before, canary.connections]).toEqual([0, 1]);
});
