import fc from 'fast-check';
import { expect, test } from 'vitest';
import { effectiveScopes } from './effective-scopes.ts';
import { explainScope, type ScopeQuestion, scopeChecks } from './explain-scope.ts';

const words = ['a:read', 'b:read', 'c:read'];
const scopes = fc.subarray(words);
const status = fc.constantFrom('active', 'active', 'suspended' as const);
const member = fc.record({
  user_status: status,
  scopes,
  groups: fc.array(fc.record({ id: fc.constantFrom('g1', 'g2'), name: fc.constant('Group'), scopes }), {
    maxLength: 2,
  }),
});
const who = fc.oneof(
  fc.record({
    kind: fc.constant('member' as const),
    member: fc.option(member, { freq: 5 }),
    client: fc.option(
      fc.record({
        status,
        signsUsersIn: fc.constantFrom(true, true, false),
        organizationScopes: fc.option(scopes),
        agreed: fc.option(scopes),
        remembersConsent: fc.boolean(),
      }),
    ),
  }),
  fc.record({
    kind: fc.constant('key' as const),
    key: fc.option(
      fc.record({
        status: fc.constantFrom('active', 'active', 'disabled', 'revoked', 'expired' as const),
        scopes,
      }),
      { freq: 5 },
    ),
  }),
);
const question: fc.Arbitrary<ScopeQuestion> = fc.record({
  scope: fc.constantFrom(...words),
  issuerStatus: status,
  organizationStatus: status,
  who,
});

test('allows exactly what a token or the key would hold, and names the first check that failed', () => {
  fc.assert(
    fc.property(question, (asked) => {
      const told = explainScope(asked);
      expect(told.checks.map(({ check }) => check)).toEqual(scopeChecks);
      expect(told.denied_by).toBe(told.checks.find(({ outcome }) => outcome === 'failed')?.check ?? null);
      expect(told.allowed).toBe(told.denied_by === null);
      expect(told.allowed).toBe(told.effective_scopes.includes(asked.scope));
    }),
    { numRuns: 1_000 },
  );
});

test('tells of a member what the rule of effective scopes says', () => {
  fc.assert(
    fc.property(question, (asked) => {
      if (asked.who.kind !== 'member' || asked.who.member === null) return;
      const { member, client } = asked.who;
      const isInForce = [
        asked.issuerStatus,
        asked.organizationStatus,
        member.user_status,
        client?.status ?? 'active',
        client?.signsUsersIn === false ? 'without users' : 'active',
      ].every((each) => each === 'active');
      const expected = effectiveScopes({
        member: member.scopes,
        groups: member.groups.map((group) => group.scopes),
        organizationScopes: client?.organizationScopes,
      }).filter((scope) => client?.agreed?.includes(scope) !== false);
      expect(explainScope(asked).effective_scopes).toEqual(isInForce ? expected : []);
    }),
    { numRuns: 500 },
  );
});

test('names each source, whether or not something stands against it', () => {
  const told = explainScope({
    scope: 'a:read',
    issuerStatus: 'active',
    organizationStatus: 'suspended',
    who: {
      kind: 'member',
      member: {
        user_status: 'active',
        scopes: ['a:read'],
        groups: [
          { id: 'g1', name: 'Accounting', scopes: ['a:read'] },
          { id: 'g2', name: 'Sales', scopes: ['b:read'] },
        ],
      },
      client: {
        status: 'active',
        signsUsersIn: true,
        organizationScopes: ['b:read'],
        agreed: null,
        remembersConsent: true,
      },
    },
  });
  expect(told).toMatchObject({
    allowed: false,
    denied_by: 'organization',
    granted_by: { member: true, groups: [{ id: 'g1', name: 'Accounting' }], key: false },
    effective_scopes: [],
  });
  const outcomes = Object.fromEntries(told.checks.map(({ check, outcome }) => [check, outcome]));
  expect(outcomes).toMatchObject({
    organization: 'failed',
    user: 'passed',
    grant: 'passed',
    client: 'failed',
  });
});
