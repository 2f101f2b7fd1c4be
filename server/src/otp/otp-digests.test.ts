import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { SecretGeneration } from '../secrets/secret-purpose.ts';
import { OtpDigests } from './otp-digests.ts';

const first: SecretGeneration = { generation: 1, key: randomBytes(32) };
const second: SecretGeneration = { generation: 2, key: randomBytes(32) };

function digestsUnder(...newestFirst: SecretGeneration[]): OtpDigests {
  return new OtpDigests({ generations: () => newestFirst, current: () => newestFirst[0]! });
}

test('what budgets are of is told apart by what it is, and addresses by their issuer too', () => {
  const digests = digestsUnder(first);
  const all = [
    digests.address('i_1', 'a@example.com'),
    digests.address('i_2', 'a@example.com'),
    digests.address('i_1', 'b@example.com'),
    digests.everywhere('a@example.com'),
    digests.key('a@example.com'),
    digests.ip('192.0.2.1', 'live'),
    digests.ip('192.0.2.1', 'sandbox'),
  ].map((digest) => digest.toString('hex'));
  expect(new Set(all).size).toBe(all.length);
  expect(digests.address('i_1', 'a@example.com').toString('hex')).toBe(all[0]);
});

// Attack: whoever has an IPv6 network takes another of its 2^64 addresses, or spells one in another way, for each mail.
test('eight spellings of an address of a /64 are one, and another /64 is another', () => {
  const digests = digestsUnder(first);
  const spellings = [
    '2001:db8:0:1::1',
    '2001:0db8:0000:0001:0000:0000:0000:0001',
    '2001:DB8:0:1::1',
    '2001:db8:0:1:0:0:0:1',
    '2001:db8:0:1::192.0.2.7',
    '2001:db8:0:1:ffff:ffff:ffff:ffff',
    '2001:db8::1:0:0:0:9',
    '2001:db8:0:1::1%eth0',
  ];
  const buckets = new Set(spellings.map((ip) => digests.ip(ip, 'live').toString('hex')));
  expect(buckets.size).toBe(1);
  expect(buckets).not.toContain(digests.ip('2001:db8:0:2::1', 'live').toString('hex'));
  expect(digests.ip('::ffff:192.0.2.1', 'live')).toEqual(digests.ip('192.0.2.1', 'live'));
});

describe('after a rotation of the secret', () => {
  const before = digestsUnder(first);
  const after = digestsUnder(second, first);

  test('budgets go on, until the old generation is retired', () => {
    expect(after.address('i_1', 'a@example.com')).toEqual(before.address('i_1', 'a@example.com'));
    expect(after.ip('192.0.2.1', 'live')).toEqual(before.ip('192.0.2.1', 'live'));
    expect(digestsUnder(second).ip('192.0.2.1', 'live')).not.toEqual(before.ip('192.0.2.1', 'live'));
  });

  test('devices of before and after are known', () => {
    const old = before.newDevice();
    const fresh = after.newDevice();
    const hex = (token: string) => after.devices(token).map((digest) => digest.toString('hex'));
    expect(hex(old.token)).toContain(old.digest.toString('hex'));
    expect(hex(fresh.token)).toContain(fresh.digest.toString('hex'));
  });
});

test('what is no device token costs nothing', () => {
  const digests = digestsUnder(first);
  const { token } = digests.newDevice();
  for (const shown of [undefined, '', token.slice(1), `${token}x`, `x${token}`, token.toUpperCase()])
    expect(digests.devices(shown)).toEqual([]);
  expect(token).toMatch(/^gld_[A-Za-z0-9_-]{43}$/);
});
