import { afterAll, describe, expect, test } from 'vitest';
import type { ApiClient } from '../../test/harness/api-client.ts';
import { atOnce } from '../../test/harness/at-once.ts';
import { createCustomer, withScopes } from '../../test/harness/customer.ts';
import { meter } from '../../test/harness/metered-rows.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { createKey, succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';
import { idPrefixes, newId } from '../ids/ids.ts';

const clock = new TestClock('2026-11-21T12:30:00.000Z');
const server = await startTestServer({ clock });
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});

/** An account with an issuer, an organization, and keys of both. */
async function makeWorld() {
  const { id: accountId, api } = await createCustomer(server);
  const issuer = await TestIssuer.create(server, {}, {}, api);
  const tenant: string = (await issuer.createOrganization()).id;
  const tenantKey = await issuer.createKey({}, tenant);
  const issuerKey = await issuer.createKey();
  const report = (outcomes: object[], as: ApiClient = api, headers?: Record<string, string>) =>
    as.post('/v1/usage/outcomes', { outcomes }, headers);
  const bucketOf = async (query: string) =>
    succeeded(await api.get(`/v1/usage?interval=hour&${query}`)).body.data[0];
  return { accountId, api, issuer, tenant, tenantKey, issuerKey, report, bucketOf };
}

