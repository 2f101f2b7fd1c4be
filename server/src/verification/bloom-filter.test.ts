import { createHash, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isSoak, scaled } from '../../test/harness/scale.ts';
import { BloomFilter } from './bloom-filter.ts';

const digestOf = (name: string) => createHash('sha256').update(name).digest();

test('an empty filter holds nothing', () => {
  expect(new BloomFilter().mayHave(randomBytes(32))).toBe(false);
});

// A false negative is a customer's key that is refused.
test('whatever was added is found, in whatever order and however often', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ minLength: 32, maxLength: 32 }), { maxLength: 500 }), (digests) => {
      const filter = new BloomFilter();
      for (const digest of [...digests, ...digests]) filter.add(digest);
      expect(digests.every((digest) => filter.mayHave(digest))).toBe(true);
      expect(filter.size).toBeLessThanOrEqual(digests.length);
    }),
  );
});

test(
  'it errs at most once in 100,000, and never about what it holds, whenever it has grown',
  () => {
    const filter = new BloomFilter();
    const held = scaled(50_000, 1_000_000);
    for (let index = 0; index < held; index++) filter.add(digestOf(`held ${index}`));
    let lost = 0;
    for (let index = 0; index < held; index++) if (!filter.mayHave(digestOf(`held ${index}`))) lost++;
    expect(lost).toBe(0);
    expect(held - filter.size).toBeLessThanOrEqual(held / 50_000 + 3);

    const asked = scaled(500_000, 5_000_000);
    let wrong = 0;
    for (let index = 0; index < asked; index++) if (filter.mayHave(digestOf(`stranger ${index}`))) wrong++;
    // The bound, and room for chance: the digests are the same in each run, so this holds always or never.
    expect(wrong).toBeLessThanOrEqual(asked / 100_000);
    if (isSoak)
      console.log(
        `SOAK filter: ${held} digests in ${filter.bytes} bytes, ${wrong} wrong of ${asked} strangers`,
      );
  },
  scaled(60_000, 600_000),
);
