import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compileIpRanges } from '../api-keys/ip-ranges.ts';
import { presets } from '../key-profiles/presets.ts';
import { managementPermissions } from '../scopes/scope.ts';
import { type DecisionRefusal, type DecisionRequest, effectiveScopes } from './checks.ts';
import { decide } from './decide.ts';
import { account, acme, foreign, globex, issuer, issuerKey } from './fixtures/records.ts';
import type { KeyRecord, OrganizationRecord } from './records.ts';

const nowMs = 1_800_000_000_000;

const organizationKey: KeyRecord = { ...issuerKey, organization: acme };
const accountKey: KeyRecord = { ...issuerKey, issuer: null, scopes: null };
const publishableKey: KeyRecord = { ...issuerKey, kind: 'publishable' };

const fromServer: DecisionRequest = {
  hasBrowserHeaders: false,
  tenantGiven: false,
  tenantRequired: false,
  scopes: [],
};
const fromBrowser: DecisionRequest = { ...fromServer, hasBrowserHeaders: true, origin: 'https://myapp.com' };

function forTenant(tenant: DecisionRequest['tenant']): DecisionRequest {
  return { ...fromServer, tenant, tenantGiven: true };
}

function refusal(record: KeyRecord, request: DecisionRequest): DecisionRefusal | null {
  const decision = decide(record, request, nowMs);
  return decision.valid ? null : decision.refusal;
}

test('a key without restrictions passes with its scopes and no warning', () => {
  expect(decide(issuerKey, fromServer, nowMs)).toEqual({
    valid: true,
    organization: null,
    scopes: ['invoices:read'],
    warnings: [],
  });
});

describe('status and expiry', () => {
  test('a key works until the millisecond it expires', () => {
    expect(refusal({ ...issuerKey, expiresAtMs: nowMs + 1 }, fromServer)).toBeNull();
    expect(refusal({ ...issuerKey, expiresAtMs: nowMs }, fromServer)).toBe('expired_key');
    expect(refusal({ ...issuerKey, expiresAtMs: 0 }, fromServer)).toBe('expired_key');
  });

  test('a revoked and a disabled key are told apart', () => {
    expect(refusal({ ...issuerKey, status: 'revoked' }, fromServer)).toBe('revoked_key');
    expect(refusal({ ...issuerKey, status: 'disabled' }, fromServer)).toBe('disabled_key');
  });

  test.each(['suspended', 'deleting'] as const)('no key of an account that is %s works', (status) => {
    const suspended = { ...account, status };
    for (const key of [accountKey, issuerKey, organizationKey, publishableKey]) {
      expect(refusal({ ...key, account: suspended }, fromServer)).toBe('account_suspended');
    }
  });

  test('no key of a suspended issuer works', () => {
    expect(refusal({ ...organizationKey, issuer: { ...issuer, status: 'suspended' } }, fromServer)).toBe(
      'issuer_suspended',
    );
  });
});

describe('environment', () => {
  test('is asked only where the caller demands one', () => {
    const sandboxKey: KeyRecord = { ...issuerKey, environment: 'sandbox' };
    expect(refusal(sandboxKey, fromServer)).toBeNull();
    expect(refusal(sandboxKey, { ...fromServer, environment: 'sandbox' })).toBeNull();
    expect(refusal(sandboxKey, { ...fromServer, environment: 'live' })).toBe('wrong_environment');
  });
});

