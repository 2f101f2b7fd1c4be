import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { scaled } from '../../test/harness/scale.ts';
import { compileIpRanges } from '../api-keys/ip-ranges.ts';
import { presets } from '../key-profiles/presets.ts';
import { parseScopeExpression, type ScopeExpression } from '../scopes/scope-expression.ts';
import type { DecisionRequest } from './checks.ts';
import { decide } from './decide.ts';
import { type CheckReport, checkNames, explain, explainUnknown } from './explain.ts';
import { account, acme, foreign, globex, issuer, issuerKey as plain } from './fixtures/records.ts';
import type { AccountRecord, IssuerRecord, KeyRecord, OrganizationRecord } from './records.ts';
import { refusals } from './refusals.ts';

const nowMs = Date.parse('2026-11-21T12:00:00.000Z');
const secret = `gl_live_sk_${'0'.repeat(44)}`;

const fromServer: DecisionRequest = {
  hasBrowserHeaders: false,
  tenantGiven: false,
  tenantRequired: false,
  scopes: [],
};
const from = (origin: string): Partial<DecisionRequest> => ({ origin, hasBrowserHeaders: true });

function expression(text: string): ScopeExpression {
  const parsed = parseScopeExpression(text);
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.expression;
}

function reportsOf(record: Partial<KeyRecord>, request: Partial<DecisionRequest> = {}): CheckReport[] {
  return explain({
    record: { ...plain, ...record },
    secret,
    request: { ...fromServer, ...request },
    nowMs,
    isTenantKnown: true,
    limits: null,
  });
}

const outcomeOf = (check: string, ...asked: Parameters<typeof reportsOf>) => {
  const { outcome, code, message } = reportsOf(...asked).find((report) => report.check === check)!;
  return [outcome, code, message];
};

test('tells every check, in the contract’s order, of a key without restrictions', () => {
  expect(reportsOf({}).map(({ check, outcome, code }) => [check, outcome, code])).toEqual([
    ['present', 'passed', null],
    ['well_formed', 'passed', null],
    ['known', 'passed', null],
    ['status', 'passed', null],
    ['expiry', 'skipped', null],
    ['account', 'passed', null],
    ['issuer', 'passed', null],
    ['environment', 'skipped', null],
    ['tenant', 'skipped', null],
    ['origin', 'skipped', null],
    ['secret_key_in_browser', 'skipped', null],
    ['ip', 'skipped', null],
    ['scope', 'skipped', null],
    ['limits', 'skipped', null],
  ]);
});

test('tells what fails after what has failed already', () => {
  const everything = reportsOf(
    {
      status: 'revoked',
      expiresAtMs: nowMs - 1,
      account: { ...account, status: 'suspended' },
      issuer: { ...issuer, status: 'suspended', profile: presets['tenant-header'] },
      origins: ['https://a.example'],
      ips: compileIpRanges(['203.0.113.0/24']),
    },
    {
      ...from('https://b.example'),
      environment: 'sandbox',
      tenantRequired: true,
      ip: '::1',
      scopes: ['a:read'],
    },
  );
  expect(everything.filter(({ outcome }) => outcome === 'failed').map(({ code }) => code)).toEqual([
    'REVOKED',
    'EXPIRED',
    'ACCOUNT_SUSPENDED',
    'ISSUER_SUSPENDED',
    'WRONG_ENVIRONMENT',
    'TENANT_REQUIRED',
    'ORIGIN_NOT_ALLOWED',
    'SECRET_KEY_IN_BROWSER',
    'IP_NOT_ALLOWED',
    'INSUFFICIENT_SCOPE',
  ]);
});

