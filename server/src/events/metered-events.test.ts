import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ApiClient } from '../../test/harness/api-client.ts';
import { createCustomer, withScopes } from '../../test/harness/customer.ts';
import { type Decided, meterEvents } from '../../test/harness/metered-rows.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { createKey, succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';

// Traffic in the list of events. How it gets there is tested in test/metering.test.ts.

const server = await startTestServer();
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { id: accountId, api } = await createCustomer(server);
const issuer = await TestIssuer.create(server, {}, {}, api);
const tenant: string = (await issuer.createOrganization()).id;
const tenantKey = await issuer.createKey({}, tenant);
const issuerKey = await issuer.createKey();
const sandboxKey = await issuer.createKey({ environment: 'sandbox' });
const accountKey = await createKey(api, '/v1/api-keys');

interface Event {
  id: string;
  type: string;
  created_at: string;
  issuer_id: string | null;
  environment: string;
  actor: { id: string };
  subject: { id: string };
  count: number | null;
}
const eventsOf = async (query = '', as: ApiClient = api): Promise<Event[]> =>
  succeeded(await as.get(`/v1/events?limit=100${query}`)).body.data;
const meteredOf = async (query = '', as: ApiClient = api) =>
  (await eventsOf(query, as)).filter(({ count }) => count !== null);

const startMs = Math.floor(Date.now() / 60_000) * 60_000;
const after = (seconds: number) => new Date(startMs + seconds * 1000);
const ofTenant = { accountId, keyId: tenantKey.id, issuerId: issuer.id, organizationId: tenant };
const ofIssuer = { accountId, keyId: issuerKey.id, issuerId: issuer.id };
const ofSandbox = { ...ofIssuer, keyId: sandboxKey.id, environment: 'sandbox' } as const;
const decisions: readonly Decided[] = [
  { ...ofTenant, at: after(1) },
  { ...ofTenant, at: after(4), count: 2 },
  { ...ofTenant, at: after(5), code: 'RATE_LIMITED' },
  { ...ofIssuer, at: after(6) },
  { ...ofSandbox, at: after(7), code: 'EXPIRED' },
  { accountId, keyId: accountKey.id, at: after(8) },
  { ...ofTenant, at: after(61) },
];
beforeAll(async () => {
  await meterEvents(rows, decisions);
});

describe('200', () => {
  test('traffic is one event a key, code and minute, with how often and until when', async () => {
    const [, , , , , event] = await meteredOf();
    expect(event).toEqual({
      id: expect.stringMatching(/^evt_[0-9a-z]{25}$/),
      type: 'api-key.verified',
      created_at: after(1).toISOString(),
      account_id: accountId,
      issuer_id: issuer.id,
      organization_id: tenant,
      environment: 'live',
      actor: { type: 'api_key', id: tenantKey.id, ip: null, user_agent: null },
      subject: { type: 'api_key', id: tenantKey.id },
      request_id: null,
      data: { code: 'VALID' },
      count: 3,
      last_at: after(4).toISOString(),
    });
  });

  test('stands among what was done in the order of time, read at once or page by page', async () => {
    await api.create('/v1/issuers', { name: 'between' });
    await meterEvents(rows, [{ ...ofIssuer, code: 'DISABLED', at: new Date() }]);
    await api.create('/v1/issuers', { name: 'after' });
    const all = await eventsOf();
    const ids = all.map(({ id }) => id);
    expect(ids).toEqual(ids.toSorted().reverse());
    expect(all.filter(({ count }) => count !== null)).toHaveLength(7);
    expect(all.filter(({ count }) => count === null).length).toBeGreaterThan(5);
    for (const limit of [1, 2, 5]) {
      const read: string[] = [];
      for (let cursor = ''; read.length < 100; ) {
        const { body } = succeeded(await api.get(`/v1/events?limit=${limit}${cursor}`));
        read.push(...body.data.map(({ id }: Event) => id));
        if (!body.has_more) break;
        cursor = `&cursor=${body.next_cursor}`;
      }
      expect(read).toEqual(ids);
    }
  });

  test('filters traffic as it filters the rest', async () => {
    const codes = async (query: string) =>
      (await meteredOf(query)).map((event) => (event as unknown as { data: { code: string } }).data.code);
    expect(await codes('&type=api-key.rejected')).toEqual(
      expect.arrayContaining(['EXPIRED', 'RATE_LIMITED']),
    );
    expect(await codes('&type=api-key.created')).toEqual([]);
    expect(await codes(`&organization_id=${tenant}`)).toEqual(['VALID', 'RATE_LIMITED', 'VALID']);
    expect(await codes(`&subject=${sandboxKey.id}`)).toEqual(['EXPIRED']);
    expect(await codes(`&actor=${accountKey.id}`)).toEqual(['VALID']);
    expect(await codes(`&actor=${accountKey.id}&subject=${sandboxKey.id}`)).toEqual([]);
    const types = (await eventsOf('&type=api-key.verified')).map(({ type }) => type);
    expect(new Set(types)).toEqual(new Set(['api-key.verified']));
  });

  test('filters what was done by who, to what and in which organization', async () => {
    const caller = await withScopes(api, ['gatelodge.organizations:write'], `${issuer.path}/api-keys`);
    const { id } = await caller.create(`${issuer.path}/organizations`, { name: 'by another' });
    const [event, ...others] = await eventsOf(`&subject=${id}`);
    expect([event?.type, others]).toEqual(['organization.created', []]);
    const byActor = await eventsOf(`&actor=${event!.actor.id}`);
    expect(byActor.map(({ subject }) => subject.id)).toEqual([id]);
    const inTenant = await eventsOf(`&organization_id=${tenant}&type=api-key.created`);
    expect(inTenant.map(({ subject }) => subject.id)).toEqual([tenantKey.id]);
    expect(await eventsOf('&actor=nobody')).toEqual([]);
  });

  test('from one moment to another, neither of them included', async () => {
    const all = await eventsOf();
    for (const moment of [all[1]!.created_at, all.at(-2)!.created_at, after(5).toISOString()]) {
      const encoded = encodeURIComponent(moment);
      expect(await eventsOf(`&after=${encoded}`)).toEqual(all.filter((event) => event.created_at > moment));
      expect(await eventsOf(`&before=${encoded}`)).toEqual(all.filter((event) => event.created_at < moment));
    }
    const between = `&after=${after(1).toISOString()}&before=${after(61).toISOString()}`;
    expect(await eventsOf(between)).toEqual(
      all.filter(
        ({ created_at }) => created_at > after(1).toISOString() && created_at < after(61).toISOString(),
      ),
    );
    expect(await eventsOf('&before=1970-01-01T00:00:00Z')).toEqual([]);
    expect(await eventsOf('&after=9999-12-31T23:59:59Z')).toEqual([]);
    expect(await eventsOf('&before=9999-12-31T23:59:59Z')).toEqual(all);
  });
});

