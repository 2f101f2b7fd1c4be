import fc from 'fast-check';
import ipaddr from 'ipaddr.js';
import { describe, expect, test } from 'vitest';
import { scaled } from '../../test/harness/scale.ts';
import { AddressPolicy, specialIpv4, specialIpv6 } from './address-policy.ts';

const policy = new AddressPolicy({ allow: [], ownAddresses: () => [] });

function judge(address: string, by = policy) {
  return by.judge([address])[0];
}

/** An address of a network whose host bits are those of `host`. */
function within(cidr: string, host: readonly number[]): string {
  const [network, bits] = ipaddr.parseCIDR(cidr);
  const mixed = network.toByteArray().map((byte, index) => {
    const hostMask = 0xff >> Math.min(8, Math.max(0, bits - index * 8));
    return (byte & ~hostMask) | ((host[index] ?? 0) & hostMask);
  });
  return textOf(mixed);
}

/** IPv6 in its eight groups. */
function textOf(bytes: number[]): string {
  return ipaddr.fromByteArray(bytes).toNormalizedString();
}

const hostBytes = fc.array(fc.integer({ min: 0, max: 255 }), { minLength: 16, maxLength: 16 });
const notOfTheInternet = [
  ...specialIpv6,
  ...['::/96', '::1/128', '::/3', '64:ff9b:1::/48', '100::/64', '100:0:0:1::/64', '5f00::/16', '4000::/3'],
  ...['8000::/1', 'fc00::/7', 'fd00:ec2::/32', 'fe80::/10', 'fec0::/10', 'ff00::/8'],
];

describe('what is private, reserved or local', () => {
  test('no IPv4 address of a special range is public, in any of its spellings and embeddings', () => {
    fc.assert(
      fc.property(fc.constantFrom(...specialIpv4), hostBytes, (range, host) => {
        const ip = within(range, host);
        const bytes = ip.split('.').map(Number);
        const hex = textOf([...Array<number>(12).fill(0), ...bytes])
          .split(':')
          .slice(6)
          .join(':');
        const spellings = [
          ip,
          `::ffff:${ip}`,
          `::FFFF:${hex}`,
          `0:0:0:0:0:ffff:${hex}`,
          `::${ip}`,
          `::ffff:0:${hex}`,
          `64:ff9b::${ip}`,
          `64:ff9b::${hex}`,
          `64:ff9b:1::${hex}`,
          // 6to4, and Teredo with its server and its inverted client.
          `2002:${hex}::1`,
          `2001:0:${hex}:0:0:0:0`,
          textOf([0x20, 1, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, ...bytes.map((byte) => byte ^ 0xff)]),
        ];
        for (const spelling of spellings) expect([spelling, judge(spelling)]).toEqual([spelling, 'blocked']);
      }),
      { numRuns: scaled(500, 20_000) },
    );
  });

  test('no IPv6 address outside of the internet is public', () => {
    fc.assert(
      fc.property(fc.constantFrom(...notOfTheInternet), hostBytes, (range, host) => {
        const ip = within(range, host);
        // Within ::/3 lie the two that stand for an IPv4 address, which may be a public one.
        fc.pre(!/^(?:0:0:0:0:0:ffff|64:ff9b:0:0:0:0):/.test(ip));
        expect([ip, judge(ip)]).toEqual([ip, 'blocked']);
      }),
      { numRuns: scaled(500, 20_000) },
    );
  });

  test.each(['', 'localhost', '127.1', '2130706433', '0x7f000001', '0177.0.0.1', '1.2.3', '1.1.1.1 ', '::g'])(
    '%j, which is no address, is blocked',
    (text) => expect(judge(text)).toBe('blocked'),
  );

  test.each(['fe80::1%eth0', '::ffff:127.0.0.1%lo'])('%s is blocked, its zone notwithstanding', (ip) =>
    expect(judge(ip)).toBe('blocked'),
  );
});

describe('what belongs to the internet', () => {
  test.each([
    '1.1.1.1',
    '8.8.8.8',
    '9.255.255.255',
    '11.0.0.0',
    '100.63.255.255',
    '100.128.0.0',
    '126.255.255.255',
    '128.0.0.0',
    '168.63.129.15',
    '169.253.255.255',
    '172.15.255.255',
    '172.32.0.0',
    '192.0.1.0',
    '192.167.255.255',
    '192.169.0.0',
    '198.17.255.255',
    '198.20.0.0',
    '223.255.255.255',
    '::ffff:8.8.8.8',
    '64:ff9b::8.8.8.8',
    '2001:200::1',
    '2001:4860:4860::8888',
    '2606:4700:4700::1111',
    '2a00:1450:4001::1',
  ])('%s is public', (ip) => expect(judge(ip)).toBe('public'));

  test('not what belongs to this machine, whatever else it is', () => {
    // The attack: a firewall keeps the internet from our database's port, but not us, who come from this very address.
    const own = new AddressPolicy({ allow: [], ownAddresses: () => ['93.184.215.14', '2606:4700::1'] });
    for (const ip of ['93.184.215.14', '::ffff:93.184.215.14', '64:ff9b::93.184.215.14', '2606:4700:0::1'])
      expect(judge(ip, own)).toBe('blocked');
    expect(judge('93.184.215.15', own)).toBe('public');
  });
});

describe('what the operator names', () => {
  const named = new AddressPolicy({
    allow: ['10.1.0.0/16', '127.0.0.1/32', 'fd00:1::/32', '93.184.215.14/32'],
    ownAddresses: () => ['93.184.215.14'],
  });

  test.each(['10.1.2.3', '::ffff:10.1.2.3', '127.0.0.1', 'fd00:1::5', '93.184.215.14'])('%s is named', (ip) =>
    expect(judge(ip, named)).toBe('named'),
  );

  test.each([
    '10.2.0.0',
    '127.0.0.2',
    '::1',
    'fd00:2::5',
    '64:ff9b::10.1.2.3',
    '::10.1.2.3',
    '2002:a01:203::',
  ])('%s is still blocked', (ip) => expect(judge(ip, named)).toBe('blocked'));
});