describe('the fact that decided', () => {
  const closed = { ...issuer, profile: presets['tenant-header'] };
  const open = { ...issuer, profile: presets.otp };
  const origins = ['https://a.example', 'https://b.example'];
  const ips = compileIpRanges(['203.0.113.0/24']);
  const cases: [
    check: string,
    ...Parameters<typeof reportsOf>,
    CheckReport['outcome'],
    string | null,
    string,
  ][] = [
    ['status', { status: 'disabled' }, {}, 'failed', 'DISABLED', 'The key is disabled.'],
    ['status', { status: 'revoked' }, {}, 'failed', 'REVOKED', 'The key is revoked.'],
    [
      'expiry',
      { expiresAtMs: nowMs },
      {},
      'failed',
      'EXPIRED',
      'The key worked until 2026-11-21T12:00:00.000Z (its expiry); it is 2026-11-21T12:00:00.000Z.',
    ],
    [
      'expiry',
      { expiresAtMs: nowMs + 1000, rotatedAtMs: nowMs },
      {},
      'passed',
      null,
      'The key works until 2026-11-21T12:00:01.000Z (its expiry or the end of the grace after its rotation, the earlier); it is 2026-11-21T12:00:00.000Z.',
    ],
    [
      'account',
      { account: { ...account, status: 'deleting' } },
      {},
      'failed',
      'ACCOUNT_SUSPENDED',
      'The account is deleting.',
    ],
    ['issuer', { issuer: null }, {}, 'skipped', null, 'The key is the account’s and has no issuer.'],
    [
      'environment',
      {},
      { environment: 'sandbox' },
      'failed',
      'WRONG_ENVIRONMENT',
      'The key is of live, and sandbox is demanded.',
    ],
    [
      'tenant',
      { organization: acme },
      { tenant: globex, tenantGiven: true },
      'failed',
      'TENANT_MISMATCH',
      'The tenant is none that the key may act for.',
    ],
    [
      'tenant',
      {},
      { tenantRequired: true },
      'failed',
      'TENANT_REQUIRED',
      'No tenant is given, and the issuer’s key profile requires one.',
    ],
    [
      'tenant',
      { organization: { ...acme, status: 'suspended' } },
      {},
      'failed',
      'TENANT_SUSPENDED',
      'The organization is suspended.',
    ],
    ['tenant', { organization: acme }, {}, 'passed', null, 'The key’s own organization is active.'],
    [
      'tenant',
      {},
      { tenant: acme, tenantGiven: true },
      'passed',
      null,
      'The key may act for the tenant, which is active.',
    ],
    [
      'origin',
      { origins },
      from('https://evil.example'),
      'failed',
      'ORIGIN_NOT_ALLOWED',
      'The origin is none of the key’s 2 origins.',
    ],
    [
      'origin',
      { origins },
      from('https://b.example'),
      'passed',
      null,
      'The origin is allowed by the key’s 2 origins.',
    ],
    ['origin', { origins }, {}, 'skipped', null, 'No origin is given, and the key does not require one.'],
    [
      'origin',
      { requireOrigin: true },
      {},
      'failed',
      'ORIGIN_NOT_ALLOWED',
      'No origin is given, and the key requires one.',
    ],
    [
      'origin',
      { requireOrigin: true },
      from('null'),
      'passed',
      null,
      'An origin is given, as the key requires; any will do.',
    ],
    [
      'origin',
      { browsers: 'deny' },
      from('https://a.example'),
      'failed',
      'ORIGIN_NOT_ALLOWED',
      'The request comes from a browser, and the key keeps browsers out.',
    ],
    [
      'origin',
      { browsers: 'deny' },
      {},
      'passed',
      null,
      'No origin is given, and the key keeps browsers out.',
    ],
    [
      'secret_key_in_browser',
      { issuer: closed },
      from('https://a.example'),
      'failed',
      'SECRET_KEY_IN_BROWSER',
      'A secret key came from a browser, which the issuer’s key profile denies.',
    ],
    [
      'secret_key_in_browser',
      {},
      from('https://a.example'),
      'passed',
      null,
      'A secret key came from a browser; the issuer’s key profile warns of that.',
    ],
    [
      'secret_key_in_browser',
      { issuer: open },
      from('https://a.example'),
      'passed',
      null,
      'A secret key came from a browser, which the issuer’s key profile allows.',
    ],
    [
      'secret_key_in_browser',
      { kind: 'publishable' },
      from('https://a.example'),
      'skipped',
      null,
      'Publishable keys may stand in a browser.',
    ],
    ['ip', { ips }, {}, 'failed', 'IP_NOT_ALLOWED', 'No address is given, and the key has 1 IP range.'],
    [
      'ip',
      { ips },
      { ip: '198.51.100.1' },
      'failed',
      'IP_NOT_ALLOWED',
      'The address lies in none of the key’s 1 IP range.',
    ],
    ['ip', { ips }, { ip: '203.0.113.7' }, 'passed', null, 'The address lies in the key’s 1 IP range.'],
    [
      'scope',
      {},
      { scopes: ['invoices:read', 'a:read', 'b:read', 'a:read'] },
      'failed',
      'INSUFFICIENT_SCOPE',
      'The key lacks a:read, b:read.',
    ],
    [
      'scope',
      {},
      { scopes: expression('invoices:read and (a:read or b:read)') },
      'failed',
      'INSUFFICIENT_SCOPE',
      'The key does not meet invoices:read AND (a:read OR b:read). Of these it lacks a:read, b:read.',
    ],
    [
      'scope',
      {},
      { scopes: expression('invoices:read or a:read') },
      'passed',
      null,
      'The key holds what is demanded.',
    ],
    [
      'scope',
      {
        kind: 'publishable',
        scopes: ['a:read', 'b:read'],
        issuer: { ...issuer, publishableScopes: ['b:read'] },
      },
      { scopes: ['a:read', 'b:read', 'c:read'] },
      'failed',
      'INSUFFICIENT_SCOPE',
      'The key lacks a:read, c:read. A publishable key may use only what its issuer lists as publishable, which a:read is not.',
    ],
  ];
  test.each(cases)('%s of %j at %j: %s %s', (check, record, request, ...told) => {
    expect(outcomeOf(check, record, request)).toEqual(told);
  });
});

