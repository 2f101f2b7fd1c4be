import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ApiClient } from '../../test/harness/api-client.ts';
import { createCustomer, withScopes } from '../../test/harness/customer.ts';
import { type Decided, meter } from '../../test/harness/metered-rows.ts';
import { Rows } from '../../test/harness/rows.ts';
import { scaled } from '../../test/harness/scale.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { createKey, succeeded } from '../../test/harness/test-issuer.ts';
import { endOfBucket, type Interval, intervals, startOf } from './usage-range.ts';
import { type Grouping, groupings } from './usage-source.ts';

/*
 * Whatever is asked by whom, read by pages of whatever size, the answer is what one gets by looking at every decision.
 */

/** The requests of this test are metered as well: what it looks at was over before them. */
const end = new Date('2026-09-01T00:00:00.000Z');
const clock = new TestClock('2026-11-21T12:34:56.000Z');
const server = await startTestServer({ clock });
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});

interface Place {
  issuerId: string | null;
  /** Of the key itself. */
  organizationId: string | null;
  keyId: string;
}
type Made = Decided & { place: Place };

interface Caller {
  name: string;
  api: ApiClient;
  sees: (decided: Made) => boolean;
  /** Whether it may be told this key apart from others. */
  knows: (place: Place) => boolean;
}

const codes = ['VALID', 'VALID', 'VALID', 'RATE_LIMITED', 'EXPIRED'];
const places: Place[] = [];
const issuerIds: string[] = [];
const organizationIds: string[] = [];
let decisions: Made[] = [];
let callers: Caller[] = [];

beforeAll(async () => {
  const { id: accountId, api } = await createCustomer(server);
  for (const name of ['one', 'two']) {
    const issuer = await api.create('/v1/issuers', { name });
    issuerIds.push(issuer.id);
    const path = `/v1/issuers/${issuer.id}`;
    const place = { issuerId: issuer.id, organizationId: null };
    for (let count = 0; count < 2; count++)
      places.push({ ...place, keyId: (await createKey(api, `${path}/api-keys`)).id });
    for (const word of ['a', 'b']) {
      const { id: organizationId } = await api.create(`${path}/organizations`, { name: word });
      organizationIds.push(organizationId);
      for (let count = 0; count < 2; count++) {
        const { id: keyId } = await createKey(api, `${path}/organizations/${organizationId}/api-keys`);
        places.push({ issuerId: issuer.id, organizationId, keyId });
      }
    }
  }
  const { id: keyId } = await createKey(api, '/v1/api-keys');
  places.push({ issuerId: null, organizationId: null, keyId });
  decisions = fc.sample(decidedOf(accountId), { numRuns: scaled(300, 3_000), seed: 7 });
  await meter(rows, decisions);
  // Somebody else's traffic at the same time.
  await meter(rows, [
    { accountId: server.operator.accountId, keyId: server.operator.key.id, at: new Date(end.getTime() - 1) },
  ]);
  const scopes = ['gatelodge.usage:read'];
  const [issuerId] = issuerIds as [string];
  const [organizationId] = organizationIds as [string];
  const issuer = `/v1/issuers/${issuerId}`;
  const everything = { sees: () => true, knows: () => true };
  callers = [
    { name: 'account', api, ...everything },
    {
      name: 'sandbox',
      api: await withScopes(api, scopes, '/v1/api-keys', { environment: 'sandbox' }),
      sees: ({ environment }) => environment === 'sandbox',
      knows: () => true,
    },
    {
      name: 'issuer',
      api: await withScopes(api, scopes, `${issuer}/api-keys`),
      sees: (decided) => decided.issuerId === issuerId,
      knows: () => true,
    },
    {
      name: 'organization',
      api: await withScopes(api, scopes, `${issuer}/organizations/${organizationId}/api-keys`),
      sees: (decided) => decided.organizationId === organizationId,
      knows: (place) => place.organizationId === organizationId,
    },
  ];
});

/** A key of an issuer acts now for one of its organizations, now for none. */
function decidedOf(accountId: string): fc.Arbitrary<Made> {
  const spanMs = 75 * 86_400_000;
  return fc
    .record({
      place: fc.constantFrom(...places),
      tenant: fc.constantFrom(null, 0, 1),
      environment: fc.constantFrom('live' as const, 'live' as const, 'sandbox' as const),
      code: fc.constantFrom(...codes),
      count: fc.integer({ min: 1, max: 5 }),
      isManagement: fc.constantFrom(false, false, true),
      agoMs: fc.integer({ min: 1, max: spanMs }),
    })
    .map(({ place, tenant, agoMs, ...decided }) => {
      const ofIssuer = organizationIds.slice(place.issuerId === issuerIds[0] ? 0 : 2).slice(0, 2);
      const chosen = place.issuerId === null || tenant === null ? null : ofIssuer[tenant]!;
      return {
        ...decided,
        ...{ accountId, place, keyId: place.keyId, issuerId: place.issuerId, cost: decided.count * 3 },
        organizationId: place.organizationId ?? chosen,
        at: new Date(end.getTime() - agoMs),
      };
    });
}

