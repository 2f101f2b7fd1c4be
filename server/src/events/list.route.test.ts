import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer, withScopes } from '../../test/harness/customer.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { createKey, succeeded } from '../../test/harness/test-issuer.ts';

// What all lists have in common is tested in http/listing.test.ts.

const server = await startTestServer();
afterAll(() => server.close());
const { id: accountId, key, api } = await createCustomer(server);

const issuer = await api.create('/v1/issuers', { name: 'one' });
const issuerPath = `/v1/issuers/${issuer.id}`;
const organization = await api.create(`${issuerPath}/organizations`, { name: 'tenant' });
const organizationPath = `${issuerPath}/organizations/${organization.id}`;
const neighbour = await api.create(`${issuerPath}/organizations`, { name: 'neighbour' });
const other = await api.create('/v1/issuers', { name: 'two' });
await api.create(`/v1/issuers/${other.id}/organizations`, { name: 'elsewhere' });
const tenantKey = await createKey(api, `${organizationPath}/api-keys`);
await createKey(api, `${issuerPath}/organizations/${neighbour.id}/api-keys`);
await createKey(api, `${issuerPath}/api-keys`, { environment: 'sandbox' });

interface Event {
  type: string;
  issuer_id: string | null;
  organization_id: string | null;
  environment: string;
  subject: { id: string };
}
const eventsOf = async (query = '', as = api): Promise<Event[]> =>
  succeeded(await as.get(`/v1/events?limit=100${query}`)).body.data;

describe('200', () => {
  test('tells who did what to what, when, where and in which request', async () => {
    const renamed = await api.patch(issuerPath, { name: 'renamed' }, { 'User-Agent': 'tests/1.0' });
    const [event] = (await api.get('/v1/events?limit=1')).body.data;
    expect(event).toEqual({
      id: expect.stringMatching(/^evt_[0-9a-z]{25}$/),
      type: 'issuer.updated',
      created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      account_id: accountId,
      issuer_id: issuer.id,
      organization_id: null,
      environment: 'live',
      actor: { type: 'api_key', id: key.id, ip: '127.0.0.1', user_agent: 'tests/1.0' },
      subject: { type: 'issuer', id: issuer.id },
      request_id: renamed.headers.get('X-Request-Id'),
      data: { changed: ['name'] },
      count: null,
      last_at: null,
    });
  });

  test('lists the newest first, and those of this account only', async () => {
    const stranger = await createCustomer(server);
    await stranger.api.create('/v1/issuers', { name: 'theirs' });
    const events = await eventsOf();
    const ids = events.map(({ subject }) => subject.id);
    expect(ids.indexOf(tenantKey.id)).toBeLessThan(ids.indexOf(other.id));
    expect(ids.indexOf(other.id)).toBeLessThan(ids.lastIndexOf(issuer.id));
    expect(events.at(-1)).toMatchObject({ type: 'account.created', subject: { id: accountId } });
    const theirs = await eventsOf('', stranger.api);
    expect(theirs.map(({ type }) => type)).toEqual(['issuer.created', 'account.created']);
  });

  test('filters by exactly one type, by issuer, and by both', async () => {
    const keys = await eventsOf('&type=api-key.created');
    expect(keys.length).toBe(3);
    expect(new Set(keys.map(({ type }) => type))).toEqual(new Set(['api-key.created']));
    expect(await eventsOf('&type=api-key.never-told')).toEqual([]);

    const ofOther = await eventsOf(`&issuer_id=${other.id}`);
    expect(ofOther.map(({ type }) => type)).toEqual(['organization.created', 'issuer.created']);
    expect(await eventsOf(`&issuer_id=${other.id}&type=issuer.created`)).toMatchObject([
      { subject: { id: other.id } },
    ]);
    expect(await eventsOf('&issuer_id=i_0000000000000000000000000')).toEqual([]);
  });

  test('shows a key of an issuer what happened there, and of an organization what happened there', async () => {
    const scopes = ['gatelodge.events:read'];
    const ofIssuer = await withScopes(api, scopes, `${issuerPath}/api-keys`);
    const ofTenant = await withScopes(api, scopes, `${organizationPath}/api-keys`);
    const all = await eventsOf();
    const inIssuer = all.filter(({ issuer_id }) => issuer_id === issuer.id);
    const inTenant = inIssuer.filter(({ organization_id }) => organization_id === organization.id);
    expect(await eventsOf('', ofIssuer)).toEqual(inIssuer);
    expect(await eventsOf('', ofTenant)).toEqual(inTenant);
    expect(inTenant.length).toBeGreaterThanOrEqual(2);
    expect(inTenant.length).toBeLessThan(inIssuer.length);
    // The attack: a filter that names what lies beside.
    expect(await eventsOf(`&issuer_id=${other.id}`, ofIssuer)).toEqual([]);
    expect(await eventsOf(`&issuer_id=${other.id}`, ofTenant)).toEqual([]);
    expect(await eventsOf(`&issuer_id=${issuer.id}`, ofTenant)).toEqual(inTenant);
  });

  test('shows a sandbox key what happened in sandbox', async () => {
    const sandbox = await withScopes(api, ['gatelodge.events:read'], '/v1/api-keys', {
      environment: 'sandbox',
    });
    const all = await eventsOf();
    expect(await eventsOf('', sandbox)).toEqual(all.filter(({ environment }) => environment === 'sandbox'));
  });

  test('holds no secret of any key', async () => {
    const { text } = await api.get('/v1/events?limit=100');
    for (const secret of [key.secret, tenantKey.secret]) expect(text).not.toContain(secret.slice(-44));
  });
});

describe('422', () => {
  test.each([
    'type=',
    'type=api-key',
    'type=api-key.*',
    'type=%25',
    'issuer_id=',
    'issuer_id=x',
    `type=${'x'.repeat(101)}`,
    'organization_id=x',
    `organization_id=${issuer.id}`,
    'subject=',
    'subject=%20',
    'actor=%00',
    `actor=${'x'.repeat(101)}`,
    'after=x',
    'after=2026-11-21',
    'before=2026-11-21T12:00:00',
    'type=a&type=b',
  ])('for the filter %s', async (query) => {
    const answer = await api.get(`/v1/events?${query}`);
    expect([answer.status, answer.body.code]).toEqual([422, 'invalid_request']);
  });
});