// Attack: who may verify keys and nothing else has a key explained, and reads its restrictions, or the names of tenants.
test('names no origin, range or tenant of the key’s, and none that the request has not named', () => {
  const record = {
    origins: ['https://canary-origin.example', 'https://canary-other.example'],
    ips: compileIpRanges(['203.0.113.64/29', '2001:db8:77::/48']),
    organization: { ...acme, id: 'org_canary', name: 'canary', externalId: 'canary' },
    scopes: ['canary:read'],
    name: 'canary',
    metadata: { secret: 'canary' },
  };
  for (const request of [
    {},
    { ...from('https://evil.example'), ip: '198.51.100.1', scopes: ['a:read'] },
    { ...from('https://canary-origin.example'), ip: '203.0.113.65' },
    { tenant: globex, tenantGiven: true },
    { tenant: 'unknown' as const, tenantGiven: true },
  ]) {
    const text = JSON.stringify(reportsOf(record, request));
    expect(text).not.toMatch(/canary|203\.0\.113|2001:db8|Globex|org_/i);
  }
  // Nor can a tenant that is another's be told from one that there is none of.
  const mismatch = (tenant: DecisionRequest['tenant']) => reportsOf(record, { tenant, tenantGiven: true });
  for (const tenant of [globex, foreign, null]) expect(mismatch(tenant)).toEqual(mismatch('unknown'));
});

describe('a key that is not known', () => {
  test('fails as such; nothing else is decided', () => {
    const reports = explainUnknown(secret);
    expect(reports.map(({ check }) => check)).toEqual([...checkNames]);
    expect(reports.map(({ outcome }) => outcome)).toEqual([
      'passed',
      'passed',
      'failed',
      ...Array.from({ length: 11 }, () => 'skipped'),
    ]);
    expect(reports[2]!.code).toBe('NOT_FOUND');
  });

  test('is told from what has no form of a key, by its text alone and without repeating it', () => {
    for (const text of [
      'canary',
      'gl_live_sk_canary',
      `${secret}0`.repeat(2),
      ` ${secret}`,
      'ключ',
      `${secret}!`,
    ]) {
      const [, wellFormed, known] = explainUnknown(text);
      expect([text, wellFormed!.outcome, wellFormed!.code]).toEqual([text, 'failed', 'NOT_FOUND']);
      expect([known!.outcome, known!.code]).toEqual(['failed', 'NOT_FOUND']);
      expect(wellFormed!.message).not.toContain('canary');
    }
    // Attack: made-up check parts are tried until one is told apart.
    fc.assert(
      fc.property(fc.stringMatching(/^[0-9A-Za-z]{44}$/), (body) => {
        expect(explainUnknown(`gl_live_sk_${body}`)).toEqual(explainUnknown(secret));
      }),
    );
  });

  test('an imported key that is known is well formed, whatever it looks like', () => {
    const reports = explain({
      record: { ...plain, isImported: true },
      secret: 'legacy key!',
      request: fromServer,
      nowMs,
      isTenantKnown: true,
      limits: null,
    });
    expect(reports.filter(({ outcome }) => outcome === 'failed')).toEqual([]);
  });
});

