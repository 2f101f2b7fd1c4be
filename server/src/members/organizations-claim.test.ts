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

test('where they would be too long, by their ids alone, all or none of them in full', () => {
  const made = withOrganizations(claims, many(40));
  expect(made.organizations.length).toBe(40);
  expect(made.organizations.every((each) => Object.keys(each).join() === 'org_id')).toBe(true);
  expect(made).not.toHaveProperty('organizations_omitted');
  // One with more scopes than fit is told by its id too.
  const [one] = withOrganizations(claims, [
    organization(
      'Globex',
      Array.from({ length: 100 }, (_, n) => `resource-${n}.with-a-long-name:read`),
    ),
  ]).organizations;
  expect(Object.keys(one!)).toEqual(['org_id']);
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
    fc.property(fc.nat(1_000), name, fc.nat(3_000), (count, each, others) => {
      const made = withOrganizations({ ...claims, scope: 'x'.repeat(others) }, many(count, each));
      expect(lengthOf(made)).toBeLessThanOrEqual(8_192 - 'Authorization: Bearer \r\n'.length);
      const isFull = made.organizations.some((organization) => 'name' in organization);
      if (isFull) expect(lengthOf(made)).toBeLessThanOrEqual(3_500);
      expect(made.organizations.length + (made.organizations_omitted ?? 0)).toBe(count);
    }),
    { numRuns: 200 },
  );
});
