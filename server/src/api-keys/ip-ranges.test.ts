import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canonicalIp, compileIpRanges, isIpAllowed, parseIpRange } from './ip-ranges.ts';

const eightOfV6 = [
  '2001:db8::ff00:42:8329',
  '2001:DB8::FF00:42:8329',
  '2001:0db8:0000:0000:0000:ff00:0042:8329',
  '2001:db8:0:0:0:ff00:42:8329',
  '2001:db8::0:ff00:42:8329',
  '2001:db8:0::ff00:0042:8329',
  '2001:db8::ff00:0.66.131.41',
  '2001:db8::ff00:42:8329%eth0',
];
const eightOfV4 = [
  '203.0.113.7',
  '::ffff:203.0.113.7',
  '::FFFF:203.0.113.7',
  '::ffff:cb00:7107',
  '::ffff:CB00:7107',
  '0:0:0:0:0:ffff:203.0.113.7',
  '0000:0000:0000:0000:0000:ffff:cb00:7107',
  '0::ffff:cb00:7107',
];

describe('one address in many spellings', () => {
  // Attack: a client that spells its address anew gets past a list, or gets a fresh budget.
  test('eight spellings of an IPv6 address are one', () => {
    expect(new Set(eightOfV6.map(canonicalIp))).toEqual(new Set(['2001:db8::ff00:42:8329']));
  });

  test('eight spellings of an IPv4 address, mapped ones among them, are one', () => {
    expect(new Set(eightOfV4.map(canonicalIp))).toEqual(new Set(['203.0.113.7']));
  });

  test.each([
    ['203.0.113.0/24', eightOfV4],
    ['2001:db8::/32', eightOfV6],
  ])('%s holds all of them, another range none', (range, spellings) => {
    const inside = compileIpRanges([range]);
    const outside = compileIpRanges(['198.51.100.0/24', '2001:db9::/32']);
    for (const spelling of spellings) {
      expect(isIpAllowed(inside, spelling), spelling).toBe(true);
      expect(isIpAllowed(outside, spelling), spelling).toBe(false);
    }
  });

  test('the deprecated IPv4-compatible form is another address than the mapped one', () => {
    expect(canonicalIp('::203.0.113.7')).toBe('::cb00:7107');
    expect(isIpAllowed(compileIpRanges(['203.0.113.0/24']), '::203.0.113.7')).toBe(false);
  });
});

