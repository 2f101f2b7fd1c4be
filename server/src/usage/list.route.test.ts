import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ApiClient } from '../../test/harness/api-client.ts';
import { createCustomer, withScopes } from '../../test/harness/customer.ts';
import { meter } from '../../test/harness/metered-rows.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { SqlLog } from '../../test/harness/sql-log.ts';
import { createKey, succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';
import { idPrefixes, newId } from '../ids/ids.ts';

// That every combination of filters and groups adds up is tested in usage-model.test.ts.

const clock = new TestClock('2026-11-21T12:30:00.000Z');
const server = await startTestServer({ clock });
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { id: accountId, api } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
const tenant: string = (await issuer.createOrganization()).id;
const tenantKey = await issuer.createKey({}, tenant);
const accountKey = await createKey(api, '/v1/api-keys');

/** The requests of this test are metered as well, in the hour of its clock: what it looks at was over before them. */
const before = 'to=2026-11-21T12:00:00Z';
const ofTenant = { accountId, keyId: tenantKey.id, issuerId: issuer.id, organizationId: tenant };
beforeAll(async () => {
  await meter(rows, [
    { ...ofTenant, at: new Date('2026-11-21T11:10:00Z'), count: 6, cost: 12 },
    { ...ofTenant, at: new Date('2026-11-21T11:20:00Z'), count: 2, code: 'RATE_LIMITED' },
    { ...ofTenant, at: new Date('2026-11-21T10:59:59Z') },
    { ...ofTenant, at: new Date('2026-11-20T11:59:59Z') },
    { ...ofTenant, at: new Date('2026-10-05T00:00:00Z'), count: 4 },
    { ...ofTenant, at: new Date('2025-11-01T00:00:00Z') },
    { ...ofTenant, at: new Date('2025-10-31T23:59:59Z') },
    { accountId, keyId: accountKey.id, at: new Date('2026-11-21T11:05:00Z'), count: 3, isManagement: true },
  ]);
});

interface Bucket {
  start: string;
  total: number;
  management: number;
}
const bucketsOf = async (query: string, as: ApiClient = api): Promise<Bucket[]> =>
  succeeded(await as.get(`/v1/usage?${query}`)).body.data;
const startsOf = async (query: string) => (await bucketsOf(query)).map(({ start }) => start);

describe('200', () => {
  test('a bucket tells how many decisions there were and how they came out', async () => {
    const [bucket] = await bucketsOf(`interval=hour&${before}`);
    expect(bucket).toEqual({
      start: '2026-11-21T11:00:00.000Z',
      total: 8,
      valid: 6,
      refused: 2,
      errors: 0,
      error_rate: 0.25,
      by_code: { VALID: 6, RATE_LIMITED: 2 },
      cost: 12,
      management: 3,
      reported: 0,
      latency_ms: null,
    });
  });

  test('a group has its name in it, and calls of the management API stand apart', async () => {
    // Within a bucket of time the key that was made last comes first.
    expect(await bucketsOf(`interval=hour&group_by=key&from=2026-11-21T11:00:00Z&${before}`)).toMatchObject([
      { key_id: accountKey.id, total: 0, management: 3, error_rate: null, by_code: {} },
      { key_id: tenantKey.id, total: 8, management: 0 },
    ]);
    const members = async (grouping: string) => {
      const [bucket] = (await bucketsOf(`interval=hour&group_by=${grouping}&${before}`)) as unknown as Record<
        string,
        string
      >[];
      return bucket![grouping === 'code' || grouping === 'environment' ? grouping : `${grouping}_id`];
    };
    expect(await members('organization')).toBe(tenant);
    expect(await members('issuer')).toBe(issuer.id);
    expect(await members('environment')).toBe('live');
    expect(await members('code')).toBe('VALID');
  });

  test('unless it is said, of the last 24 hours, 30 days or 12 months, empty ones left out', async () => {
    expect(await startsOf('interval=hour')).toEqual([
      '2026-11-21T12:00:00.000Z',
      '2026-11-21T11:00:00.000Z',
      '2026-11-21T10:00:00.000Z',
    ]);
    expect(await startsOf('')).toEqual(['2026-11-21T00:00:00.000Z', '2026-11-20T00:00:00.000Z']);
    expect(await startsOf('interval=month')).toEqual([
      '2026-11-01T00:00:00.000Z',
      '2026-10-01T00:00:00.000Z',
      '2025-11-01T00:00:00.000Z',
    ]);
    expect(await startsOf(`interval=hour&${before}`)).toEqual([
      '2026-11-21T11:00:00.000Z',
      '2026-11-21T10:00:00.000Z',
    ]);
    expect(await startsOf('interval=hour&to=2026-11-21T11:59:59.999Z')).toEqual([
      '2026-11-21T11:00:00.000Z',
      '2026-11-21T10:00:00.000Z',
      // The hour in which 24 hours before lies.
      '2026-11-20T11:00:00.000Z',
    ]);
  });

  test('from the first moment to the last of all time', async () => {
    expect(await startsOf('interval=day&to=9999-12-31T23:59:59.999Z')).toEqual([]);
    expect(await startsOf('interval=month&to=1970-01-01T00:00:00Z')).toEqual([]);
  });

  test('goes on in the range that it began with, although meanwhile it has become later', async () => {
    const first = succeeded(await api.get('/v1/usage?interval=hour&limit=1')).body;
    clock.advance(3_600 * 20);
    await meter(rows, [{ ...ofTenant, at: clock.now() }]);
    const next = succeeded(await api.get(`/v1/usage?interval=hour&limit=1&cursor=${first.next_cursor}`)).body;
    expect(next.data.map(({ start }: Bucket) => start)).toEqual(['2026-11-21T11:00:00.000Z']);
    const whole = await startsOf(`interval=hour&from=2026-11-20T12:30:00Z&${before}`);
    expect(next.has_more).toBe(whole.length > 1);
    clock.advance(-3_600 * 20);
  });

  // Attack: costs are whatever callers say; added up for long enough they are no number any more, and whoever asks for
  // usage is answered a 500.
  test('whatever was spent', async () => {
    const { id, api: spender } = await createCustomer(server);
    const keyId = newId(idPrefixes.apiKey);
    for (const cost of [Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER])
      await meter(rows, [{ accountId: id, keyId, cost, at: clock.now() }]);
    const [bucket] = await bucketsOf('', spender);
    expect(bucket).toMatchObject({ total: 2, cost: Number.MAX_SAFE_INTEGER });
  });
});

describe('whose usage it shows', () => {
  // Attack: name somebody else's issuer, organization or key, and see by the answer whether it exists or what it does.
  test('ids of another account are as good as ids that nobody has, by the same statements', async () => {
    const { api: stranger } = await createCustomer(server);
    const sql = new SqlLog(server);
    for (const [filter, id, random] of [
      ['issuer_id', issuer.id, newId(idPrefixes.issuer)],
      ['organization_id', tenant, newId(idPrefixes.organization)],
      ['key_id', tenantKey.id, newId(idPrefixes.apiKey)],
    ] as const)
      for (const grouping of ['', '&group_by=key', '&group_by=organization&interval=month']) {
        const ask = async (value: string) => {
          sql.clear();
          const { status, text } = await stranger.get(`/v1/usage?${filter}=${value}${grouping}`);
          return { status, text, statements: sql.statements };
        };
        expect(await ask(id)).toEqual(await ask(random));
        expect(JSON.parse((await ask(id)).text)).toEqual({ data: [], has_more: false, next_cursor: null });
      }
    sql.close();
  });

  test('a key of an issuer or an organization sees nothing of what lies beside it, whatever it names', async () => {
    const other = await TestIssuer.create(server, {}, {}, api);
    const neighbour: string = (await issuer.createOrganization()).id;
    const scopes = ['gatelodge.usage:read'];
    const ofOther = await withScopes(api, scopes, `${other.path}/api-keys`);
    const ofNeighbour = await withScopes(api, scopes, `${issuer.path}/organizations/${neighbour}/api-keys`);
    for (const caller of [ofOther, ofNeighbour])
      for (const query of [
        '',
        'group_by=key',
        `key_id=${tenantKey.id}`,
        `key_id=${accountKey.id}`,
        `issuer_id=${issuer.id}`,
        `organization_id=${tenant}`,
        `organization_id=${tenant}&key_id=${tenantKey.id}&issuer_id=${issuer.id}`,
      ])
        expect(await bucketsOf(`interval=hour&${before}&${query}`, caller)).toEqual([]);
  });

  // Attack: a tenant reads off the usage of its organization which keys of the issuer act in its name, and how often.
  test('an organization’s key is told of its own keys only, though its usage counts the others too', async () => {
    const acting = await issuer.createKey();
    await meter(rows, [{ ...ofTenant, keyId: acting.id, count: 10, at: new Date('2026-11-01T01:00:00Z') }]);
    const caller = await withScopes(
      api,
      ['gatelodge.usage:read'],
      `${issuer.path}/organizations/${tenant}/api-keys`,
    );
    const query = 'from=2026-11-01T00:00:00Z&to=2026-11-02T00:00:00Z';
    expect(await bucketsOf(query, caller)).toMatchObject([{ total: 10 }]);
    expect(await bucketsOf(`${query}&group_by=key`, caller)).toEqual([]);
    expect(await bucketsOf(`${query}&key_id=${acting.id}`, caller)).toEqual([]);
    expect(await bucketsOf(`${query}&group_by=key`)).toMatchObject([{ key_id: acting.id, total: 10 }]);
  });
});

test('403: without the permission', async () => {
  const answer = await (await withScopes(api, ['gatelodge.events:read'])).get('/v1/usage');
  expect([answer.status, answer.body.code]).toEqual([403, 'permission_denied']);
});

describe('422', () => {
  test.each([
    ['interval=minute', 'interval'],
    ['group_by=account', 'group_by'],
    ['group_by=key&group_by=code', 'group_by'],
    ['from=yesterday', 'from'],
    ['from=2026-11-21', 'from'],
    ['from=2026-11-21T12:00:00', 'from'],
    ['to=2026-13-01T00:00:00Z', 'to'],
    ['from=2027-01-01T00:00:00Z', 'from'],
    ['from=2026-11-02T00:00:00Z&to=2026-11-01T00:00:00Z', 'from'],
    ['interval=hour&from=2026-01-01T00:00:00Z', 'from'],
    ['interval=month&from=1970-01-01T00:00:00Z', 'from'],
    ['environment=test', 'environment'],
    [`issuer_id=${tenant}`, 'issuer_id'],
    ['organization_id=x', 'organization_id'],
    ['key_id=', 'key_id'],
    ['limit=101', 'limit'],
    ['cursor=x', 'cursor'],
  ])('for %s', async (query, member) => {
    const answer = await api.get(`/v1/usage?${query}`);
    expect([answer.status, answer.body.code]).toEqual([422, 'invalid_request']);
    expect(answer.body.errors[0].path).toBe(`query.${member}`);
  });
});
