import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { atOnce } from '../../test/harness/at-once.ts';
import { createCustomer, withScopes } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { scaled } from '../../test/harness/scale.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { createKey, succeeded } from '../../test/harness/test-issuer.ts';
import { routes } from '../app.ts';

const server = await startTestServer();
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api } = await createCustomer(server);
const { id: issuerId } = await api.create('/v1/issuers', { name: 'Acme API' });

let made = 0;
const freshKey = () => `key-${++made}`;
const under = (key: string) => ({ 'Idempotency-Key': key });

describe('a creation repeated under its Idempotency-Key', () => {
  // Every operation that creates, so that none can be forgotten.
  const bodies: Record<string, unknown> = {
    'accounts.create': { name: 'Acme', owner_email: 'x@acme.test' },
    'issuers.create': { name: 'Acme' },
    'issuers.createSandbox': undefined,
    'organizations.create': { name: 'Tenant', external_id: 'tenant_1' },
    'apiKeys.create': { name: 'key' },
    'issuer.apiKeys.create': { name: 'key' },
    'organization.apiKeys.create': { name: 'key' },
    'apiKeys.import': { keys: [{ hash: 'a1'.repeat(32) }] },
    'issuer.apiKeys.import': { keys: [{ hash: 'a2'.repeat(32) }] },
    'organization.apiKeys.import': { keys: [{ hash: 'a3'.repeat(32) }] },
    'apiKeys.rotate': { grace_seconds: 60 },
    'issuer.apiKeys.rotate': { grace_seconds: 60 },
    'organization.apiKeys.rotate': { grace_seconds: 60 },
    'supportGrants.create': { reason: 'a ticket' },
    'plans.create': { name: 'gold' },
    'signingKeys.rotate': undefined,
    'users.create': { username_type: 'email', username: 'ada@acme.test' },
    'organization.members.create': { member_id: '', scopes: ['invoices:read'] },
    'organization.groups.create': { name: 'Accounting', scopes: ['invoices:read'] },
    'clients.create': {
      name: 'Web',
      settings: { openid: { redirect_uris: ['https://app.example.com/callback'] } },
    },
    'clients.rotateSecret': { grace_seconds: 60 },
    'usage.reportOutcomes': { outcomes: [{ key_id: server.demo.key.id, status: 200 }] },
  };
  const creating = routes.filter((route) => route.handler !== null && route.creates === true);
  const { api: operator } = server.operator;
  /** The operator's own account has no support grants, and no other has accounts. */
  const callerOf = (name: string) => (name === 'supportGrants.create' ? api : operator);
  let path: (route: (typeof creating)[number]) => string;
  const eventsOf = (name: string) => {
    if (name === 'usage.reportOutcomes') return 0;
    return name === 'accounts.create' || name.endsWith('.rotate') ? 2 : 1;
  };

  beforeAll(async () => {
    const issuer = await operator.create('/v1/issuers', { name: 'Acme' });
    const organization = await operator.create(`/v1/issuers/${issuer.id}/organizations`, { name: 'Tenant' });
    const user = await operator.create(`/v1/issuers/${issuer.id}/users`, { username: 'member@acme.test' });
    bodies['organization.members.create'] = { member_id: user.id, scopes: ['invoices:read'] };
    const inPlace = (route: { path: string }) =>
      route.path.replace('{issuer_id}', issuer.id).replace('{org_id}', organization.id);
    const keys = new Map<string, string>();
    for (const route of creating.filter((each) => each.path.includes('{key_id}'))) {
      const { id } = await createKey(operator, inPlace(route).split('/{key_id}', 1)[0]!);
      keys.set(route.operationId, id);
    }
    const client = await operator.create(`/v1/issuers/${issuer.id}/clients`, {
      name: 'App',
      settings: { openid: { redirect_uris: ['https://app.example.com/callback'] } },
    });
    path = (route) =>
      inPlace(route)
        .replace('{key_id}', keys.get(route.operationId) ?? '')
        .replace('{client_id}', client.id);
  });

  test('is offered by every POST that creates', () => {
    expect(creating.map(({ operationId }) => operationId).sort()).toEqual(Object.keys(bodies).sort());
  });

  test.each(creating.map((route) => [route.operationId, route] as const))(
    '%s answers what it answered, secret and all, and does nothing',
    async (name, route) => {
      const headers = under(freshKey());
      const { result: first, events } = await rows.eventsOf(() =>
        callerOf(name).post(path(route), bodies[name], headers),
      );
      const status = name.endsWith('.import') || name === 'usage.reportOutcomes' ? 200 : 201;
      expect(first.status).toBe(status);
      expect(first.headers.get('Idempotent-Replayed')).toBeNull();
      expect(events.length).toBe(eventsOf(name));

      const before = await rows.snapshot();
      const again = await callerOf(name).post(path(route), bodies[name], headers);
      expect([again.status, again.text]).toEqual([status, first.text]);
      expect(again.headers.get('Idempotent-Replayed')).toBe('true');
      for (const header of ['ETag', 'Location', 'X-Environment', 'Cache-Control', 'Content-Type'])
        expect([header, again.headers.get(header)]).toEqual([header, first.headers.get(header)]);
      expect(again.headers.get('X-Request-Id')).not.toBe(first.headers.get('X-Request-Id'));
      expect(await rows.snapshot()).toEqual(before);
    },
  );

  test('is the same credential by Basic and by Bearer', async () => {
    const headers = under(freshKey());
    const first = await operator.post('/v1/issuers', { name: 'x' }, headers);
    const bearer = { ...headers, Authorization: `Bearer ${server.operator.key.secret}` };
    const again = await operator.as(null).post('/v1/issuers', { name: 'x' }, bearer);
    expect([again.status, again.text]).toEqual([201, first.text]);
  });
});

