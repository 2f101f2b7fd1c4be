import { describe, expect, test } from 'vitest';
import { NetworkCap, networkOf } from './network-cap.ts';

const spellings = [
  '2001:db8:0:1::5',
  '2001:DB8:0:1::5',
  '2001:0db8:0000:0001:0000:0000:0000:0005',
  '2001:db8:0:1:0:0:0:5',
  '2001:db8::1:0:0:0:5',
  '2001:db8:0:1::0.0.0.5',
  '2001:db8:0:1::5%eth0',
  '2001:db8:0:1:0::5',
];
const spellingsOfIPv4 = [
  '198.51.100.7',
  '::ffff:198.51.100.7',
  '::FFFF:c633:6407',
  '0:0:0:0:0:ffff:198.51.100.7',
];

describe('one address', () => {
  test('has one bucket, however it is spelled', () => {
    expect(new Set(spellings.map(networkOf)).size).toBe(1);
    expect(new Set(spellingsOfIPv4.map(networkOf)).size).toBe(1);
  });

  test('of IPv6 is its whole /64', () => {
    // The attack: one machine takes a fresh address of its /64 each time.
    const cap = new NetworkCap(() => 0, 100);
    const over = Array.from({ length: 150 }, (_, index) => cap.isOver(`2001:db8:0:1::${index.toString(16)}`));
    expect(over.filter((isOver) => isOver).length).toBe(50);
    expect(cap.isOver('2001:db8:0:2::1')).toBe(false);
  });
});

test('the count begins anew with each minute', () => {
  let nowMs = 59_999;
  const cap = new NetworkCap(() => nowMs, 100);
  for (let count = 0; count < 100; count++) expect(cap.isOver('198.51.100.7')).toBe(false);
  expect(cap.isOver('198.51.100.7')).toBe(true);
  expect(cap.isOver('198.51.100.8')).toBe(false);
  nowMs = 60_000;
  expect(cap.isOver('198.51.100.7')).toBe(false);
});

// Attack: ten thousands of networks, to fill the memory, to let every one of them pass, or to leave no room to anybody else.
test('any number of networks takes nothing from those that come after them', () => {
  const cap = new NetworkCap(() => 0, 100);
  for (let index = 0; index < 60_000; index++)
    cap.isOver(`2001:${(index >> 8).toString(16)}:${(index & 255).toString(16)}::1`);
  for (let index = 0; index < 20_000; index++) cap.isOver(`10.${index >> 8}.${index & 255}.1`);
  for (let index = 0; index < 50; index++) {
    expect(cap.isOver(`198.51.100.${index}`)).toBe(false);
    expect(cap.isOver(`2a00:1450:${index}::1`)).toBe(false);
  }
  // And each of them is still counted: less exactly, but never too little.
  let passed = 0;
  for (let count = 0; count < 200; count++) if (!cap.isOver('198.51.100.200')) passed++;
  expect(passed).toBeGreaterThan(80);
  expect(passed).toBeLessThanOrEqual(100);
});

test('what is no address is counted as one', () => {
  expect(new Set(['', 'unknown', 'x'.repeat(500), '1.2.3'].map(networkOf))).toEqual(new Set(['none']));
});

// Attack: whoever has a /48 has 65,536 networks to come from, fills every place with them, and honest ones are
// refused until the minute is over.
test('a site of IPv6 has a cap of its own, and leaves the places to others', () => {
  const cap = new NetworkCap(() => 0, 100);
  let passed = 0;
  for (let index = 0; index < 20_000; index++)
    if (!cap.isOver(`2001:db8:7:${index.toString(16)}::1`)) passed++;
  expect(passed).toBe(1_000);
  for (let index = 0; index < 50; index++) expect(cap.isOver(`198.51.100.${index}`)).toBe(false);
  expect(cap.isOver('2001:db8:8::1')).toBe(false);
});
