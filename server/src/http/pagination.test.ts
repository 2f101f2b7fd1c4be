import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { idPrefixes, newId } from '../ids/ids.ts';
import { CursorCodec, maxCursorLength, pageQuery, toPage } from './pagination.ts';
import { parseInput } from './validation.ts';

const key = randomBytes(32);
const codec = new CursorCodec(key, ['acc_1', '/v1/issuers', []]);
const position = fc.array(fc.string({ unit: 'binary' }), { minLength: 1, maxLength: 3 });
const refused = expect.objectContaining({
  code: 'invalid_request',
  errors: [expect.objectContaining({ path: 'query.cursor', code: 'invalid_cursor' })],
});

describe('a cursor', () => {
  test('leads back to where it was made, whatever text the position holds', () => {
    fc.assert(
      fc.property(position, (value) => {
        expect(codec.decode(codec.encode(value))).toEqual(value);
      }),
    );
  });

  test.each(['\u0001', '"', '漢', '😀'])('of the longest name fits, also where it is all %j', (character) => {
    const name = character.repeat(200 / character.length);
    expect(codec.encode([name, newId(idPrefixes.organization)]).length).toBeLessThanOrEqual(maxCursorLength);
  });

  test('can go into a URL as it is', () => {
    fc.assert(
      fc.property(position, (value) => {
        expect(codec.encode(value)).toMatch(/^[\w-]+\.[\w-]+$/);
      }),
    );
  });

  test('is refused when one character of it is another', () => {
    // The attack: a position of one's own choosing, to read where no page began; and other spellings of the same
    // base64url bytes.
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ ';
    fc.assert(
      fc.property(position, fc.nat(), fc.constantFrom(...alphabet.split('')), (value, at, character) => {
        const cursor = codec.encode(value);
        const index = at % cursor.length;
        fc.pre(cursor[index] !== character);
        const forged = cursor.slice(0, index) + character + cursor.slice(index + 1);
        expect(() => codec.decode(forged)).toThrow(refused);
      }),
    );
  });

  test('is refused by another list, query, account or installation', () => {
    const cursor = codec.encode(['i_1']);
    for (const other of [
      new CursorCodec(key, ['acc_2', '/v1/issuers', []]),
      new CursorCodec(key, ['acc_1', '/v1/api-keys', []]),
      new CursorCodec(key, ['acc_1', '/v1/issuers', [['search', 'x']]]),
      new CursorCodec(randomBytes(32), ['acc_1', '/v1/issuers', []]),
    ]) {
      expect(() => other.decode(cursor)).toThrow(refused);
    }
  });

  test.each(['', '.', 'a', 'a.b', 'a.b.c', '..', `${Buffer.from('["i_1"]').toString('base64url')}.`])(
    '%j is refused',
    (text) => {
      expect(() => codec.decode(text)).toThrow(refused);
    },
  );

  test('whatever text comes, it is refused and nothing else is thrown', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(() => codec.decode(text)).toThrow(refused);
      }),
    );
  });
});

describe('a page', () => {
  const page = (rows: number[], limit: number) =>
    toPage(
      rows,
      limit,
      codec,
      (row) => [String(row)],
      (row) => ({ row }),
    );

  test('says that there is more exactly where the query found one row beyond it', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(), { maxLength: 8 }), fc.integer({ min: 1, max: 8 }), (rows, limit) => {
        const { data, has_more, next_cursor } = page(rows, limit);
        expect(data).toEqual(rows.slice(0, limit).map((row) => ({ row })));
        expect(has_more).toBe(rows.length > limit);
        expect(next_cursor === null).toBe(!has_more);
      }),
    );
  });

  test('is continued after its last row, not after the one that was only looked at', () => {
    expect(codec.decode(page([5, 4, 3], 2).next_cursor!)).toEqual(['4']);
  });
});

test.each(['1000', '101', '0', '-1', '1.5', 'x', '', '99999999999999999999', ['1', '2']])(
  'the limit %j is refused with the numbers that are taken',
  (limit) => {
    expect(() => parseInput(z.strictObject(pageQuery), { limit }, 'query')).toThrow(
      expect.objectContaining({ detail: 'query.limit: must be a whole number from 1 to 100' }),
    );
  },
);
