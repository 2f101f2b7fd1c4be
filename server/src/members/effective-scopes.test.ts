import fc from 'fast-check';
import { expect, test } from 'vitest';
import { scaled } from '../../test/harness/scale.ts';
import { effectiveScopes } from './effective-scopes.ts';

const words = ['invoices:read', 'invoices:write', 'reports:read', 'Reports:read', 'a.b:c', 'users:read'];
const scopes = fc.subarray(words);
const restriction = fc.option(scopes, { nil: null, freq: 2 });
const sources = fc.record({
  member: scopes,
  groups: fc.array(scopes, { maxLength: 4 }),
  organizationScopes: restriction,
  keyCeiling: restriction,
});

/** The rule as it is told, one scope at a time. */
function mayByTheRule(scope: string, asked: Parameters<typeof effectiveScopes>[0]): boolean {
  let isGranted = asked.member.indexOf(scope) >= 0;
  for (const group of asked.groups) if (group.indexOf(scope) >= 0) isGranted = true;
  if (asked.organizationScopes != null && asked.organizationScopes.indexOf(scope) < 0) return false;
  if (asked.keyCeiling != null && asked.keyCeiling.indexOf(scope) < 0) return false;
  return isGranted;
}

test('are those that the rule grants, each once and in one order', () => {
  fc.assert(
    fc.property(sources, (asked) => {
      const expected = words.filter((scope) => mayByTheRule(scope, asked)).sort();
      expect(effectiveScopes(asked)).toEqual(expected);
    }),
    { numRuns: scaled(500, 50_000) },
  );
});

test('grow with what is granted and shrink with what is restricted, and doubles change nothing', () => {
  fc.assert(
    fc.property(sources, scopes, (asked, more) => {
      const before = new Set(effectiveScopes(asked));
      const grown = new Set(effectiveScopes({ ...asked, groups: [...asked.groups, more] }));
      expect([...before].filter((scope) => !grown.has(scope))).toEqual([]);
      const held = effectiveScopes({ ...asked, keyCeiling: more });
      const free = new Set(effectiveScopes({ ...asked, keyCeiling: null }));
      expect(held.filter((scope) => !free.has(scope) || !more.includes(scope))).toEqual([]);
      const doubled = {
        ...asked,
        member: [...asked.member, ...asked.member],
        groups: [...asked.groups, ...asked.groups],
      };
      expect(effectiveScopes(doubled)).toEqual(effectiveScopes(asked));
    }),
    { numRuns: scaled(200, 20_000) },
  );
});

test('are none where a restriction names none, and unrestricted where there is none', () => {
  const member = ['b:read', 'a:read'];
  expect(effectiveScopes({ member, groups: [] })).toEqual(['a:read', 'b:read']);
  expect(effectiveScopes({ member, groups: [], organizationScopes: [] })).toEqual([]);
  expect(effectiveScopes({ member, groups: [], keyCeiling: [] })).toEqual([]);
  // Attack: names that a careless look-up would find in every object.
  expect(effectiveScopes({ member, groups: [], organizationScopes: ['constructor', '__proto__'] })).toEqual(
    [],
  );
});