describe('tenant', () => {
  // Attack: a tenant's key with another tenant's name in the header reads that tenant's data.
  test.each([
    ['another', globex],
    ["another issuer's", foreign],
    ['an unknown', 'unknown'],
    ['no', null],
  ] as const)(
    "an organization's key is refused with %s tenant, and the answer names its own alone",
    (_, tenant) => {
      expect(decide(organizationKey, forTenant(tenant), nowMs)).toEqual({
        valid: false,
        refusal: 'tenant_mismatch',
        organization: acme,
      });
    },
  );

  test("an organization's key acts for its own, named or not", () => {
    expect(decide(organizationKey, forTenant(acme), nowMs)).toMatchObject({
      valid: true,
      organization: acme,
    });
    expect(decide(organizationKey, fromServer, nowMs)).toMatchObject({ valid: true, organization: acme });
  });

  test("an issuer's key acts for any active organization of its issuer, and the answer names the one chosen", () => {
    expect(decide(issuerKey, forTenant(globex), nowMs)).toMatchObject({ valid: true, organization: globex });
    expect(decide(issuerKey, forTenant(foreign), nowMs)).toEqual({
      valid: false,
      refusal: 'tenant_mismatch',
      organization: null,
    });
    expect(refusal(issuerKey, forTenant('unknown'))).toBe('tenant_mismatch');
    expect(refusal(issuerKey, forTenant(undefined))).toBe('tenant_mismatch');
  });

  test("an account's key acts for no organization", () => {
    expect(refusal(accountKey, forTenant(acme))).toBe('tenant_mismatch');
    expect(decide(accountKey, fromServer, nowMs)).toMatchObject({ valid: true, organization: null });
  });

  test('a required tenant must be named, also by a key that has just one', () => {
    for (const key of [issuerKey, organizationKey]) {
      expect(refusal(key, { ...fromServer, tenantRequired: true })).toBe('tenant_required');
    }
    expect(refusal(organizationKey, { ...forTenant(acme), tenantRequired: true })).toBeNull();
  });

  test('a suspended organization is refused, named or not, by whichever record says so', () => {
    const suspended: OrganizationRecord = { ...acme, status: 'suspended' };
    expect(refusal({ ...organizationKey, organization: suspended }, fromServer)).toBe('tenant_suspended');
    expect(refusal({ ...organizationKey, organization: suspended }, forTenant(acme))).toBe(
      'tenant_suspended',
    );
    expect(refusal(organizationKey, forTenant(suspended))).toBe('tenant_suspended');
    expect(decide(issuerKey, forTenant(suspended), nowMs)).toEqual({
      valid: false,
      refusal: 'tenant_suspended',
      organization: suspended,
    });
  });

  test('an organization that the request did not name is never chosen', () => {
    expect(decide(issuerKey, { ...fromServer, tenant: acme }, nowMs)).toMatchObject({
      valid: true,
      organization: null,
    });
  });
});

describe('origin', () => {
  const listed: KeyRecord = { ...publishableKey, origins: ['https://myapp.com', 'http://localhost:*'] };

  test.each(['https://myapp.com', 'http://localhost:5173'])('%s is on the list', (origin) => {
    expect(refusal(listed, { ...fromBrowser, origin })).toBeNull();
  });

  test.each(['https://evil.example', 'null', '', 'https://myapp.com.evil.example', '*'])(
    '%j is not',
    (origin) => {
      expect(refusal(listed, { ...fromBrowser, origin })).toBe('origin_not_allowed');
    },
  );

  test('a server sends none and is not asked, unless the key requires one', () => {
    expect(refusal(listed, fromServer)).toBeNull();
    const strict: KeyRecord = { ...listed, requireOrigin: true };
    expect(refusal(strict, fromServer)).toBe('origin_not_allowed');
    expect(refusal(strict, fromBrowser)).toBeNull();
    expect(refusal({ ...strict, origins: [] }, { ...fromBrowser, origin: '' })).toBe('origin_not_allowed');
  });

  test('a key closed to browsers refuses whatever a browser sent, with or without Origin', () => {
    const closed: KeyRecord = { ...publishableKey, browsers: 'deny', origins: ['https://myapp.com'] };
    expect(refusal(closed, fromBrowser)).toBe('origin_not_allowed');
    expect(refusal(closed, { ...fromServer, hasBrowserHeaders: true })).toBe('origin_not_allowed');
    expect(refusal(closed, fromServer)).toBeNull();
  });
});

describe('a secret key in a browser', () => {
  const under = (policy: 'allow' | 'warn' | 'deny'): KeyRecord => ({
    ...issuerKey,
    issuer: { ...issuer, profile: { ...presets.standard, secret_keys_in_browsers: policy } },
  });

  test.each([fromBrowser, { ...fromServer, hasBrowserHeaders: true }])(
    'causes what its profile says (%j)',
    (request) => {
      expect(decide(under('allow'), request, nowMs)).toMatchObject({ valid: true, warnings: [] });
      expect(decide(under('warn'), request, nowMs)).toMatchObject({
        valid: true,
        warnings: ['secret_key_in_browser'],
      });
      expect(refusal(under('deny'), request)).toBe('secret_key_in_browser');
    },
  );

  test('causes nothing from a server, and a publishable key never does', () => {
    expect(decide(under('deny'), fromServer, nowMs)).toMatchObject({ valid: true, warnings: [] });
    expect(decide({ ...under('deny'), kind: 'publishable' }, fromBrowser, nowMs)).toMatchObject({
      valid: true,
      warnings: [],
    });
  });

  test('of an account causes what the default profile says', () => {
    expect(decide(accountKey, fromBrowser, nowMs)).toMatchObject({ warnings: ['secret_key_in_browser'] });
  });
});

