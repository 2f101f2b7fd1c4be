import { describe, expect, test } from 'vitest';
import { instantField, isStorableText, metadataField, nameField } from './fields.ts';

const takes = (field: { safeParse(value: unknown): { success: boolean } }, value: unknown) =>
  field.safeParse(value).success;

describe('a name', () => {
  test.each(['a', 'Ünï cödé 😀', ' a ', 'x'.repeat(200)])('%j is taken as it is', (name) => {
    expect(nameField.parse(name)).toBe(name);
  });

  test.each(['', ' ', '\t\n', '\u00a0', 'x'.repeat(201), 'a\u0000b', '\ud800', 'a\udc00', 1, null, ['a']])(
    '%j is refused',
    (name) => {
      expect(takes(nameField, name)).toBe(false);
    },
  );
});

describe('metadata', () => {
  // Joined to each other they would look like one character; apart, Postgres takes neither.
  test.each([{ '\ud83d': '\ude00' }, { a: ['\ud83d', '\ude00'] }, { a: '\ud83d', '\ude00': 1 }])(
    'halves of a character in two texts are refused: %j',
    (value) => {
      expect(takes(metadataField, value)).toBe(false);
    },
  );

  test('has at most 50 members', () => {
    const members = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, index) => [`m${index}`, index]));
    expect(takes(metadataField, members(50))).toBe(true);
    expect(takes(metadataField, members(51))).toBe(false);
  });

  test('has at most 8192 bytes of JSON, not characters', () => {
    expect(takes(metadataField, { a: 'x'.repeat(8192 - '{"a":""}'.length) })).toBe(true);
    expect(takes(metadataField, { a: 'x'.repeat(8193 - '{"a":""}'.length) })).toBe(false);
    expect(takes(metadataField, { a: 'é'.repeat(4100) })).toBe(false);
  });

  test.each([{ 'a\u0000': 1 }, { a: 'b\u0000' }, { a: [{ b: '\ud800' }] }, { '\udfff': 1 }])(
    'what Postgres cannot hold is refused wherever it hides: %j',
    (metadata) => {
      expect(takes(metadataField, metadata)).toBe(false);
    },
  );

  test.each([[], 'x', 1, true])('%j is no object', (metadata) => {
    expect(takes(metadataField, metadata)).toBe(false);
  });

  test.each([1e15, -1e15, 1e21, 1e308, 5e-324, 1e-7, -1.5e-9, Number.MAX_SAFE_INTEGER])(
    'the number %d, which would take more room than it was sent in, is refused wherever it hides',
    (number) => {
      // The attack: 8 KiB of 1e308 are half a megabyte in the database and in every answer.
      for (const metadata of [{ a: number }, { a: [1, number] }, { a: { b: [{ c: number }] } }]) {
        const { error } = metadataField.safeParse(metadata);
        expect(error?.issues[0]?.message).toContain('as strings');
      }
    },
  );

  test.each([0, -1, 999_999_999_999_999, 0.000001, 123456789.123456, 1e2])(
    'the number %d is taken',
    (number) => {
      expect(metadataField.parse({ a: [number] })).toEqual({ a: [number] });
    },
  );

  test('a number that JSON cannot hold is refused', () => {
    expect(takes(metadataField, JSON.parse('{"a":1e400}'))).toBe(false);
  });
});

describe('an instant', () => {
  test.each(['2027-01-01T00:00:00Z', '2027-01-01T00:00:00.123456Z', '2027-01-01T02:00:00+02:00'])(
    '%s is taken',
    (instant) => {
      expect(takes(instantField, instant)).toBe(true);
    },
  );

  test.each([
    '2027-01-01',
    '2027-01-01T00:00:00',
    '2027-02-30T00:00:00Z',
    '2027-01-01T24:00:00Z',
    '1969-12-31T23:59:59Z',
    '9999-12-31T23:59:59-01:00',
    '10000-01-01T00:00:00Z',
    'tomorrow',
    1798761600,
    '',
  ])('%j is refused', (instant) => {
    expect(takes(instantField, instant)).toBe(false);
  });
});

test('text that Postgres and UTF-8 can hold has neither NUL nor lone surrogates', () => {
  expect(['', 'a', '😀', '\ufffd'].every(isStorableText)).toBe(true);
  expect(['\u0000', 'a\u0000', '\ud83d', '\ude00\ud83d'].some(isStorableText)).toBe(false);
});