describe('reading a range', () => {
  test.each([
    ['203.0.113.7', '203.0.113.7/32'],
    ['203.0.113.0/24', '203.0.113.0/24'],
    ['0.0.0.0/0', '0.0.0.0/0'],
    ['2001:DB8::1', '2001:db8::1/128'],
    ['2001:db8:0:0::/32', '2001:db8::/32'],
    ['::/0', '::/0'],
    ['::ffff:203.0.113.7', '203.0.113.7/32'],
    ['::ffff:203.0.113.0/120', '203.0.113.0/24'],
    ['::ffff:0:0/96', '0.0.0.0/0'],
  ])('%s is %s', (text, range) => {
    expect(parseIpRange(text)).toEqual({ ok: true, range });
    expect(parseIpRange(range)).toEqual({ ok: true, range });
  });

  test.each([
    ['203.0.113.7/24', '203.0.113.0/24'],
    ['2001:db8::1/32', '2001:db8::/32'],
    ['::ffff:203.0.113.7/120', '203.0.113.0/24'],
    ['10.0.0.0/255.0.0.0', '10.0.0.0/8'],
    [' 203.0.113.7', '203.0.113.7'],
  ])('%j is refused with the suggestion %s', (text, suggestion) => {
    const parsed = parseIpRange(text);
    expect(parsed).toEqual({ ok: false, message: expect.stringContaining(suggestion), suggestion });
    expect(parseIpRange(suggestion).ok).toBe(true);
  });

  test.each([
    '',
    '/',
    '/24',
    '203.0.113.7/',
    '203.0.113.0/33',
    '203.0.113.0/-1',
    '203.0.113.0/024',
    '203.0.113.0/2 4',
    '203.0.113.0/24/8',
    '2001:db8::/129',
    '::ffff:0:0/95',
    '203.0.113',
    '203.0.113.256',
    '010.0.0.1',
    '0x7f.0.0.1',
    '2130706433',
    '127.1',
    '203.0.113.*',
    '*',
    'localhost',
    'fe80::1%eth0',
    '[::1]',
    '::1::',
    '1:2:3:4:5:6:7:8:9',
    '203.0.113.7:80',
    '２０３.0.113.7',
    '203.0.113.7\0',
    '::ffff:010.0.0.1',
    '10.0.0.0/255.0.255.0',
    '1'.repeat(1e4),
  ])('%j is refused', (text) => {
    const parsed = parseIpRange(text);
    expect(parsed.ok).toBe(false);
    expect(parsed).not.toHaveProperty('suggestion');
  });

  test('nothing throws, and what is taken is its own canonical form', () => {
    const suffix = fc.oneof(
      fc.constant(''),
      fc.integer({ min: 0, max: 130 }).map((bits) => `/${bits}`),
    );
    const text = fc.oneof(
      fc.tuple(fc.oneof(fc.ipV4(), fc.ipV4Extended(), fc.ipV6()), suffix).map((parts) => parts.join('')),
      fc.string({ unit: 'binary' }),
    );
    fc.assert(
      fc.property(text, (given) => {
        const parsed = parseIpRange(given);
        if (parsed.ok) expect(parseIpRange(parsed.range)).toEqual(parsed);
        else {
          expect(parsed.message).not.toBe('');
          if (parsed.suggestion !== undefined) expect(parseIpRange(parsed.suggestion).ok).toBe(true);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe('matching', () => {
  const toNumber = (ip: string) => ip.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);

  test('an IPv4 address is allowed exactly where its leading bits are those of the range', () => {
    fc.assert(
      fc.property(
        fc.ipV4(),
        fc.integer({ min: 0, max: 32 }),
        fc.integer({ min: 0, max: 32 }),
        (base, bits, flipped) => {
          const size = 2 ** (32 - bits);
          const first = Math.floor(toNumber(base) / size) * size;
          const network = [24, 16, 8, 0].map((shift) => Math.floor(first / 2 ** shift) % 256).join('.');
          const asked = flipped === 32 ? toNumber(base) : (toNumber(base) ^ (2 ** flipped)) >>> 0;
          const ip = [24, 16, 8, 0].map((shift) => (asked >>> shift) % 256).join('.');
          expect(isIpAllowed(compileIpRanges([`${network}/${bits}`]), ip)).toBe(
            asked >= first && asked < first + size,
          );
        },
      ),
      { numRuns: 1000 },
    );
  });

  test('any of several ranges is enough', () => {
    const ranges = compileIpRanges(['203.0.113.0/24', '2001:db8::/32', '198.51.100.7']);
    expect(['203.0.113.255', '2001:db8:ffff::', '198.51.100.7'].every((ip) => isIpAllowed(ranges, ip))).toBe(
      true,
    );
    expect(['203.0.114.0', '2001:db9::', '198.51.100.8'].some((ip) => isIpAllowed(ranges, ip))).toBe(false);
  });

  test('all of one family is nothing of the other', () => {
    expect(isIpAllowed(compileIpRanges(['0.0.0.0/0']), '::1')).toBe(false);
    expect(isIpAllowed(compileIpRanges(['::/0']), '203.0.113.7')).toBe(false);
    expect(isIpAllowed(compileIpRanges(['::/0']), '::ffff:203.0.113.7')).toBe(false);
  });

  test.each([
    '',
    'unknown',
    '-',
    '203.0.113.7, 10.0.0.1',
    '203.0.113.7:443',
    '0xcb007107',
    '3405803783',
    '203.0.113.007',
    '%eth0',
    '203.0.113.7%1',
    'x'.repeat(100_000),
  ])('what is no address (%j) is in no range', (ip) => {
    expect(isIpAllowed(compileIpRanges(['0.0.0.0/0', '::/0']), ip)).toBe(false);
    expect(canonicalIp(ip)).toBeNull();
  });

  test('an empty list allows nothing', () => {
    expect(isIpAllowed(compileIpRanges([]), '203.0.113.7')).toBe(false);
  });

  test('a list that was never parsed is a fault', () => {
    expect(() => compileIpRanges(['203.0.113.7/24'])).toThrow('not an IP range');
  });
});