describe('200', () => {
  test('errors and latencies stand beside the decisions, at every level, in their hour and their day', async () => {
    const { accountId, issuer, tenant, tenantKey, report, bucketOf, api } = await makeWorld();
    await meter(rows, [
      {
        ...{ accountId, keyId: tenantKey.id, issuerId: issuer.id, organizationId: tenant },
        ...{ at: clock.now(), count: 9 },
      },
      { accountId, keyId: tenantKey.id, at: clock.now(), code: 'EXPIRED', count: 1 },
    ]);
    const { id: key_id } = tenantKey;
    const answer = await report([
      { key_id, status: 200, latency_ms: 10 },
      { key_id, status: 404, latency_ms: 20.5, count: 2 },
      { key_id, status: 500, latency_ms: 49 },
      { key_id, status: 503 },
    ]);
    expect([answer.status, answer.body]).toEqual([200, { data: { accepted: 4, ignored: [] } }]);
    expect(answer.headers.get('ETag')).toBeNull();
    const told = { reported: 5, errors: 2, latency_ms: 25 };
    expect(await bucketOf('')).toMatchObject({ ...told, total: 10, refused: 1, error_rate: 0.3 });
    for (const query of [
      `key_id=${key_id}`,
      `organization_id=${tenant}`,
      `issuer_id=${issuer.id}`,
      'group_by=code&environment=live',
    ])
      expect(await bucketOf(query)).toMatchObject({ ...told, valid: 9 });
    const [day] = succeeded(await api.get('/v1/usage')).body.data;
    expect(day).toMatchObject(told);
  });

  test('what is told of earlier requests goes into the hour in which they were', async () => {
    const { tenantKey, report, api } = await makeWorld();
    const { id: key_id } = tenantKey;
    const at = (hours: number) => new Date(clock.nowMs() - hours * 3_600_000).toISOString();
    const { body } = await report([
      { key_id, status: 200, at: at(0) },
      { key_id, status: 500, at: at(5) },
      { key_id, status: 500, at: at(7 * 24) },
      { key_id, status: 500, at: at(7 * 24 + 1) },
      // A clock that goes five minutes ahead is believed, one that goes further is not.
      { key_id, status: 500, at: at(-5 / 60) },
      { key_id, status: 500, at: at(-6 / 60) },
    ]);
    expect(body.data).toEqual({ accepted: 4, ignored: [3, 5] });
    const { data } = succeeded(await api.get('/v1/usage?interval=hour&from=2026-11-01T00:00:00Z')).body;
    expect(data.map((bucket: { start: string; errors: number }) => [bucket.start, bucket.errors])).toEqual([
      ['2026-11-21T12:00:00.000Z', 1],
      ['2026-11-21T07:00:00.000Z', 1],
      ['2026-11-14T12:00:00.000Z', 1],
    ]);
    // Nothing was decided in them, and no rate can be told.
    expect(data[0]).toMatchObject({ total: 0, by_code: {}, error_rate: null });
  });

  test('a key of an issuer has acted for the organization that is told, if it can have', async () => {
    const { issuer, tenant, tenantKey, issuerKey, report, bucketOf } = await makeWorld();
    const other = await makeWorld();
    const elsewhere = await other.issuer.createOrganization();
    const { body } = await report([
      { key_id: issuerKey.id, organization_id: tenant, status: 500 },
      { key_id: tenantKey.id, organization_id: tenant, status: 200 },
      { key_id: issuerKey.id, organization_id: newId(idPrefixes.organization), status: 500 },
      { key_id: issuerKey.id, organization_id: elsewhere.id, status: 500 },
      { key_id: tenantKey.id, organization_id: (await issuer.createOrganization()).id, status: 500 },
    ]);
    expect(body.data).toEqual({ accepted: 2, ignored: [2, 3, 4] });
    expect(await bucketOf(`organization_id=${tenant}`)).toMatchObject({ reported: 2, errors: 1 });
  });

  test('told more than there was, the rate is one, and sums end where numbers do', async () => {
    const { accountId, tenantKey, report, bucketOf } = await makeWorld();
    await meter(rows, [{ accountId, keyId: tenantKey.id, at: clock.now() }]);
    const most = { key_id: tenantKey.id, status: 500, count: 1_000_000, latency_ms: 3_600_000 };
    for (let round = 0; round < 4; round++)
      succeeded(await report(Array.from({ length: 1_000 }, () => most)));
    expect(await bucketOf('')).toMatchObject({ errors: 4_000_000_000, error_rate: 1 });
    const [row] = await rows.query<{ most: number }>(
      'select max(latency_ms)::float8 as most from usage_buckets where account_id = $1',
      [accountId],
    );
    expect(row!.most).toBe(Number.MAX_SAFE_INTEGER);
  });

  test('a batch that is sent again under its Idempotency-Key counts once', async () => {
    const { tenantKey, report, bucketOf, api } = await makeWorld();
    const once = () => report([{ key_id: tenantKey.id, status: 500 }], api, { 'Idempotency-Key': 'batch-1' });
    const [first, again] = [succeeded(await once()), succeeded(await once())];
    expect(again.headers.get('Idempotent-Replayed')).toBe('true');
    expect(again.body).toEqual(first.body);
    expect(await bucketOf('')).toMatchObject({ reported: 1, errors: 1 });
  });

  // The race: many batches about the same keys, in another order each, wait for each other in a circle.
  test('many at once all count', async () => {
    const { issuer, report, bucketOf } = await makeWorld();
    const keys = await Promise.all(Array.from({ length: 10 }, () => issuer.createKey()));
    const batches = 20;
    const answers = await atOnce(batches, (turn) =>
      report(
        keys
          .map(({ id }) => ({ key_id: id, status: 500 }))
          .sort((a, b) => (turn % 2 === 0 ? 1 : -1) * (a.key_id < b.key_id ? -1 : 1)),
      ),
    );
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    expect(await bucketOf('')).toMatchObject({ reported: batches * keys.length });
  });

  test('writes no event', async () => {
    const { tenantKey, report } = await makeWorld();
    const { events } = await rows.eventsOf(() => report([{ key_id: tenantKey.id, status: 200 }]));
    expect(events).toEqual([]);
  });
});