describe('whose traffic it shows', () => {
  const scopes = ['gatelodge.events:read'];
  const keyIds = async (as: ApiClient, query = '') =>
    new Set((await meteredOf(query, as)).map(({ subject }) => subject.id));

  // Attack: a tenant watches the traffic of its neighbours, or of the keys above it.
  test('an organization’s key sees that of its organization’s own keys', async () => {
    const caller = await withScopes(api, scopes, `/v1/issuers/${issuer.id}/organizations/${tenant}/api-keys`);
    expect(await keyIds(caller)).toEqual(new Set([tenantKey.id]));
    for (const filter of [`actor=${issuerKey.id}`, `subject=${accountKey.id}`])
      expect(await keyIds(caller, `&${filter}`)).toEqual(new Set());
  });

  test('an issuer’s key that of its issuer, a sandbox key that in sandbox', async () => {
    const ofIssuersKey = await withScopes(api, scopes, `${issuer.path}/api-keys`);
    expect(await keyIds(ofIssuersKey)).toEqual(new Set([tenantKey.id, issuerKey.id, sandboxKey.id]));
    const elsewhere = await TestIssuer.create(server, {}, {}, api);
    expect(await keyIds(await withScopes(api, scopes, `${elsewhere.path}/api-keys`))).toEqual(new Set());
    const ofSandboxKey = await withScopes(api, scopes, '/v1/api-keys', { environment: 'sandbox' });
    expect(await keyIds(ofSandboxKey)).toEqual(new Set([sandboxKey.id]));
  });

  // Attack: an account names the keys, issuers and organizations of another in its filters.
  test('another account finds nothing, whatever it filters by', async () => {
    const { api: stranger } = await createCustomer(server);
    for (const filter of [
      '',
      `&subject=${tenantKey.id}`,
      `&actor=${tenantKey.id}`,
      `&issuer_id=${issuer.id}`,
      `&organization_id=${tenant}`,
    ])
      expect(await meteredOf(filter, stranger)).toEqual([]);
  });
});

test('a page costs the same at any depth, by whatever it is filtered', async () => {
  await rows.query(
    `insert into metered_events (id, account_id, type, created_at, last_at, issuer_id, organization_id, environment,
       key_id, code, minute, count)
     select 'evt_' || lpad(n::text, 25, '0'), $1, 'api-key.verified', now(), now(), $2, $3, 'live', 'key_' || n,
       'VALID', now() - make_interval(mins => n), 1 from generate_series(1, 30000) as n`,
    [accountId, issuer.id, tenant],
  );
  await rows.query('analyze metered_events');
  for (const filter of [
    '',
    `and organization_id = '${tenant}'`,
    `and issuer_id = '${issuer.id}'`,
    `and type = 'api-key.rejected'`,
  ]) {
    const plan = await rows.query<{ 'QUERY PLAN': unknown }>(
      `explain (analyze, format json) select * from metered_events where account_id = '${accountId}' ${filter}
         and id < 'evt_0000000000000000000010000' order by id desc limit 51`,
    );
    const text = JSON.stringify(plan);
    expect(text).not.toMatch(/"Node Type":"(Sort|Seq Scan)"/);
    expect(text).not.toMatch(/"Rows Removed by Filter":(?!0)/);
  }
});
