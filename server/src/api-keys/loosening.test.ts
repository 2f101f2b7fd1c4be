import { expect, test } from 'vitest';
import { isLoosened, type KeyPower } from './loosening.ts';

const free: KeyPower = {
  scopes: null,
  expires_at: null,
  origins: [],
  browsers: 'allow',
  require_origin: false,
  ips: [],
};
const tight: KeyPower = {
  scopes: ['invoices:read'],
  expires_at: new Date('2027-01-01T00:00:00Z'),
  origins: ['https://a.example', 'http://localhost:*'],
  browsers: 'deny',
  require_origin: true,
  ips: ['192.0.2.0/24', '2001:db8::/32'],
};

test('every restriction taken away loosens, every one put on does not', () => {
  for (const member of Object.keys(free) as (keyof KeyPower)[]) {
    expect([member, isLoosened(tight, { ...tight, [member]: free[member] })]).toEqual([member, true]);
    expect([member, isLoosened(free, { ...free, [member]: tight[member] })]).toEqual([member, false]);
  }
  expect(isLoosened(tight, tight)).toBe(false);
  expect(isLoosened(free, free)).toBe(false);
});

test.each<[Partial<KeyPower>, boolean]>([
  [{ scopes: [] }, false],
  [{ scopes: ['invoices:write'] }, true],
  [{ expires_at: new Date('2026-12-31T00:00:00Z') }, false],
  [{ expires_at: new Date('2027-01-01T00:00:00.001Z') }, true],
  [{ origins: ['https://a.example'] }, false],
  [{ origins: ['http://localhost:3000'] }, false],
  [{ origins: ['http://127.0.0.1:*'] }, true],
  [{ origins: ['https://a.example', 'https://a.example.evil'] }, true],
  [{ ips: ['192.0.2.7/32'] }, false],
  [{ ips: ['2001:db8:1::/48', '192.0.2.0/24'] }, false],
  [{ ips: ['192.0.2.0/23'] }, true],
  [{ ips: ['192.0.2.0/24', '198.51.100.1/32'] }, true],
  [{ ips: ['::/0'] }, true],
  [{ ips: ['0.0.0.0/0'] }, true],
])('of a tight key %j loosens: %j', (change, loosens) => {
  expect(isLoosened(tight, { ...tight, ...change })).toBe(loosens);
});