describe('IP', () => {
  const restricted: KeyRecord = { ...issuerKey, ips: compileIpRanges(['203.0.113.0/24']) };

  test('is asked where the key is restricted, and must be known then', () => {
    expect(refusal(restricted, { ...fromServer, ip: '203.0.113.7' })).toBeNull();
    expect(refusal(restricted, { ...fromServer, ip: '::ffff:203.0.113.7' })).toBeNull();
    expect(refusal(restricted, { ...fromServer, ip: '198.51.100.1' })).toBe('ip_not_allowed');
    expect(refusal(restricted, { ...fromServer, ip: 'unknown' })).toBe('ip_not_allowed');
    expect(refusal(restricted, fromServer)).toBe('ip_not_allowed');
    expect(refusal(issuerKey, fromServer)).toBeNull();
  });
});

describe('scopes', () => {
  test('all that are asked for must be held', () => {
    const key: KeyRecord = { ...issuerKey, scopes: ['a:read', 'b:read'] };
    expect(refusal(key, { ...fromServer, scopes: ['b:read', 'a:read'] })).toBeNull();
    expect(refusal(key, { ...fromServer, scopes: ['a:read', 'c:read'] })).toBe('insufficient_scope');
    expect(refusal(key, { ...fromServer, scopes: ['A:read'] })).toBe('insufficient_scope');
    expect(refusal({ ...key, scopes: [] }, { ...fromServer, scopes: ['a:read'] })).toBe('insufficient_scope');
  });

  // Attack: a publishable key, which everybody can read, was given a scope that is not safe in public.
  test('a publishable key has only those that its issuer marks publishable', () => {
    const key: KeyRecord = {
      ...publishableKey,
      scopes: ['a:read', 'a:write'],
      issuer: { ...issuer, publishableScopes: ['a:read', 'z:read'] },
    };
    expect(effectiveScopes(key)).toEqual(['a:read']);
    expect(refusal(key, { ...fromServer, scopes: ['a:read'] })).toBeNull();
    expect(refusal(key, { ...fromServer, scopes: ['a:write'] })).toBe('insufficient_scope');
    expect(refusal(key, { ...fromServer, scopes: ['z:read'] })).toBe('insufficient_scope');
    expect(effectiveScopes({ ...key, scopes: null })).toEqual([]);
    expect(effectiveScopes({ ...key, issuer: null })).toEqual([]);
  });

  test("an account's key without a list has every permission of its account, and no product scope", () => {
    expect(
      refusal(accountKey, { ...fromServer, scopes: ['gatelodge.issuers:write', 'keys:verify'] }),
    ).toBeNull();
    expect(refusal(accountKey, { ...fromServer, scopes: ['gatelodge.accounts:write'] })).toBe(
      'insufficient_scope',
    );
    expect(refusal(accountKey, { ...fromServer, scopes: ['invoices:read'] })).toBe('insufficient_scope');
    const operatorKey: KeyRecord = { ...accountKey, account: { ...account, isOperator: true } };
    expect(effectiveScopes(operatorKey)).toEqual(managementPermissions);
  });

  // Attack: a gateway believes the scopes that it is told, and the operator's sandbox key is told it may manage accounts.
  test('what only the operator may do is no permission of its sandbox keys, nor of any issuer’s key', () => {
    const operator = { ...account, isOperator: true };
    const customer = effectiveScopes(accountKey);
    expect(customer).not.toContain('gatelodge.accounts:write');
    expect(effectiveScopes({ ...accountKey, account: operator, environment: 'sandbox' })).toEqual(customer);
    expect(effectiveScopes({ ...issuerKey, account: operator, scopes: null })).toEqual([]);
  });

  test("no list on an issuer's or an organization's key is no scope", () => {
    expect(effectiveScopes({ ...issuerKey, scopes: [] })).toEqual([]);
    expect(effectiveScopes({ ...issuerKey, scopes: null })).toEqual([]);
    expect(effectiveScopes({ ...organizationKey, scopes: null })).toEqual([]);
  });
});

