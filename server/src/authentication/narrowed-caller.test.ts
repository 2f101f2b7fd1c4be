import { expect, test } from 'vitest';
import { isNarrowed } from './narrowed-caller.ts';
import type { Principal } from './principal.ts';

type Power = Pick<Principal, 'permissions' | 'bounds'>;

function power(
  permissions: readonly string[] | 'all',
  expiresAt: string | null = null,
  ips: readonly string[] = [],
): Power {
  return {
    permissions: permissions === 'all' ? 'all' : new Set(permissions),
    bounds: { expiresAt: expiresAt === null ? null : new Date(expiresAt), ips },
  };
}

const [june, july] = ['2026-06-01T00:00:00Z', '2026-07-01T00:00:00Z'];

test.each<[string, Power, Power]>([
  ['every permission', power('all'), power(['a'])],
  ['one of its permissions', power(['a', 'b']), power(['a'])],
  ['life without end', power('all'), power('all', june)],
  ['a month of its life', power('all', july), power('all', june)],
  ['all other addresses', power('all'), power('all', null, ['10.0.0.0/8'])],
  ['some of its addresses', power('all', null, ['10.0.0.0/8']), power('all', null, ['10.1.0.0/16'])],
])('a caller is narrowed that has lost %s, and one that has gained it is not', (_what, more, less) => {
  expect([isNarrowed(more, less), isNarrowed(less, more)]).toEqual([true, false]);
});

test('a caller that has gained one permission and lost another is narrowed', () => {
  expect(isNarrowed(power(['a']), power(['b']))).toBe(true);
});

test.each([power('all'), power([]), power(['a'], june, ['10.0.0.0/8'])])(
  'a caller that is as it was is not narrowed',
  (same) => {
    expect(isNarrowed(same, structuredClone(same))).toBe(false);
  },
);
