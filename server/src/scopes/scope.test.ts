import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  ceilingViolations,
  isManagementPermission,
  isReservedScope,
  managementPermissions,
  maxScopeLength,
  parseScope,
  permissionsOfAccount,
} from './scope.ts';

const segment = fc.stringMatching(/^[A-Za-z0-9_-]{1,12}$/);
const productScope = fc
  .tuple(segment, fc.option(segment), segment)
  .map(([resource, sub, action]) => (sub === null ? `${resource}:${action}` : `${resource}.${sub}:${action}`))
  .filter((scope) => !isReservedScope(scope));

describe('grammar', () => {
  test.each(['invoices:read', 'a:b', 'users.profile:write', 'In_voices-2.sub:READ', `${'a'.repeat(64)}:b`])(
    '%s is a scope',
    (scope) => {
      expect(parseScope(scope)).toEqual({ ok: true, scope });
    },
  );

  test.each([
    '',
    ':',
    'a',
    'a:',
    ':a',
    'a.b',
    'a.:b',
    '.a:b',
    'a.b.c:d',
    'a:b:c',
    'a:b.c',
    'a b:c',
    ' a:b',
    'a:b ',
    'a:b\n',
    'a:*',
    '*:*',
    '*',
    'a/b:c',
    'é:a',
    'а:b',
    'a:b\0',
    `${'a'.repeat(65)}:b`,
    'a:b,c:d',
    '{a}:b',
  ])('%j is none', (text) => {
    expect(parseScope(text).ok).toBe(false);
  });

  test('a scope is at most as long as its longest parts', () => {
    const part = 'a'.repeat(64);
    const longest = `${part}.${part}:${part}`;
    expect(longest.length).toBe(maxScopeLength);
    expect(parseScope(longest).ok).toBe(true);
    expect(parseScope(`${longest}a`).ok).toBe(false);
  });

  test('what is accepted is unchanged, and a product scope is always accepted', () => {
    fc.assert(
      fc.property(productScope, (scope) => {
        expect(parseScope(scope)).toEqual({ ok: true, scope });
      }),
    );
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const parsed = parseScope(text);
        if (parsed.ok) expect(parsed.scope).toBe(text);
        else expect(parsed.message).not.toBe('');
      }),
    );
  });
});

describe('reserved names', () => {
  test.each(managementPermissions)('%s is a scope and reserved', (permission) => {
    expect(parseScope(permission)).toEqual({ ok: true, scope: permission });
    expect(isReservedScope(permission)).toBe(true);
    expect(isManagementPermission(permission)).toBe(true);
  });

  // Attack: a name that a system without regard to case takes for a permission, or that a later release makes one.
  test.each(['Gatelodge.issuers:write', 'GATELODGE.API-KEYS:WRITE', 'KEYS:verify', 'keys:Verify'])(
    '%s is refused with its right spelling',
    (text) => {
      const lower = text.toLowerCase();
      expect(isReservedScope(text)).toBe(true);
      expect(parseScope(text)).toEqual({
        ok: false,
        message: expect.stringContaining(lower),
        suggestion: lower,
      });
    },
  );

  test.each(['gatelodge.everything:write', 'gatelodge:write', 'gatelodge.issuers:delete', 'GateLodge:x'])(
    '%s is refused with the known ones',
    (text) => {
      expect(isReservedScope(text)).toBe(true);
      expect(isManagementPermission(text)).toBe(false);
      expect(parseScope(text)).toEqual({
        ok: false,
        message: expect.stringContaining('gatelodge.issuers:write'),
      });
    },
  );

  test.each([
    'users:read',
    'events:read',
    'keys:read',
    'keys.verify:read',
    'gatelodge-x:read',
    'my.gatelodge:read',
    'api-keys:write',
  ])('%s is free for products', (scope) => {
    expect(isReservedScope(scope)).toBe(false);
    expect(parseScope(scope).ok).toBe(true);
  });
});

// Attack: a key that may make keys makes one that may do more than itself.
describe('ceiling', () => {
  test('product scopes are granted freely', () => {
    fc.assert(
      fc.property(fc.array(productScope), (scopes) => {
        expect(ceilingViolations(scopes, new Set())).toEqual([]);
      }),
    );
  });

  test('of the permissions exactly those that are not held are refused', () => {
    const some = fc.subarray([...managementPermissions]);
    fc.assert(
      fc.property(some, some, fc.array(productScope), (requested, held, products) => {
        const violations = ceilingViolations([...products, ...requested], new Set(held));
        expect(violations).toEqual(requested.filter((permission) => !held.includes(permission)));
      }),
    );
  });

  test('each is told once', () => {
    expect(ceilingViolations(['keys:verify', 'keys:verify'], new Set())).toEqual(['keys:verify']);
  });

  test('holding an unknown reserved name grants nothing', () => {
    const forged = ['gatelodge.root:write', 'Gatelodge.issuers:write'];
    expect(ceilingViolations(forged, new Set(forged))).toEqual(forged);
    expect(ceilingViolations(forged, 'all')).toEqual(forged);
  });

  test("a product scope of one's own never stands for a permission", () => {
    expect(ceilingViolations(['gatelodge.issuers:write'], new Set(['issuers:write']))).toEqual([
      'gatelodge.issuers:write',
    ]);
  });

  test("everything of a customer's account is everything but what only the operator holds", () => {
    const operatorOnly = ['gatelodge.accounts:read', 'gatelodge.accounts:write'];
    expect(ceilingViolations(managementPermissions, 'all')).toEqual(operatorOnly);
    expect(ceilingViolations(managementPermissions, permissionsOfAccount({ isOperator: false }))).toEqual(
      operatorOnly,
    );
    expect(ceilingViolations(managementPermissions, permissionsOfAccount({ isOperator: true }))).toEqual([]);
  });
});
