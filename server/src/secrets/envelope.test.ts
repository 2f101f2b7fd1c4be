import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  deriveSubkey,
  EnvelopeError,
  keyId,
  keyIdOfEnvelope,
  openEnvelope,
  sealEnvelope,
} from './envelope.ts';

const key = Buffer.alloc(32, 7);
const otherKey = Buffer.alloc(32, 8);
const bytes = () => fc.uint8Array({ maxLength: 200 });

function faultOf(open: () => unknown): string {
  try {
    open();
  } catch (error) {
    if (error instanceof EnvelopeError) return error.fault;
    throw error;
  }
  return 'opened';
}

test('opens to exactly what was sealed', () => {
  fc.assert(
    fc.property(bytes(), fc.string({ unit: 'binary' }), (plaintext, place) => {
      expect(openEnvelope(key, sealEnvelope(key, plaintext, place), place)).toEqual(Buffer.from(plaintext));
    }),
  );
});

test('opens an envelope of version 1 made by an earlier release', () => {
  const kept = Buffer.from(
    '018d044180fa98eddcf7b73314b8c99d49d6954dc4b1de5e04d3ec3e0330117e619c3a6afa654a1f7dbed2b22f56ea6d244327afd857',
    'hex',
  );
  expect(openEnvelope(key, kept, 'table row 1').toString()).toBe('kept for ever');
});

test('never seals the same twice', () => {
  const sealed = Array.from({ length: 100 }, () =>
    sealEnvelope(key, Buffer.from('same'), 'place').toString('hex'),
  );
  expect(new Set(sealed).size).toBe(100);
});

test('shows nothing of key or plaintext', () => {
  const plaintext = Buffer.from('canary canary canary canary');
  const sealed = sealEnvelope(key, plaintext, 'canary place');
  expect(sealed.includes('canary')).toBe(false);
  expect(sealed.includes(key.subarray(0, 8))).toBe(false);
});

describe('never gives garbage', () => {
  // Attack: someone who can write to the database flips bits of a stored secret and watches what changes.
  test('for any single bit that was flipped', () => {
    const sealed = sealEnvelope(key, Buffer.from('secret'), 'place');
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const flipped = Buffer.from(sealed);
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      expect(faultOf(() => openEnvelope(key, flipped, 'place'))).not.toBe('opened');
    }
  });

  test('for any other length', () => {
    const sealed = sealEnvelope(key, Buffer.from('secret'), 'place');
    for (let length = 0; length < sealed.length; length++) {
      expect(faultOf(() => openEnvelope(key, sealed.subarray(0, length), 'place'))).not.toBe('opened');
    }
    expect(faultOf(() => openEnvelope(key, Buffer.concat([sealed, Buffer.of(0)]), 'place'))).toBe(
      'corrupted',
    );
  });

  test('for random bytes', () => {
    fc.assert(
      fc.property(bytes(), (noise) => {
        expect(faultOf(() => openEnvelope(key, noise, ''))).not.toBe('opened');
      }),
    );
    const plausible = Buffer.concat([Buffer.of(1), keyId(key), randomBytes(64)]);
    expect(faultOf(() => openEnvelope(key, plausible, ''))).toBe('corrupted');
  });

  // Attack: a stored ciphertext is copied to the row of another tenant or purpose.
  test('in another place than it was sealed for', () => {
    const sealed = sealEnvelope(key, Buffer.from('secret'), 'issuer i_1');
    for (const place of ['issuer i_2', 'issuer i_1 ', '']) {
      expect(faultOf(() => openEnvelope(key, sealed, place))).toBe('corrupted');
    }
  });

  test('under another key, and says that it is another one', () => {
    const sealed = sealEnvelope(otherKey, Buffer.from('secret'), 'place');
    expect(faultOf(() => openEnvelope(key, sealed, 'place'))).toBe('foreign_key');
    const disguised = Buffer.from(sealed);
    keyId(key).copy(disguised, 1);
    expect(faultOf(() => openEnvelope(key, disguised, 'place'))).toBe('corrupted');
  });

  test('in a later format', () => {
    const sealed = sealEnvelope(key, Buffer.from('secret'), 'place');
    sealed[0] = 2;
    expect(faultOf(() => openEnvelope(key, sealed, 'place'))).toBe('unknown_version');
  });
});

test('reads a view into a larger buffer as that view', () => {
  const sealed = sealEnvelope(key, Buffer.from('secret'), 'place');
  const padded = new Uint8Array(sealed.length + 20);
  padded.set(sealed, 10);
  expect(openEnvelope(key, padded.subarray(10, -10), 'place').toString()).toBe('secret');
});

test('refuses keys that have not 32 bytes', () => {
  expect(() => sealEnvelope(Buffer.alloc(16), Buffer.alloc(1), '')).toThrow(TypeError);
});

test('names the key it was sealed under, in bytes that are not the key’s', () => {
  expect(keyIdOfEnvelope(sealEnvelope(key, Buffer.alloc(1), ''))).toEqual(keyId(key));
  expect(keyId(key)).not.toEqual(keyId(otherKey));
});

test('subkeys differ by purpose and by key, and stay what they are', () => {
  expect(deriveSubkey(key, 'a')).not.toEqual(deriveSubkey(key, 'b'));
  expect(deriveSubkey(key, 'a')).not.toEqual(deriveSubkey(otherKey, 'a'));
  expect(deriveSubkey(key, 'installation-secrets').toString('hex')).toBe(
    'fd607a8ce29a87c40723bd2f77910c9cc06029d33799282dc690b9d6a62b30c0',
  );
});
