import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseJson } from './json-body.ts';

const parse = (text: string) => parseJson(Buffer.from(text));
const malformed = expect.objectContaining({ code: 'malformed_json', status: 400 });

test('nothing at all is no body', () => {
  expect(parse('')).toBeUndefined();
});

test('whatever JSON can say comes through', () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 5 }), (text) => {
      fc.pre(!text.includes('__proto__'));
      expect(parse(text)).toEqual(JSON.parse(text));
    }),
  );
});

test('whatever bytes come, nothing but malformed_json is thrown', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 64 }), (bytes) => {
      try {
        parseJson(bytes);
      } catch (error) {
        expect(error).toEqual(malformed);
      }
    }),
  );
});

describe('hostile bodies', () => {
  const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);

  test('nesting is taken to a depth of 32 and no deeper', () => {
    expect(() => parse(nested(32))).not.toThrow();
    expect(() => parse(nested(34))).toThrow(malformed);
    // Deep enough to break a parser or a walk that recurses.
    expect(() => parse(nested(120_000))).toThrow(malformed);
    expect(() => parse(`${'{"a":'.repeat(40)}1${'}'.repeat(40)}`)).toThrow(malformed);
  });

  test.each(['{"__proto__":{}}', '{"a":{"__proto__":1}}', '[{"__proto__":[]}]', '{"\\u005f_proto__":{}}'])(
    // The attack: a member that becomes the prototype of what is built from it.
    '%s is refused',
    (text) => {
      expect(() => parse(text)).toThrow(malformed);
    },
  );

  test('constructor and prototype are members like others', () => {
    expect(parse('{"constructor":1,"prototype":2}')).toEqual({ constructor: 1, prototype: 2 });
  });

  test.each([[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe2, 0x82]])(
    // The attack: bytes that another reader takes for other text, such as an overlong NUL or a lone surrogate.
    'bytes that are no UTF-8 are refused and not replaced: %j',
    (...bytes) => {
      const text = Buffer.concat([Buffer.from('{"name":"'), Buffer.from(bytes), Buffer.from('"}')]);
      expect(() => parseJson(text)).toThrow(malformed);
    },
  );

  test('a byte order mark is no part of JSON', () => {
    expect(() => parse('\ufeff{}')).toThrow(malformed);
  });
});
