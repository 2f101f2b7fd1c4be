import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { crc32Of } from './checksum.ts';

test('a checksum is the one that zlib makes', () => {
  const seeds = fc.integer({ min: 0, max: 2 ** 32 - 1 });
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(20), seeds, (bytes, skipped, seed) => {
      const at = Math.min(skipped, bytes.length);
      expect(crc32Of(bytes, at, bytes.length, seed)).toBe(crc32(bytes.subarray(at), seed));
      expect(crc32Of(bytes, 0, at, seed)).toBe(crc32(bytes.subarray(0, at), seed));
    }),
  );
});
