import { createHmac, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { digestOfImport, hashOfSecret, parseHash } from './imported-hash.ts';

const hash = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes));

describe('a hash', () => {
  test('is read in every spelling that encoders use', () => {
    fc.assert(
      fc.property(hash, (bytes) => {
        const hex = bytes.toString('hex');
        for (const text of [hex, hex.toUpperCase()]) expect(parseHash(text, 'hex')).toEqual(bytes);
        const base64 = bytes.toString('base64');
        const base64url = bytes.toString('base64url');
        for (const text of [base64, base64.replace('=', ''), base64url, `${base64url}=`])
          expect(parseHash(text, 'base64')).toEqual(bytes);
      }),
    );
  });

  test('is 32 bytes, and nothing else is one', () => {
    const other = fc.uint8Array({ maxLength: 64 }).filter(({ length }) => length !== 32);
    fc.assert(
      fc.property(other, (bytes) => {
        for (const encoding of ['hex', 'base64'] as const)
          expect(parseHash(Buffer.from(bytes).toString(encoding), encoding)).toBeNull();
      }),
    );
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 80 }), (text) => {
        for (const encoding of ['hex', 'base64'] as const) {
          const parsed = parseHash(text, encoding);
          if (parsed !== null) expect(parsed.length).toBe(32);
        }
      }),
    );
  });

  test.each([
    ['0'.repeat(63), 'hex'],
    [`${'0'.repeat(63)}g`, 'hex'],
    [`0x${'0'.repeat(62)}`, 'hex'],
    [` ${'0'.repeat(64)}`, 'hex'],
    [`${'0'.repeat(64)}\n`, 'hex'],
    // Two spare bits at the end that no encoder sets.
    [`${'A'.repeat(42)}B`, 'base64'],
    [`${'A'.repeat(43)}==`, 'base64'],
    [`${'-'.repeat(21)}${'+'.repeat(21)}A`, 'base64'],
    ['a'.repeat(64), 'base64'],
  ] as const)('is not %j in %s', (text, encoding) => {
    expect(parseHash(text, encoding)).toBeNull();
  });

  test('of a secret is the SHA-256 of its UTF-8 bytes', () => {
    expect(hashOfSecret('abc').toString('hex')).toBe(
      'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
    );
    expect(hashOfSecret('schlüssel🔑')).toEqual(hashOfSecret(Buffer.from('schlüssel🔑').toString()));
  });
});

// Attack: a dump of the database. What stands there must neither be the hash nor tell that two accounts share one.
describe('the digest', () => {
  const key = randomBytes(32);
  const digest = (account: string, secret = 'abc', by = key) =>
    digestOfImport(by, account, hashOfSecret(secret)).toString('hex');

  test('is HMAC-SHA256 over domain, account and hash', () => {
    const message = Buffer.concat([
      Buffer.from('gatelodge imported api key\0acc_1', 'latin1'),
      hashOfSecret('abc'),
    ]);
    expect(digest('acc_1')).toBe(createHmac('sha256', key).update(message).digest('hex'));
  });

  test('differs by account, hash and generation of the secret', () => {
    const digests = [
      digest('acc_1'),
      digest('acc_2'),
      digest('acc_1', 'abd'),
      digest('acc_1', 'abc', randomBytes(32)),
    ];
    expect(new Set([...digests, hashOfSecret('abc').toString('hex')]).size).toBe(5);
  });
});
