import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { digestOfRefreshToken, newRefreshToken } from './refresh-token.ts';

/** An installation's secret in so many generations, the newest in use. */
function secretsOf(generations: number) {
  const keys = Array.from({ length: generations }, () => randomBytes(32));
  return {
    current: () => ({ generation: generations, key: keys[generations - 1]! }),
    key: (_purpose: unknown, generation: number) => keys[generation - 1],
  };
}

const secrets = secretsOf(12);

describe('a refresh token', () => {
  test('has 256 random bits, tells its generation, and is stored as a digest of which it can’t be made', () => {
    const made = Array.from({ length: 100 }, () => newRefreshToken(secrets));
    for (const { token, digest, generation } of made) {
      expect(token).toMatch(/^gl_rt_12_[\w-]{55}$/);
      expect([generation, digest.length]).toEqual([12, 32]);
      expect(token).not.toContain(digest.toString('base64url'));
      expect(digestOfRefreshToken(token, secrets)).toEqual(digest);
    }
    expect(new Set(made.map(({ token }) => token)).size).toBe(100);
  });

  test('of an older generation is known, of a retired or foreign one is not', () => {
    const old = secretsOf(1);
    const { token, digest } = newRefreshToken(old);
    expect(digestOfRefreshToken(token, { key: old.key })).toEqual(digest);
    expect(digestOfRefreshToken(token, { key: () => undefined })).toBeNull();
    expect(digestOfRefreshToken(token, secretsOf(1))).toBeNull();
  });

  // Attack: change a token that one has, or make one up, and have the database asked about it, or be let in.
  test('that was changed in any character is refused without a look-up', () => {
    const { token } = newRefreshToken(secrets);
    fc.assert(
      fc.property(fc.nat(token.length - 1), fc.string({ minLength: 1, maxLength: 1 }), (at, character) => {
        const changed = token.slice(0, at) + character + token.slice(at + 1);
        expect(digestOfRefreshToken(changed, secrets) === null).toBe(changed !== token);
      }),
      { numRuns: 500 },
    );
    for (const other of [
      '',
      token.slice(1),
      `${token}A`,
      ` ${token}`,
      token.toUpperCase(),
      'x'.repeat(100_000),
    ])
      expect(digestOfRefreshToken(other, secrets)).toBeNull();
  });
});
