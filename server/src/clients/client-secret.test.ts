import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { type HeldSecret, newClientSecret, verifyClientSecret } from './client-secret.ts';

const keys = new Map([1, 2].map((generation) => [generation, randomBytes(32)]));
/** The installation's secrets, of which some generations are retired. */
const secretsOf = (current: number, retired: readonly number[] = []) => ({
  current: () => ({ generation: current, key: keys.get(current)! }),
  key: (_purpose: string, generation: number) =>
    retired.includes(generation) ? undefined : keys.get(generation),
});
const nowMs = 1_000_000;

function held(clientId: string, generation: number, expiresAtMs: number | null = null) {
  const made = newClientSecret(clientId, secretsOf(generation));
  const secret: HeldSecret = { digest: made.digest, generation: made.generation, expiresAtMs };
  return { shown: made.secret, secret };
}

const verify = (secrets: readonly HeldSecret[], shown: string, of = secretsOf(1), id = 'c_a') =>
  verifyClientSecret({ id, secrets }, shown, { secrets: of, nowMs });

test('has 256 random bits in characters that need no escaping, and a hint that gives none of it away but four', () => {
  const made = Array.from({ length: 1_000 }, () => newClientSecret('c_a', secretsOf(1)));
  expect(new Set(made.map(({ secret }) => secret)).size).toBe(1_000);
  for (const { secret, hint } of made) {
    expect(secret).toMatch(/^gl_cs_[A-Za-z0-9_-]{43}$/);
    expect(encodeURIComponent(secret)).toBe(secret);
    expect(hint).toBe(`gl_cs_…${secret.slice(-4)}`);
  }
});

describe('a secret', () => {
  test('is taken while it works, whichever of the two it is', () => {
    const [newest, old] = [held('c_a', 2), held('c_a', 1, nowMs + 1)];
    for (const { shown } of [newest, old]) expect(verify([newest.secret, old.secret], shown)).toBe(true);
  });

  test('is refused once its grace has ended, to the millisecond', () => {
    const old = held('c_a', 1, nowMs);
    expect(verify([held('c_a', 1).secret, old.secret], old.shown)).toBe(false);
  });

  test('is refused where its generation is retired', () => {
    const { shown, secret } = held('c_a', 1);
    expect(verify([secret], shown, secretsOf(2, [1]))).toBe(false);
  });

  test('is of its client alone', () => {
    const { shown, secret } = held('c_a', 1);
    expect(verify([secret], shown, secretsOf(1), 'c_b')).toBe(false);
  });

  // Attack: ten thousand that are nearly right.
  test('is refused in every other spelling', () => {
    const { shown, secret } = held('c_a', 1);
    expect(verify([secret], shown)).toBe(true);
    const mutants = [
      '',
      ' ',
      `${shown} `,
      ` ${shown}`,
      shown.slice(0, -1),
      `${shown}=`,
      `${shown}\0`,
      shown.toUpperCase(),
    ];
    mutants.push(shown.slice(6), encodeURIComponent(`${shown}%`), shown.repeat(20), 'x'.repeat(1_000_000));
    for (let at = 0; at < shown.length; at++)
      for (let bit = 0; bit < 8; bit++)
        mutants.push(
          shown.slice(0, at) + String.fromCharCode(shown.charCodeAt(at) ^ (1 << bit)) + shown.slice(at + 1),
        );
    expect(mutants.filter((mutant) => verify([secret], mutant))).toEqual([]);
    expect(mutants.length).toBeGreaterThan(400);
  });

  test('is none of a client that has none', () => {
    for (const shown of ['', 'gl_cs_', '\0'.repeat(32)]) expect(verify([], shown)).toBe(false);
  });
});
