import { describe, expect, test } from 'vitest';
import type { RawAnswer } from '../../harness/raw-http.ts';
import { succeeded, TestIssuer, type TestKey } from '../../harness/test-issuer.ts';
import type { Gateway } from '../gateway.ts';
import { contractOf, type GatewayWorld, page, type RequestHeaders } from '../gateway-world.ts';

const limitHeaders = [
  'x-ratelimit-limit',
  'x-ratelimit-remaining',
  'x-ratelimit-reset',
  'ratelimit',
  'ratelimit-policy',
];

const dialects = {
  'tenant-header': {
    keyHeader: 'x-api-key',
    contentType: 'application/json',
    body: '{"error":{"code":"rate_limited","message":"Rate limit exceeded. Try again in 48 seconds.","type":"rate_limit_error"}}',
  },
  otp: {
    keyHeader: 'X-OTP-API-Key',
    contentType: 'application/json',
    body: '{"error":"Rate limit exceeded. Try again in 48 seconds.","code":"RATE_LIMITED"}',
  },
  standard: {
    keyHeader: 'X-API-Key',
    contentType: 'application/problem+json',
    body: '{"type":"http://localhost:4600/docs/errors/rate_limited","title":"Rate limit exceeded","status":429,"detail":"Rate limit exceeded. Try again in 48 seconds.","code":"rate_limited","request_id":"trace-7"}',
  },
} as const;

/** A tenant with three requests a minute, and the gateway that it reaches the API by. */
interface LimitedTenant {
  readonly issuer: TestIssuer;
  readonly organization: { id: string };
  readonly via: Gateway;
  ask(key: TestKey, headers?: RequestHeaders): Promise<RawAnswer>;
}

