import fc from 'fast-check';
import { expect, test } from 'vitest';
import { idPrefixes, newId } from '../ids/ids.ts';
import { withOrganizations } from './organizations-claim.ts';

const claims = {
  iss: 'https://id.example.com/i_0000000000000000000000000',
  sub: 'usr_1',
  exp: 1,
  jti: 'x'.repeat(36),
};
const organization = (name = 'Globex', scopes = ['invoices:read', 'invoices:write']) => ({
  org_id: newId(idPrefixes.organization),
  name,
  scopes,
});
const many = (count: number, name?: string) => Array.from({ length: count }, () => organization(name));
/** Of the longest token that such claims make: RS256 has 342 characters of signature, a header some 120. */
const lengthOf = (made: object) =>
  Buffer.from(JSON.stringify(made)).toString('base64url').length + 342 + 120 + 2;

test('a few organizations stand there in full', () => {
  const few = many(10);
  expect(withOrganizations(claims, few)).toEqual({ ...claims, organizations: few });
  expect(withOrganizations(claims, [])).toEqual({ ...claims, organizations: [] });
});

test('where they would be too long, the largest by their ids alone', () => {
  const all = many(40);
  all.splice(20, 0, organization('A name that is longer', ['invoices:read', 'invoices:write', 'x:y']));
  const made = withOrganizations(claims, all);
  expect(made.organizations.map(({ org_id }) => org_id)).toEqual(all.map(({ org_id }) => org_id));
  const isFull = made.organizations.map((each) => 'name' in each);
  expect(isFull.indexOf(false)).toBe(isFull.filter(Boolean).length);
  expect(isFull[0]).toBe(true);
  expect(made).not.toHaveProperty('organizations_omitted');
  expect(lengthOf(made)).toBeGreaterThan(3_300);
});

// Attack: an organization gives a user so many scopes that the tokens of the user tell none of the others any more.
test('one that is too large for a token takes nothing from the others', () => {
  const bloated = organization(
    'Globex',
    Array.from({ length: 100 }, (_, n) => `resource-${n}.with-a-long-name:read`),
  );
  const [first, ...others] = many(10);
  const made = withOrganizations(claims, [first!, bloated, ...others]);
  expect(made.organizations).toEqual([first, { org_id: bloated.org_id }, ...others]);
  expect(withOrganizations(claims, [bloated]).organizations).toEqual([{ org_id: bloated.org_id }]);
});

test('where not even the ids fit, the first of them, and how many are not there', () => {
  const all = many(500);
  const made = withOrganizations(claims, all);
  const kept = made.organizations.length;
  expect(made.organizations).toEqual(all.slice(0, kept).map(({ org_id }) => ({ org_id })));
  expect(made.organizations_omitted).toBe(500 - kept);
  expect(kept).toBeGreaterThan(80);
});

test('whatever there is, the token fits a header line, and none that is shown in full is long', () => {
  const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 200 });
  fc.assert(
    fc.property(fc.nat(1_000), name, fc.nat(3_072), (count, each, others) => {
      const made = withOrganizations({ ...claims, scope: 'x'.repeat(others) }, many(count, each));
      expect(lengthOf(made)).toBeLessThanOrEqual(8_192 - 'Authorization: Bearer \r\n'.length);
      const isFull = made.organizations.some((organization) => 'name' in organization);
      if (isFull) expect(lengthOf(made)).toBeLessThanOrEqual(3_500);
      expect(made.organizations.length + (made.organizations_omitted ?? 0)).toBe(count);
    }),
    { numRuns: 200 },
  );
});

// Attack: a client that asks for more scopes than a token has room for, for a user without organizations.
test('claims that are too long by themselves are told with what there is', () => {
  for (const count of [0, 1, 500]) {
    const made = withOrganizations({ ...claims, scope: 'x'.repeat(16_000) }, many(count));
    expect(made.organizations).toEqual([]);
    expect(made.organizations_omitted ?? 0).toBe(count);
  }
});
