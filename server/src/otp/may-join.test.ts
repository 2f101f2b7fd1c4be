import { expect, test } from 'vitest';
import { mayJoin, whyMayNotJoin } from './may-join.ts';

const alice = { key: 'alice@example.com' };

test.each([
  [true, [], true],
  [false, [], false],
  [true, ['example.com'], true],
  [true, ['example.org', 'example.com'], true],
  [true, ['example.org'], false],
  [false, ['example.com'], false],
  // No suffix and no subdomain of an allowed domain is one.
  [true, ['ample.com'], false],
  [true, ['com'], false],
] as const)('sign_up %s, domains %j: %s', (signUp, domains, expected) => {
  expect(mayJoin({ sign_up: signUp, allowed_domains: [...domains] }, alice)).toBe(expected);
});

test('the domain is what comes after the last @', () => {
  expect(
    mayJoin({ sign_up: true, allowed_domains: ['example.com'] }, { key: 'a@example.com@evil.test' }),
  ).toBe(false);
});

test('closed sign-up is the reason that comes first', () => {
  const settings = { sign_up: false, allowed_domains: ['example.org'] };
  expect(whyMayNotJoin(settings, alice)).toBe('sign_up_off');
  expect(whyMayNotJoin({ ...settings, sign_up: true }, alice)).toBe('domain_not_allowed');
  expect(whyMayNotJoin({ sign_up: true, allowed_domains: [] }, alice)).toBeNull();
});