describe('422', () => {
  test('for another body under the same key, and nothing is created', async () => {
    const headers = under(freshKey());
    await api.post('/v1/issuers', { name: 'one' }, headers);
    const before = await rows.snapshot();
    const answer = await api.post('/v1/issuers', { name: 'two' }, headers);
    expect([answer.status, answer.body.code]).toEqual([422, 'idempotency_mismatch']);
    expect(answer.text).not.toContain('one');
    expect(await rows.snapshot()).toEqual(before);
  });

  test('not for the same body written otherwise', async () => {
    const headers = under(freshKey());
    const body = { name: 'x', environment: 'live' };
    const first = await api.post('/v1/issuers', body, headers);
    const again = await api.request('POST', '/v1/issuers', {
      rawBody: '{ "environment": "l\\u0069ve", "name": "x" }',
      headers,
    });
    expect(again.text).toBe(first.text);
  });
});

test.each(['', ' ', 'a b', 'é', 'x'.repeat(256), 'a\tb'])('400 for the malformed key %j', async (key) => {
  const before = await rows.snapshot();
  const answer = await api.post('/v1/issuers', { name: 'x' }, { 'Idempotency-Key': key });
  expect([answer.status, answer.body.code]).toEqual([400, 'bad_request']);
  expect(await rows.snapshot()).toEqual(before);
});

describe('409', () => {
  test('while the first request is under way, and exactly one of 50 at once creates', async () => {
    const rounds = scaled(1, 20);
    for (let round = 0; round < rounds; round++) {
      const headers = under(freshKey());
      const keysBefore = await rows.count('api_keys');
      const { result: answers, events } = await rows.eventsOf(() =>
        atOnce(50, () => api.post('/v1/api-keys', { name: 'one' }, headers)),
      );
      const created = answers.filter(({ status }) => status === 201);
      const refused = answers.filter(({ status }) => status !== 201);
      expect(created.filter(({ headers }) => !headers.has('Idempotent-Replayed')).length).toBe(1);
      expect(new Set(created.map(({ text }) => text)).size).toBe(1);
      for (const { status, body, headers } of refused) {
        expect([status, body.code]).toEqual([409, 'idempotency_in_flight']);
        expect(Number(headers.get('Retry-After'))).toBeGreaterThan(0);
      }
      expect(await rows.count('api_keys')).toBe(keysBefore + 1);
      expect(events.length).toBe(1);
      // Whoever was told to try again gets the one there is.
      const later = await api.post('/v1/api-keys', { name: 'one' }, headers);
      expect(later.text).toBe(created[0]!.text);
    }
  });
});