describe('the order of checks', () => {
  type Case = { record: KeyRecord; request: DecisionRequest };
  type Flaw = [DecisionRefusal, (given: Case) => Case];

  const flaw = (
    code: DecisionRefusal,
    record: Partial<KeyRecord> | ((record: KeyRecord) => Partial<KeyRecord>),
    request: Partial<DecisionRequest> = {},
  ): Flaw => [
    code,
    (given) => ({
      record: { ...given.record, ...(typeof record === 'function' ? record(given.record) : record) },
      request: { ...given.request, ...request },
    }),
  ];

  // Each makes one check fail and leaves the others as they are; in the order of the contract.
  const flaws: Flaw[] = [
    flaw('revoked_key', { status: 'revoked' }),
    flaw('expired_key', { expiresAtMs: nowMs - 1 }),
    flaw('account_suspended', { account: { ...account, status: 'suspended' } }),
    flaw('issuer_suspended', ({ issuer: of }) => ({ issuer: { ...of!, status: 'suspended' } })),
    flaw('wrong_environment', {}, { environment: 'sandbox' }),
    flaw('tenant_mismatch', {}, { tenant: globex, tenantGiven: true }),
    flaw('tenant_suspended', ({ organization: of }) => ({ organization: { ...of!, status: 'suspended' } })),
    flaw('origin_not_allowed', { origins: ['https://other.example'] }, { origin: 'https://myapp.com' }),
    flaw(
      'secret_key_in_browser',
      ({ issuer: of }) => ({ issuer: { ...of!, profile: presets['tenant-header'] } }),
      { hasBrowserHeaders: true },
    ),
    flaw('ip_not_allowed', { ips: compileIpRanges(['203.0.113.0/24']) }, { ip: '198.51.100.1' }),
    flaw('insufficient_scope', {}, { scopes: ['invoices:write'] }),
  ];
  const sound: Case = { record: organizationKey, request: fromServer };
  const refusalWith = (chosen: readonly Flaw[]) => {
    const { record, request } = chosen.reduce((given, [, spoil]) => spoil(given), sound);
    return refusal(record, request);
  };

  test.each(flaws.map((one, index) => [one[0], one, flaws.slice(index + 1)] as const))(
    '%s comes before every later one',
    (code, one, later) => {
      expect(refusalWith([one])).toBe(code);
      for (const other of later) expect(refusalWith([one, other]), other[0]).toBe(code);
      expect(refusalWith([one, ...later])).toBe(code);
    },
  );

  test('of any set of failing checks the first decides', () => {
    fc.assert(
      fc.property(fc.subarray(flaws), (chosen) => {
        expect(refusalWith(chosen)).toBe(chosen[0]?.[0] ?? null);
      }),
      { numRuns: 1000 },
    );
  });

  test('disabled, a closed door for browsers and a missing tenant stand in the same places', () => {
    const { record } = sound;
    expect(refusal({ ...record, status: 'disabled', expiresAtMs: 0 }, fromServer)).toBe('disabled_key');
    const everything: DecisionRequest = { ...fromBrowser, tenantRequired: true, scopes: ['x:y'] };
    const closed: KeyRecord = {
      ...record,
      browsers: 'deny',
      issuer: { ...issuer, profile: presets['tenant-header'] },
    };
    expect(refusal(closed, everything)).toBe('tenant_required');
    expect(refusal(closed, { ...everything, tenantRequired: false })).toBe('origin_not_allowed');
    expect(
      refusal(
        { ...record, organization: { ...acme, status: 'suspended' } },
        { ...fromServer, tenantRequired: true },
      ),
    ).toBe('tenant_required');
  });
});

