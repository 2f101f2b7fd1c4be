import { afterEach, describe, expect, test, vi } from 'vitest';
import { idPrefixes, isId, leastIdAt, newId } from './ids.ts';

afterEach(() => vi.restoreAllMocks());

/** The 128 bits of a UUIDv7 that stand behind an id's prefix. */
function uuidOf(id: string): bigint {
  return Array.from(id.slice(id.indexOf('_') + 1)).reduce(
    (sum, digit) => sum * 36n + BigInt(parseInt(digit, 36)),
    0n,
  );
}

describe('an id', () => {
  test.each(Object.values(idPrefixes))('with the prefix %s has 25 base36 characters after it', (prefix) => {
    const id = newId(prefix);
    expect(id.startsWith(prefix)).toBe(true);
    expect(id.slice(prefix.length)).toMatch(/^[0-9a-z]{25}$/);
    expect(isId(prefix, id)).toBe(true);
  });

  test('is a UUIDv7 of this moment (RFC 9562 §5.7)', () => {
    const before = BigInt(Date.now());
    const uuid = uuidOf(newId(idPrefixes.event));
    const after = BigInt(Date.now());
    expect((uuid >> 76n) & 0xfn).toBe(7n);
    expect((uuid >> 62n) & 0b11n).toBe(0b10n);
    const madeAt = uuid >> 80n;
    // Ids made faster than the clock ticks run ahead of it.
    expect(madeAt).toBeGreaterThanOrEqual(before);
    expect(madeAt).toBeLessThanOrEqual(after + 10n);
  });

  test('lies between the least ones of the moments around it', () => {
    const before = Date.now();
    const id = newId(idPrefixes.event);
    // Ids made faster than the clock ticks run ahead of it.
    const after = Date.now() + 10;
    expect(leastIdAt(idPrefixes.event, before) < id).toBe(true);
    expect(id < leastIdAt(idPrefixes.event, after)).toBe(true);
    for (const timeMs of [0, 1, before, 253_402_300_799_999]) {
      const least = leastIdAt(idPrefixes.event, timeMs);
      expect(isId(idPrefixes.event, least)).toBe(true);
      expect(uuidOf(least)).toBe(BigInt(timeMs) << 80n);
    }
  });

  test('no prefix begins with another, so none can be taken for another', () => {
    const prefixes = Object.values(idPrefixes);
    for (const one of prefixes)
      for (const other of prefixes) if (one !== other) expect(other.startsWith(one)).toBe(false);
  });
});

describe('many ids', () => {
  const many = Array.from({ length: 50_000 }, () => newId(idPrefixes.event));

  test('sort as they were made, also within a millisecond', () => {
    expect(many.toSorted()).toEqual(many);
    expect(new Set(many).size).toBe(many.length);
  });

  test('are random in 62 bits: none of them tells another', () => {
    const random = new Set(many.map((id) => uuidOf(id) & 0x3fff_ffff_ffff_ffffn));
    expect(random.size).toBe(many.length);
    // Each bit is set in half of them, give or take what chance does (6 standard deviations).
    const tolerance = 6 * Math.sqrt(many.length / 4);
    for (let bit = 0n; bit < 62n; bit++) {
      let set = 0;
      for (const value of random) if ((value >> bit) & 1n) set++;
      expect(Math.abs(set - many.length / 2)).toBeLessThan(tolerance);
    }
  });

  test('go on rising when the clock is set back', () => {
    const last = newId(idPrefixes.event);
    vi.spyOn(Date, 'now').mockReturnValue(Date.now() - 3_600_000);
    const later = Array.from({ length: 5000 }, () => newId(idPrefixes.event));
    expect([last, ...later].toSorted()).toEqual([last, ...later]);
    expect(new Set(later).size).toBe(later.length);
  });

  test('go on rising when the clock jumps ahead and back again', () => {
    const now = Date.now();
    const ids: string[] = [];
    const clock = vi.spyOn(Date, 'now');
    for (const jump of [0, 10, 5, 10, 20, 0]) {
      clock.mockReturnValue(now + jump);
      for (let index = 0; index < 100; index++) ids.push(newId(idPrefixes.event));
    }
    expect(ids.toSorted()).toEqual(ids);
    expect(new Set(ids).size).toBe(ids.length);
  });
});

describe('the form of an id', () => {
  const body = '0123456789abcdefghijklmno';

  test('says nothing about whether there is such an object', () => {
    expect(isId(idPrefixes.issuer, `i_${body}`)).toBe(true);
  });

  test.each([
    '',
    'i_',
    body,
    `i_${body}0`,
    `i_${body.slice(1)}`,
    `I_${body}`,
    `i_${body.toUpperCase()}`,
    `org_${body}`,
    `i_${body}\n`,
    ` i_${body}`,
    `i_${body.slice(1)}é`,
    `i_${body.slice(1)}'`,
  ])('%j has not that of an issuer', (text) => {
    expect(isId(idPrefixes.issuer, text)).toBe(false);
  });
});
