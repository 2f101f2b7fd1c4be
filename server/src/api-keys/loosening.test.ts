import { expect, test } from 'vitest';
import type { WindowLimit } from '../limits/limits.ts';
import { isLoosened, type KeyPower } from './loosening.ts';

const free: KeyPower = {
  scopes: null,
  expires_at: null,
  origins: [],
  browsers: 'allow',
  require_origin: false,
  ips: [],
  limits: [],
  quota: null,
};
const tight: KeyPower = {
  scopes: ['invoices:read'],
  expires_at: new Date('2027-01-01T00:00:00Z'),
  origins: ['https://a.example', 'http://localhost:*'],
  browsers: 'deny',
  require_origin: true,
  ips: ['192.0.2.0/24', '2001:db8::/32'],
  limits: [
    { name: 'hour', limit: 10, window: 'hour' },
    { name: 'hour', limit: 50, window: 'day' },
  ],
  quota: { credits: 100, since: 1_700_000_000, refill: { amount: 100, every: 'month' } },
};

test('every restriction taken away loosens, every one put on does not', () => {
  for (const member of Object.keys(free) as (keyof KeyPower)[]) {
    expect([member, isLoosened(tight, { ...tight, [member]: free[member] })]).toEqual([member, true]);
    expect([member, isLoosened(free, { ...free, [member]: tight[member] })]).toEqual([member, false]);
  }
  expect(isLoosened(tight, tight)).toBe(false);
  expect(isLoosened(free, free)).toBe(false);
});

const [hour, day] = tight.limits as [WindowLimit, WindowLimit];
const quota = tight.quota!;

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
  [{ limits: [day, hour] }, false],
  [{ limits: [{ ...hour, limit: 0 }, day] }, false],
  [{ limits: [hour, day, { name: 'second', limit: 1, window: 'second' }] }, false],
  [{ limits: [hour] }, true],
  [{ limits: [{ ...hour, limit: 11 }, day] }, true],
  // A limit that is renamed, or moved to another window, is counted from nothing.
  [{ limits: [{ ...hour, name: 'h' }, day] }, true],
  [{ limits: [{ ...hour, window: 'minute' }, day] }, true],
  [{ quota: { ...quota, credits: 99 } }, false],
  [{ quota: { ...quota, refill: { amount: 1, every: 'month' } } }, false],
  [{ quota: { ...quota, credits: 101 } }, true],
  // Set anew, and be it to fewer: what was used of the old ones is forgotten.
  [{ quota: { ...quota, credits: 1, since: quota.since + 1 } }, true],
  [{ quota: { ...quota, refill: { amount: 101, every: 'month' } } }, true],
  [{ quota: { ...quota, refill: { amount: 1, every: 'day' } } }, true],
  [{ quota: { ...quota, refill: null } }, true],
])('of a tight key %j loosens: %j', (change, loosens) => {
  expect(isLoosened(tight, { ...tight, ...change })).toBe(loosens);
});