/** The contract once more, as a list: each check beside the refusal it leads to, asked in order. */
function modelOf(
  record: KeyRecord,
  request: DecisionRequest & { scopes: readonly string[] },
): DecisionRefusal | null {
  const { tenant } = request;
  const named = tenant === 'unknown' ? null : (tenant ?? null);
  const isOwnTenant = record.organization
    ? named?.id === record.organization.id
    : named?.issuerId === record.issuer?.id && named !== null;
  const acting = request.tenantGiven ? [record.organization, named] : [record.organization];
  const whole = managementPermissions.filter((scope) => !scope.startsWith('gatelodge.accounts:'));
  const held = record.scopes ?? (record.kind === 'secret' && record.issuer === null ? whole : []);
  const usable =
    record.kind === 'publishable'
      ? held.filter((scope) => record.issuer?.publishableScopes.includes(scope))
      : held;
  const policy = record.issuer?.profile.secret_keys_in_browsers ?? 'warn';
  const checks: [DecisionRefusal, boolean][] = [
    ['revoked_key', record.status === 'revoked'],
    ['disabled_key', record.status === 'disabled'],
    ['expired_key', record.expiresAtMs !== null && record.expiresAtMs <= nowMs],
    ['account_suspended', record.account.status !== 'active'],
    ['issuer_suspended', record.issuer?.status === 'suspended'],
    ['wrong_environment', request.environment !== undefined && request.environment !== record.environment],
    ['tenant_required', request.tenantRequired && !request.tenantGiven],
    ['tenant_mismatch', request.tenantGiven && !isOwnTenant],
    ['tenant_suspended', acting.some((organization) => organization?.status === 'suspended')],
    ['origin_not_allowed', record.browsers === 'deny' && request.hasBrowserHeaders],
    ['origin_not_allowed', record.requireOrigin && !request.origin],
    [
      'origin_not_allowed',
      request.origin !== undefined && record.origins.length > 0 && !record.origins.includes(request.origin),
    ],
    ['secret_key_in_browser', record.kind === 'secret' && request.hasBrowserHeaders && policy === 'deny'],
    ['ip_not_allowed', record.ips !== null && request.ip !== '203.0.113.7'],
    ['insufficient_scope', request.scopes.some((scope) => !usable.includes(scope))],
  ];
  return checks.find(([, fails]) => fails)?.[0] ?? null;
}

test('decides as the list of the contract does, for any key and any request', () => {
  const status = fc.constantFrom(
    'active' as const,
    'active' as const,
    'active' as const,
    'suspended' as const,
  );
  const scope = fc.constantFrom('a:read', 'b:read', 'c:read', 'keys:verify', 'gatelodge.accounts:read');
  const organization = fc
    .record({ base: fc.constantFrom(acme, globex), status })
    .map(({ base, status: of }) => ({ ...base, status: of }));
  const anyIssuer = fc
    .record({
      status,
      profile: fc.constantFrom(...Object.values(presets)),
      publishableScopes: fc.uniqueArray(scope),
    })
    .map((members) => ({ ...issuer, ...members }));
  const owner = fc.oneof(
    fc.constant({ issuer: null, organization: null }),
    fc.record({ issuer: anyIssuer, organization: fc.constant(null) }),
    fc.record({ issuer: anyIssuer, organization }),
  );
  const key = fc
    .record({
      owner,
      account: status.map((of) => ({ ...account, status: of })),
      kind: fc.constantFrom('secret', 'publishable'),
      environment: fc.constantFrom('live', 'sandbox'),
      status: fc.constantFrom('active', 'active', 'active', 'disabled', 'revoked'),
      expiresAtMs: fc.constantFrom(null, null, nowMs - 1, nowMs, nowMs + 1),
      scopes: fc.option(fc.uniqueArray(scope)),
      origins: fc.subarray(['https://myapp.com', 'https://other.example']),
      browsers: fc.constantFrom('allow', 'allow', 'deny'),
      requireOrigin: fc.boolean(),
      ips: fc.constantFrom(null, null, compileIpRanges(['203.0.113.0/24'])),
    })
    .map(
      ({ owner: of, ...members }): KeyRecord => ({ ...issuerKey, ...of, ...(members as Partial<KeyRecord>) }),
    );
  const request = fc.record({
    origin: fc.constantFrom(undefined, undefined, 'https://myapp.com', 'https://evil.example', 'null', ''),
    hasBrowserHeaders: fc.boolean(),
    ip: fc.constantFrom(undefined, '203.0.113.7', '198.51.100.1'),
    tenant: fc.oneof(organization, fc.constantFrom('unknown' as const, null, undefined, foreign)),
    tenantGiven: fc.boolean(),
    tenantRequired: fc.boolean(),
    environment: fc.constantFrom(undefined, undefined, 'live' as const, 'sandbox' as const),
    scopes: fc.uniqueArray(scope, { maxLength: 2 }),
  });
  fc.assert(
    fc.property(key, request, (record, asked) => {
      expect(refusal(record, asked)).toBe(modelOf(record, asked));
    }),
    { numRuns: 20_000 },
  );
});

test('changes neither record nor request', () => {
  const freeze = <T>(value: T): T => {
    if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
      Object.freeze(value);
      for (const member of Object.values(value)) freeze(member);
    }
    return value;
  };
  const key = freeze(
    structuredClone({ ...publishableKey, scopes: ['a:read', 'b:read'], organization: acme }),
  );
  expect(decide(key, freeze({ ...fromBrowser, tenant: acme, tenantGiven: true }), nowMs).valid).toBe(true);
});
