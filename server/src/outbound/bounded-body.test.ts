import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BoundedBody } from './bounded-body.ts';

test('keeps the beginning of what is sent, however it is cut into chunks', () => {
  const chunks = fc.array(fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)));
  fc.assert(
    fc.property(chunks, fc.integer({ min: 0, max: 300 }), (given, maxBytes) => {
      const body = new BoundedBody(maxBytes);
      const fits = given.map((chunk) => body.add(chunk));
      const all = Buffer.concat(given);
      expect(body.read().equals(all.subarray(0, maxBytes))).toBe(true);
      expect(fits.every(Boolean)).toBe(all.length <= maxBytes);
    }),
  );
});
