import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { longestTokenSeconds } from '../tokens/token-life.ts';
import {
  endOfPublication,
  isPublished,
  jwksMaxAgeSeconds,
  type KeyTimes,
  leadSeconds,
  publicJwkOf,
  signerAt,
  statusOf,
} from './signing-key.ts';

const second = 1000;

/** The keys of an issuer that was rotated at these moments, as `rotateSigningKey` makes them. */
function rotatedAt(madeAtMs: readonly number[], staleSeconds: number): (KeyTimes & { madeAtMs: number })[] {
  const keys: { madeAtMs: number; activatesAt: Date; expiresAt: Date | null }[] = [];
  for (const at of madeAtMs) {
    const [newest] = keys;
    if (newest !== undefined && newest.activatesAt.getTime() > at) continue;
    const lead = newest === undefined ? 0 : leadSeconds({ staleSeconds }) * second;
    const activatesAt = new Date(at + lead);
    if (newest !== undefined) newest.expiresAt = endOfPublication(activatesAt);
    keys.unshift({ madeAtMs: at, activatesAt, expiresAt: null });
  }
  return keys;
}

const history = fc
  .tuple(fc.array(fc.nat(20_000_000), { minLength: 1, maxLength: 8 }), fc.integer({ min: 0, max: 3600 }))
  .map(([gaps, staleSeconds]) => {
    let at = 1_800_000_000_000;
    const moments = gaps.map((gap) => (at += gap));
    return { keys: rotatedAt(moments, staleSeconds), staleSeconds, from: moments[0]! };
  });

describe('whenever an issuer’s keys are rotated', () => {
  test('whoever holds a key set that may still be kept knows the key that signs', () => {
    fc.assert(
      fc.property(history, fc.nat(60_000_000), ({ keys, staleSeconds, from }, after) => {
        const signer = signerAt(keys, from + after)!;
        // The set was read at a node that had been cut off for as long as it may be, and kept as long as it may be.
        const readAtMs = from + after - (jwksMaxAgeSeconds + staleSeconds) * second;
        const isFirst = signer.activatesAt.getTime() === signer.madeAtMs;
        expect(signer.madeAtMs <= readAtMs || isFirst).toBe(true);
      }),
    );
  });

  test('a token of the longest life verifies until it ends', () => {
    fc.assert(
      fc.property(history, fc.nat(60_000_000), fc.nat(longestTokenSeconds), ({ keys, from }, after, age) => {
        const signer = signerAt(keys, from + after)!;
        expect(isPublished(signer, from + after + age * second)).toBe(true);
      }),
    );
  });

  test('few keys are published at a time', () => {
    fc.assert(
      fc.property(history, fc.nat(60_000_000), ({ keys, from }, after) => {
        const atMs = from + after;
        const published = keys.filter((key) => key.madeAtMs <= atMs && isPublished(key, atMs));
        expect(published.length).toBeGreaterThan(0);
        expect(published.length).toBeLessThanOrEqual(8);
      }),
    );
  });
});

test('of a clock that was put back the oldest key makes the best', () => {
  const keys = rotatedAt([10_000_000, 20_000_000], 30);
  expect(signerAt(keys, 0)).toBe(keys.at(-1));
  expect(signerAt([], 0)).toBeUndefined();
});

test('a key is upcoming, current and then retired', () => {
  const at = (text: string) => new Date(`2026-11-21T${text}Z`);
  const key = { activates_at: at('12:00:00'), retires_at: at('13:00:00') };
  expect(statusOf(key, at('11:59:59'))).toBe('upcoming');
  expect(statusOf(key, at('12:00:00'))).toBe('current');
  expect(statusOf(key, at('12:59:59'))).toBe('current');
  expect(statusOf(key, at('13:00:00'))).toBe('retired');
  expect(statusOf({ ...key, retires_at: null }, at('23:00:00'))).toBe('current');
});

test('a public key has no member of the private one, whatever that has', () => {
  const secret = { d: 'd', p: 'p', q: 'q', dp: 'dp', dq: 'dq', qi: 'qi', k: 'k', oth: [], key_ops: ['sign'] };
  const id = { id: 'sig_1', algorithm: 'RS256' } as const;
  expect(publicJwkOf({ kty: 'RSA', n: 'n', e: 'e', ext: true, ...secret } as never, id)).toEqual({
    kty: 'RSA',
    n: 'n',
    e: 'e',
    kid: 'sig_1',
    use: 'sig',
    alg: 'RS256',
  });
});