interface Query {
  interval: Interval;
  group_by?: Grouping;
  key_id?: string;
  issuer_id?: string;
  organization_id?: string;
  environment?: 'live' | 'sandbox';
}

function expected(caller: Caller, query: Query, from: Date) {
  const isByKey = query.group_by === 'key' || query.key_id !== undefined;
  const groupOf = (decided: Made): string | null => {
    const { keyId, issuerId = null, organizationId = null, environment = '', code = '' } = decided;
    const groups = { key: keyId, issuer: issuerId, organization: organizationId, environment, code };
    return query.group_by === undefined ? '' : groups[query.group_by];
  };
  const counted = decisions.filter(
    (decided) =>
      decided.at >= from &&
      caller.sees(decided) &&
      (!isByKey || caller.knows(decided.place)) &&
      groupOf(decided) !== null &&
      (query.key_id === undefined || decided.keyId === query.key_id) &&
      (query.issuer_id === undefined || decided.issuerId === query.issuer_id) &&
      (query.organization_id === undefined || decided.organizationId === query.organization_id) &&
      (query.environment === undefined || decided.environment === query.environment),
  );
  const buckets = Map.groupBy(
    counted,
    (decided) => `${startOf(query.interval, decided.at).toISOString()} ${groupOf(decided)}`,
  );
  return [...buckets]
    .sort(([a], [b]) => (a < b ? 1 : -1))
    .map(([name, all]) => {
      const traffic = all.filter(({ isManagement }) => !isManagement);
      const sum = (part: Made[], member: 'count' | 'cost' = 'count') =>
        part.reduce((total, decided) => total + decided[member]!, 0);
      const passed = traffic.filter(({ code }) => code === 'VALID');
      const [total, valid] = [sum(traffic), sum(passed)];
      return {
        name,
        ...{ total, valid, refused: total - valid, errors: 0, reported: 0, latency_ms: null },
        error_rate: total === 0 ? null : (total - valid) / total,
        cost: sum(passed, 'cost'),
        management: sum(all) - total,
        by_code: Object.fromEntries(
          [...Map.groupBy(traffic, ({ code }) => code!)].map(([code, part]) => [code, sum(part)]),
        ),
      };
    });
}

async function read(caller: Caller, { group_by: grouping, ...filter }: Query, limit: number, from: Date) {
  const query = new URLSearchParams({
    ...filter,
    ...(grouping && { group_by: grouping }),
    from: from.toISOString(),
    to: end.toISOString(),
    limit: String(limit),
  });
  const member =
    grouping && (grouping === 'environment' || grouping === 'code' ? grouping : `${grouping}_id`);
  const found: Record<string, unknown>[] = [];
  for (let pages = 0; pages < 1_000; pages++) {
    const { body } = succeeded(await caller.api.get(`/v1/usage?${query}`));
    expect(body.data.length).toBeLessThanOrEqual(limit);
    for (const { start, ...bucket } of body.data) {
      const group = member === undefined ? '' : bucket[member];
      if (member !== undefined) delete bucket[member];
      found.push({ name: `${start} ${group}`, ...bucket });
    }
    if (!body.has_more) return found;
    query.set('cursor', body.next_cursor);
  }
  throw new Error('the list has no end');
}

test('what is answered is what was decided', async () => {
  const query = fc.record(
    {
      interval: fc.constantFrom(...intervals),
      group_by: fc.constantFrom(...groupings),
      key_id: fc.nat(places.length - 1).map((at) => places[at]!.keyId),
      issuer_id: fc.nat(1).map((at) => issuerIds[at]!),
      organization_id: fc.nat(3).map((at) => organizationIds[at]!),
      environment: fc.constantFrom('live' as const, 'sandbox' as const),
    },
    { requiredKeys: ['interval'] },
  );
  const caller = fc.nat(3).map((at) => callers[at]!);
  const limit = fc.constantFrom(1, 2, 7, 100);
  const ago = fc.integer({ min: 1, max: 80 });
  await fc.assert(
    fc.asyncProperty(caller, query, limit, ago, async (asking, asked, size, days) => {
      // Pages of one bucket are for short lists.
      const limited = asked.interval === 'hour' && size < 7 ? 100 : size;
      const from = startOf(asked.interval, new Date(end.getTime() - days * 86_400_000));
      expect(await read(asking, asked, limited, from)).toEqual(expected(asking, asked, from));
    }),
    { numRuns: scaled(150, 3_000) },
  );
});

test('each caller sees something, and no bucket lies outside of what was asked for', async () => {
  for (const caller of callers) {
    const from = new Date('2026-08-01T00:00:00Z');
    const query = `/v1/usage?interval=day&from=2026-08-01T00:00:00Z&to=2026-08-08T00:00:00Z&limit=100`;
    const { data } = succeeded(await caller.api.get(query)).body;
    expect(data.length).toBeGreaterThan(0);
    for (const { start } of data) {
      expect(new Date(start) >= from).toBe(true);
      expect(endOfBucket('day', new Date(start)) <= new Date('2026-08-08T00:00:00Z')).toBe(true);
    }
  }
});
