import fc from 'fast-check';
import type { Authorizations } from 'oidc-provider';
import { describe, expect, test } from 'vitest';
import { mergeAuthorizations } from './merge-authorizations.ts';

const before: Authorizations = { c_a: { sid: 's_a', isPicking: true }, c_b: { sid: 's_b' } };

describe('of two windows that change one login', () => {
  test('each keeps what it has written for its client', () => {
    const own = { ...before, c_a: { sid: 's_a', organization: 'org_1' } };
    const other = { ...before, c_c: { sid: 's_c', isPicking: true } };
    expect(mergeAuthorizations(before, own, other)).toEqual({
      c_a: { sid: 's_a', organization: 'org_1' },
      c_b: { sid: 's_b' },
      c_c: { sid: 's_c', isPicking: true },
    });
  });

  test('for the same client each keeps the members that it has written', () => {
    const own = { c_b: { sid: 's_b', grantId: 'g' } };
    const other = { c_b: { sid: 's_b', organization: null } };
    expect(mergeAuthorizations({ c_b: { sid: 's_b' } }, own, other)).toEqual({
      c_b: { sid: 's_b', grantId: 'g', organization: null },
    });
  });

  test('the one that is written last wins where both have changed the same', () => {
    const own = { c_a: { organization: 'org_1' } };
    expect(mergeAuthorizations({}, own, { c_a: { organization: 'org_2' } })).toEqual(own);
  });

  test('what one takes away does not come back by the other', () => {
    const { c_b } = before;
    expect(mergeAuthorizations(before, { c_b: c_b! }, before)).toEqual({ c_b });
    expect(mergeAuthorizations(before, before, { c_b: c_b! })).toEqual({ c_b });
    expect(mergeAuthorizations(before, before, undefined)).toEqual({});
  });
});

const anyAuthorizations: fc.Arbitrary<Authorizations> = fc.dictionary(
  fc.constantFrom('c_a', 'c_b', '__proto__', 'constructor'),
  fc.record(
    {
      sid: fc.constantFrom('s_1', 's_2'),
      organization: fc.constantFrom(null, 'org_1'),
      isPicking: fc.boolean(),
    },
    { requiredKeys: ['sid'] },
  ),
);

test('where only one has changed anything, it is as that one has it', () => {
  fc.assert(
    fc.property(anyAuthorizations, anyAuthorizations, (base, changed) => {
      expect(mergeAuthorizations(base, changed, base)).toEqual({ ...changed });
      expect(mergeAuthorizations(base, base, changed)).toEqual({ ...changed });
    }),
  );
});