describe('about whose keys', () => {
  // Attack: a middleware's key, which every server of a customer holds, spoils the error rates of others, or finds out
  // which keys there are.
  test('what the caller may not verify is ignored, as a key that nobody has, and changes nothing', async () => {
    const [ours, theirs] = [await makeWorld(), await makeWorld()];
    const { api, issuer, tenant, tenantKey, issuerKey, report } = ours;
    const accountKey = await createKey(api, '/v1/api-keys');
    const sandboxKey = await issuer.createKey({ environment: 'sandbox' });
    const neighbour = await issuer.createKey({}, (await issuer.createOrganization()).id);
    const sibling = await (await TestIssuer.create(server, {}, {}, api)).createKey();
    const all = [
      ...[accountKey, sandboxKey, issuerKey, neighbour, tenantKey, sibling, theirs.tenantKey],
      { id: newId(idPrefixes.apiKey) },
      { id: 'no id at all' },
    ];
    const accepted = async (as: ApiClient) => {
      const { body } = succeeded(
        await report(
          all.map(({ id }) => ({ key_id: id, status: 500 })),
          as,
        ),
      );
      expect(body.data.accepted + body.data.ignored.length).toBe(all.length);
      return all.filter((_, index) => !body.data.ignored.includes(index));
    };
    const scopes = ['keys:verify'];
    const callers = [
      ['/v1/api-keys', {}, [accountKey, sandboxKey, issuerKey, neighbour, tenantKey, sibling]],
      ['/v1/api-keys', { environment: 'sandbox' }, [sandboxKey]],
      [`${issuer.path}/api-keys`, {}, [sandboxKey, issuerKey, neighbour, tenantKey]],
      [`${issuer.path}/organizations/${tenant}/api-keys`, {}, [tenantKey]],
    ] as const;
    const usageOfTheirs = () => theirs.bucketOf(`key_id=${theirs.tenantKey.id}`);
    const before = await usageOfTheirs();
    for (const [path, members, expected] of callers)
      expect(await accepted(await withScopes(api, scopes, path, members))).toEqual(expected);
    expect(await usageOfTheirs()).toEqual(before);
  });

  // Attack: the function that writes runs with rights of its own; named by hand it could write into any account.
  test('the function that writes knows no account but the one that is set', async () => {
    const { accountId } = await makeWorld();
    const counted = async () => (await rows.query('select count(*) from usage_buckets'))[0];
    const before = await counted();
    const { pool } = server.running.services;
    await pool.query(
      `select report_outcomes(array['key_x'], array[null], array[null], array['live'], array[now()], array[1], array[1],
         array[0], array[0])`,
    );
    expect(await counted()).toEqual(before);
    expect(accountId).toMatch(/^acc_/);
  });
});

test('403: without keys:verify', async () => {
  const { api, tenantKey, report } = await makeWorld();
  const caller = await withScopes(api, ['gatelodge.usage:read']);
  const answer = await report([{ key_id: tenantKey.id, status: 200 }], caller);
  expect([answer.status, answer.body.code]).toEqual([403, 'permission_denied']);
});

describe('422', () => {
  const key_id = newId(idPrefixes.apiKey);
  test.each<[object, string]>([
    [{}, 'outcomes'],
    [{ outcomes: [] }, 'outcomes'],
    [{ outcomes: Array.from({ length: 1_001 }, () => ({ key_id, status: 200 })) }, 'outcomes'],
    [{ outcomes: [{ key_id: '', status: 200 }] }, 'outcomes[0].key_id'],
    [{ outcomes: [{ key_id }] }, 'outcomes[0].status'],
    [{ outcomes: [{ key_id, status: 99 }] }, 'outcomes[0].status'],
    [{ outcomes: [{ key_id, status: 200.5 }] }, 'outcomes[0].status'],
    [{ outcomes: [{ key_id, status: 200, latency_ms: -1 }] }, 'outcomes[0].latency_ms'],
    [{ outcomes: [{ key_id, status: 200, latency_ms: 3_600_001 }] }, 'outcomes[0].latency_ms'],
    [{ outcomes: [{ key_id, status: 200, count: 0 }] }, 'outcomes[0].count'],
    [{ outcomes: [{ key_id, status: 200, at: '2026-11-21' }] }, 'outcomes[0].at'],
    [{ outcomes: [{ key_id, status: 200, account_id: 'x' }] }, 'outcomes[0].account_id'],
  ])('for %j', async (body, path) => {
    const answer = await server.operator.api.post('/v1/usage/outcomes', body);
    expect([answer.status, answer.body.errors?.[0].path]).toEqual([422, path]);
  });
});
