import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Json } from '../postgres/schema.ts';
import { mergePatch } from './merge-patch.ts';

describe('JSON Merge Patch', () => {
  // RFC 7396, appendix A, all of it.
  test.each([
    ['{"a":"b"}', '{"a":"c"}', '{"a":"c"}'],
    ['{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'],
    ['{"a":"b"}', '{"a":null}', '{}'],
    ['{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'],
    ['{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'],
    ['{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'],
    ['{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'],
    ['{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'],
    ['["a","b"]', '["c","d"]', '["c","d"]'],
    ['{"a":"b"}', '["c"]', '["c"]'],
    ['{"a":"foo"}', 'null', 'null'],
    ['{"a":"foo"}', '"bar"', '"bar"'],
    ['{"e":null}', '{"a":1}', '{"e":null,"a":1}'],
    ['[1,2]', '{"a":"b","c":null}', '{"a":"b"}'],
    ['{}', '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'],
  ])('%s patched with %s is %s', (target, patch, result) => {
    expect(mergePatch(JSON.parse(target), JSON.parse(patch))).toEqual(JSON.parse(result));
  });
});

const json = fc.jsonValue({ maxDepth: 3 }) as fc.Arbitrary<Json>;
const object = fc.dictionary(fc.string(), json);

describe('whatever is patched with whatever', () => {
  test('members that the patch does not name stay as they are', () => {
    fc.assert(
      fc.property(object, object, (target, patch) => {
        const merged = mergePatch(target, patch) as Record<string, Json>;
        for (const [member, value] of Object.entries(target))
          if (!Object.hasOwn(patch, member)) expect(merged[member]).toEqual(value);
      }),
    );
  });

  test.each(['__proto__', 'constructor', 'toString'])('%s is a member like others', (name) => {
    const own = (value: unknown) => JSON.parse(`{${JSON.stringify(name)}:${JSON.stringify(value)}}`);
    const merged = mergePatch(own({ a: 1 }), own({ b: 2 })) as Record<string, Json>;
    expect(JSON.stringify(merged)).toBe(JSON.stringify(own({ a: 1, b: 2 })));
    expect(JSON.stringify(mergePatch({}, own({ b: 2 })))).toBe(JSON.stringify(own({ b: 2 })));
    expect(JSON.stringify(mergePatch(own(1), own(null)))).toBe('{}');
    expect(Object.getPrototypeOf(merged)).toBe(Object.prototype);
  });

  test('members that it sets to null are gone', () => {
    fc.assert(
      fc.property(object, object, (target, patch) => {
        const merged = mergePatch(target, patch) as Record<string, Json>;
        for (const [member, value] of Object.entries(patch))
          expect(Object.hasOwn(merged, member)).toBe(value !== null);
      }),
    );
  });

  test('neither of the two is changed, and doing it again changes nothing more', () => {
    fc.assert(
      fc.property(json, json, (target, patch) => {
        const copies = structuredClone([target, patch]);
        const once = mergePatch(target, patch);
        expect([target, patch]).toEqual(copies);
        expect(mergePatch(once, patch)).toEqual(once);
      }),
    );
  });
});