/** Limits are the client's to see, on what passes and on what does not. */
export function describeLimits(world: GatewayWorld): void {
  const { valuesSeen } = world;

  /** Twelve seconds after a full minute, in a window that nothing has been taken from. */
  function nextMinute(): void {
    const second = Math.floor(world.clock.nowMs() / 1000) % 60;
    world.clock.advance(60 - second + 12);
  }

  async function limitedTenant(preset: keyof typeof dialects, profile = {}): Promise<LimitedTenant> {
    const { keyHeader } = dialects[preset];
    const issuer = await TestIssuer.create(world.server, { preset, ...profile });
    const { api } = issuer;
    const plan = await api.create('/v1/plans', {
      name: `three-${issuer.id}`,
      limits: {
        live: [
          { name: 'minute', limit: 3, window: 'minute' },
          { name: 'day', limit: 1_000, window: 'day' },
        ],
        sandbox: [{ name: 'minute', limit: 1, window: 'minute' }],
      },
    });
    const organization = await issuer.createOrganization({ external_id: 'tenant_limited' });
    const path = `${issuer.path}/organizations/${organization.id}`;
    succeeded(await api.patch(path, { plan: plan.name }));
    const via = await world.start({ issuerId: issuer.id, keyHeader });
    const ask = (key: TestKey, headers: RequestHeaders = {}) => {
      const own = { [keyHeader]: key.secret, 'x-tn': 'tenant_limited', 'X-Request-Id': 'trace-7' };
      return world.ask({ ...own, ...headers }, '/echo', {}, via);
    };
    nextMinute();
    return { issuer, organization, via, ask };
  }

  /** What the headers of an answer say of limits. Each has to be there once at most. */
  function limitsOf({ headers, headerNames }: RawAnswer): Record<string, unknown> {
    const names = headerNames.map((name) => name.toLowerCase());
    const told = names.filter((name) => limitHeaders.includes(name));
    expect(told.toSorted()).toEqual([...new Set(told)].toSorted());
    return Object.fromEntries(told.map((name) => [name, headers[name]]));
  }

  describe('the limits of a tenant’s plan', () => {
    test.each(Object.keys(dialects) as (keyof typeof dialects)[])(
      'stand on each allowed answer, and what is over them is 429 as Gatelodge says it: %s',
      async (preset) => {
        const { keyHeader, contentType, body } = dialects[preset];
        const { issuer, organization, via, ask } = await limitedTenant(preset);
        const key = await issuer.createKey({}, organization.id);
        const reset = String(Math.floor(world.clock.nowMs() / 1000) + 48);
        const policy = '"minute";q=3;w=60, "day";q=1000;w=86400';
        for (const remaining of [2, 1, 0]) {
          const answer = await ask(key);
          expect(answer.status).toBe(200);
          expect(limitsOf(answer)).toEqual({
            'x-ratelimit-limit': '3',
            'x-ratelimit-remaining': String(remaining),
            'x-ratelimit-reset': reset,
            ratelimit: `"minute";r=${remaining};t=48`,
            'ratelimit-policy': policy,
          });
          expect(answer.headers).toMatchObject({ 'x-environment': 'LIVE', 'x-request-id': 'trace-7' });
          expect(answer.headers).not.toHaveProperty('retry-after');
          expect(valuesSeen('x-gatelodge-organization-id')).toEqual([organization.id]);
        }
        const before = world.upstream.seen.length;
        const headers = { [keyHeader]: key.secret, 'x-tn': 'tenant_limited' };
        const { direct, answer } = await world.bothAnswers(headers, { via, of: issuer });
        expect([answer.status, answer.text]).toEqual([429, body]);
        expect(limitsOf(answer)).toEqual({
          'x-ratelimit-limit': '3',
          'x-ratelimit-remaining': '0',
          'x-ratelimit-reset': reset,
          ratelimit: '"minute";r=0;t=48',
          'ratelimit-policy': policy,
        });
        expect(answer.headers).toMatchObject({
          'content-type': contentType,
          'retry-after': '48',
          'x-environment': 'LIVE',
          'x-request-id': 'trace-7',
        });
        expect(contractOf(answer)).toEqual(contractOf(direct));
        expect(Object.keys(answer.headers).filter((name) => name.startsWith('x-gatelodge'))).toEqual([]);
        expect(world.upstream.seen).toHaveLength(before);
        // A second before it is as it was; then the same request passes.
        world.clock.advance(47);
        expect((await ask(key)).headers).toMatchObject({ 'retry-after': '1' });
        world.clock.advance(1);
        expect((await ask(key)).headers).toMatchObject({ 'x-ratelimit-remaining': '2', 'x-upstream': 'yes' });
      },
    );

    test('hold for live and sandbox apart', async () => {
      const { issuer, organization, ask } = await limitedTenant('tenant-header');
      const live = await issuer.createKey({}, organization.id);
      const sandbox = await issuer.createKey({ environment: 'sandbox' }, organization.id);
      const told = async (key: TestKey) => {
        const { status, headers } = await ask(key);
        return [status, headers['x-environment'], headers['x-ratelimit-remaining']];
      };
      expect(await told(sandbox)).toEqual([200, 'SANDBOX', '0']);
      expect(await told(sandbox)).toEqual([429, 'SANDBOX', '0']);
      expect(await told(live)).toEqual([200, 'LIVE', '2']);
    });

    test('stand on a refusal for another reason, which takes nothing', async () => {
      const { issuer, organization, via, ask } = await limitedTenant('tenant-header');
      const key = await issuer.createKey({ restrictions: { ips: ['192.0.2.0/24'] } }, organization.id);
      const headers = { 'x-api-key': key.secret, 'x-tn': 'tenant_limited' };
      const { direct, answer } = await world.bothAnswers(headers, { via, of: issuer });
      expect([answer.status, limitsOf(answer)['x-ratelimit-remaining']]).toEqual([403, '3']);
      expect(contractOf(answer)).toEqual(contractOf(direct));
      expect((await ask(await issuer.createKey({}, organization.id))).headers).toMatchObject({
        'x-ratelimit-remaining': '2',
      });
    });

    test('may be read by a page that is over them', async () => {
      const { issuer, organization, via, ask } = await limitedTenant('tenant-header');
      const key = await issuer.createKey(
        { kind: 'publishable', restrictions: { origins: [page] } },
        organization.id,
      );
      for (let time = 1; time <= 3; time++) expect((await ask(key, { Origin: page })).status).toBe(200);
      const headers = { 'x-api-key': key.secret, 'x-tn': 'tenant_limited', Origin: page };
      const { direct, answer } = await world.bothAnswers(headers, { via, of: issuer });
      expect(answer.status).toBe(429);
      expect(contractOf(answer)).toEqual(contractOf(direct));
      expect(answer.headers['access-control-allow-origin']).toBe(page);
      for (const name of [...limitHeaders, 'retry-after', 'x-environment', 'x-request-id']) {
        expect(String(answer.headers['access-control-expose-headers']).toLowerCase()).toContain(name);
      }
    });

    test.each([
      { styles: ['ietf'], names: ['ratelimit', 'ratelimit-policy'] },
      {
        styles: ['x-ratelimit'],
        names: ['x-ratelimit-limit', 'x-ratelimit-remaining', 'x-ratelimit-reset'],
      },
      { styles: [], names: [] },
    ])('are told as the profile wants: $styles', async ({ styles, names }) => {
      const { issuer, organization, ask } = await limitedTenant('tenant-header', {
        rate_limit_headers: styles,
      });
      const key = await issuer.createKey({}, organization.id);
      for (const status of [200, 200, 200, 429]) {
        const answer = await ask(key);
        expect([answer.status, Object.keys(limitsOf(answer)).toSorted()]).toEqual([status, names]);
        expect(answer.headers['retry-after']).toBe(status === 429 ? '48' : undefined);
      }
    });
  });

  test('credits that nothing refills are told without a time', async () => {
    const { issuer, organization, via, ask } = await limitedTenant('otp');
    const key = await issuer.createKey({ quota: { credits: 1, refill: null } }, organization.id);
    const spent = await ask(key);
    expect([spent.status, spent.headers['x-ratelimit-remaining']]).toEqual([200, '0']);
    expect(spent.headers).not.toHaveProperty('x-ratelimit-reset');
    const headers = { 'X-OTP-API-Key': key.secret, 'x-tn': 'tenant_limited' };
    const { direct, answer } = await world.bothAnswers(headers, { via, of: issuer });
    expect([answer.status, answer.text]).toEqual([
      429,
      '{"error":"Rate limit exceeded","code":"QUOTA_EXCEEDED"}',
    ]);
    expect(contractOf(answer)).toEqual(contractOf(direct));
    expect(answer.headers).not.toHaveProperty('retry-after');
  });
}