test('a tenant that can’t be looked up is said to be that, and nothing is said of it', () => {
  const [report] = explain({
    record: { ...plain, status: 'revoked' },
    secret,
    request: { ...fromServer, tenant: null, tenantGiven: true },
    nowMs,
    isTenantKnown: false,
    limits: null,
  }).filter(({ check }) => check === 'tenant');
  expect(report).toMatchObject({ outcome: 'skipped', code: null });
});

test('the first check that failed is what the decision refuses with, for any key and any request', () => {
  const weighted = <T>(usual: T, ...others: T[]) =>
    fc.oneof(
      { weight: 4, arbitrary: fc.constant(usual) },
      { weight: 1, arbitrary: fc.constantFrom(...others) },
    );
  const scope = fc.constantFrom('a:read', 'b:read', 'keys:verify', 'gatelodge.accounts:read');
  const organization = fc
    .record({
      base: fc.constantFrom(acme, globex),
      status: weighted<'active' | 'suspended'>('active', 'suspended'),
    })
    .map(({ base, status }): OrganizationRecord => ({ ...base, status }));
  const anyIssuer = fc
    .record({
      status: weighted<'active' | 'suspended'>('active', 'suspended'),
      profile: fc.constantFrom(...Object.values(presets)),
      publishableScopes: fc.uniqueArray(scope),
    })
    .map((members): IssuerRecord => ({ ...issuer, ...members }));
  const record = fc.record({
    kind: fc.constantFrom('secret' as const, 'publishable' as const),
    environment: fc.constantFrom('live' as const, 'sandbox' as const),
    status: weighted<KeyRecord['status']>('active', 'disabled', 'revoked'),
    expiresAtMs: weighted<number | null>(null, nowMs - 1, nowMs, nowMs + 1),
    rotatedAtMs: fc.constantFrom(null, nowMs - 1),
    scopes: fc.option(fc.uniqueArray(scope)),
    origins: fc.subarray(['https://a.example', 'http://localhost:*']),
    browsers: weighted<'allow' | 'deny'>('allow', 'deny'),
    requireOrigin: fc.boolean(),
    ips: fc.constantFrom(null, compileIpRanges(['203.0.113.0/24'])),
    isImported: fc.boolean(),
    account: weighted<AccountRecord['status']>('active', 'suspended', 'deleting').map(
      (status): AccountRecord => ({ ...account, status }),
    ),
    owner: fc.oneof(
      fc.constant({ issuer: null, organization: null }),
      fc.record({ issuer: anyIssuer, organization: fc.option(organization) }),
    ),
  });
  const request = fc.record({
    origin: fc.constantFrom(
      undefined,
      'https://a.example',
      'https://evil.example',
      'null',
      '',
      'http://localhost:1',
    ),
    hasBrowserHeaders: fc.boolean(),
    ip: fc.constantFrom(undefined, '203.0.113.7', '198.51.100.1', 'x'),
    tenant: fc.oneof(organization, fc.constantFrom('unknown' as const, null, undefined, foreign)),
    tenantGiven: fc.boolean(),
    tenantRequired: fc.boolean(),
    environment: fc.constantFrom(undefined, 'live' as const, 'sandbox' as const),
    scopes: fc.oneof(
      fc.uniqueArray(scope, { maxLength: 2 }),
      fc.constantFrom(expression('a:read or b:read'), expression('a:read and (b:read or keys:verify)')),
    ),
  });
  fc.assert(
    fc.property(record, request, ({ owner, ...members }, asked) => {
      const key: KeyRecord = { ...plain, ...members, ...owner };
      const reports = explain({
        record: key,
        secret,
        request: asked,
        nowMs,
        isTenantKnown: true,
        limits: null,
      });
      const decision = decide(key, asked, nowMs);
      const first = reports.find(({ outcome }) => outcome === 'failed');
      expect(first?.code ?? null).toBe(decision.valid ? null : refusals[decision.refusal].verifyCode);
      expect(reports.map(({ check }) => check)).toEqual([...checkNames]);
      for (const { outcome, code, message } of reports) {
        expect(code === null).toBe(outcome !== 'failed');
        expect(message).not.toMatch(/undefined|null|NaN|object/);
      }
    }),
    { numRuns: scaled(10_000, 100_000) },
  );
});
