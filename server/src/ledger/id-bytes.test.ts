import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { idPrefixes, newId } from '../ids/ids.ts';
import { packId, unpackId } from './id-bytes.ts';

function packed(id: string): string {
  const buffer = Buffer.alloc(18, 0xee);
  packId(idPrefixes.apiKey, id, buffer, 1);
  expect([buffer[0], buffer[17]]).toEqual([0xee, 0xee]);
  return buffer.toString('hex', 1, 17);
}

/** The UUID of an id by another way. */
function uuidOf(id: string): string {
  const number = Array.from(id.slice(4)).reduce((sum, digit) => sum * 36n + BigInt(parseInt(digit, 36)), 0n);
  return number.toString(16).padStart(32, '0');
}

describe('an id', () => {
  test('is packed as the UUID that it spells, and comes back', () => {
    for (let made = 0; made < 1000; made++) {
      const id = newId(idPrefixes.apiKey);
      expect(packed(id)).toBe(uuidOf(id));
      expect(unpackId(idPrefixes.apiKey, Buffer.from(packed(id), 'hex'), 0)).toBe(id);
    }
  });

  test('comes back whatever its UUID is', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
        const id = unpackId(idPrefixes.apiKey, bytes, 0);
        expect(packed(id)).toBe(Buffer.from(bytes).toString('hex'));
      }),
    );
  });

  test('that is more than a UUID is refused', () => {
    const greatest = unpackId(idPrefixes.apiKey, Buffer.alloc(16, 0xff), 0);
    expect(packed(greatest)).toBe('ff'.repeat(16));
    const more = greatest.replace(/.$/, (digit) => (parseInt(digit, 36) + 1).toString(36));
    expect(() => packed(more)).toThrow(RangeError);
    expect(() => packed(`key_${'z'.repeat(25)}`)).toThrow(RangeError);
  });
});