describe('an Idempotency-Key is one only for the same', () => {
  test('credential', async () => {
    // The attack: guessing somebody's Idempotency-Key to be shown the secret that their request made.
    const headers = under(freshKey());
    const first = await api.post('/v1/api-keys', { name: 'x' }, headers);
    const other = api.as(await createKey(api, '/v1/api-keys'));
    const stranger = (await createCustomer(server)).api;
    for (const caller of [other, stranger]) {
      const answer = await caller.post('/v1/api-keys', { name: 'x' }, headers);
      expect(answer.status).toBe(201);
      expect(answer.headers.has('Idempotent-Replayed')).toBe(false);
      expect(answer.body.data.secret_plain).not.toBe(first.body.data.secret_plain);
    }
  });

  test('path', async () => {
    const headers = under(freshKey());
    const { id: otherId } = await api.create('/v1/issuers', { name: 'other' });
    const answers = await Promise.all(
      ['/v1/api-keys', `/v1/issuers/${issuerId}/api-keys`, `/v1/issuers/${otherId}/api-keys`].map((path) =>
        api.post(path, { name: 'x' }, headers),
      ),
    );
    expect(answers.map(({ status }) => status)).toEqual([201, 201, 201]);
    expect(new Set(answers.map(({ body }) => body.data.id)).size).toBe(3);
  });

  test('day', async () => {
    const headers = under(freshKey());
    const first = await api.post('/v1/issuers', { name: 'x' }, headers);
    const [kept] = await rows.query<{ hours: number }>(
      `select extract(epoch from expires_at - created_at)::int / 3600.0 as hours
       from idempotency_records order by created_at desc limit 1`,
    );
    expect(Number(kept!.hours)).toBe(24);

    await rows.query(`update idempotency_records set expires_at = now() - interval '1 second'`);
    const next = await api.post('/v1/issuers', { name: 'x' }, headers);
    expect(next.status).toBe(201);
    expect(next.body.data.id).not.toBe(first.body.data.id);
    const again = await api.post('/v1/issuers', { name: 'x' }, headers);
    expect(again.text).toBe(next.text);
  });
});

test('only success is kept: after a refusal the same key is free', async () => {
  const headers = under(freshKey());
  const path = `/v1/issuers/${issuerId}/organizations`;
  const { id } = await api.create(path, { name: 'x', external_id: 'taken' });
  const records = await rows.count('idempotency_records');
  const body = { name: 'y', external_id: 'taken' };
  expect((await api.post(path, body, headers)).status).toBe(409);
  expect((await api.post(path, { name: '' }, headers)).status).toBe(422);
  expect(await rows.count('idempotency_records')).toBe(records);

  succeeded(await api.delete(`${path}/${id}`));
  const answer = await api.post(path, body, headers);
  expect([answer.status, answer.headers.has('Idempotent-Replayed')]).toEqual([201, false]);
});

test('what is no creation takes no Idempotency-Key: each request counts', async () => {
  const headers = under(freshKey());
  const issuer = `/v1/issuers/${issuerId}`;
  expect((await api.patch(issuer, { name: 'a' }, headers)).headers.get('ETag')).not.toBe(
    (await api.patch(issuer, { name: 'b' }, headers)).headers.get('ETag'),
  );
});

test('a caller who may not create is refused before the Idempotency-Key is looked at', async () => {
  const reader = await withScopes(api, ['gatelodge.issuers:read']);
  const answer = await reader.post('/v1/issuers', { name: 'x' }, { 'Idempotency-Key': '' });
  expect([answer.status, answer.body.code]).toEqual([403, 'permission_denied']);
});
