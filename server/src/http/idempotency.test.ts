import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { atOnce } from '../../test/harness/at-once.ts';
import { createCustomer, withScopes } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { scaled } from '../../test/harness/scale.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { createKey, succeeded } from '../../test/harness/test-issuer.ts';
import { routes } from '../app.ts';
import { once } from './idempotency.ts';
import { createIdempotencyExpiry } from './idempotency-expiry.ts';

const clock = new TestClock();
const server = await startTestServer({ clock });
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
    'supportGrants.create': { reason: 'a ticket' },
  };
  const creating = routes.filter((route) => route.handler !== null && route.creates === true);
  const { api: operator } = server.operator;
  /** The operator's own account has no support grants, and no other has accounts. */
  const callerOf = (name: string) => (name === 'supportGrants.create' ? api : operator);
  let path: (route: (typeof creating)[number]) => string;

  beforeAll(async () => {
    const issuer = await operator.create('/v1/issuers', { name: 'Acme' });
    const organization = await operator.create(`/v1/issuers/${issuer.id}/organizations`, { name: 'Tenant' });
    path = (route) => route.path.replace('{issuer_id}', issuer.id).replace('{org_id}', organization.id);
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
      expect(first.status).toBe(201);
      expect(first.headers.get('Idempotent-Replayed')).toBeNull();
      expect(events.length).toBe(name === 'accounts.create' ? 2 : 1);

      const before = await rows.snapshot();
      const again = await callerOf(name).post(path(route), bodies[name], headers);
      expect([again.status, again.text]).toEqual([201, first.text]);
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

describe('a replay is authorized anew', () => {
  test('a permission lost since is missed by the replay too', async () => {
    // The attack: keeping an Idempotency-Key to be shown a secret again after one's rights were taken away.
    const key = await createKey(api, '/v1/api-keys', {
      restrictions: { scopes: ['gatelodge.api-keys:write'] },
    });
    const caller = api.as(key);
    const headers = under(freshKey());
    const body = { restrictions: { scopes: [] } };
    const first = await caller.post('/v1/api-keys', body, headers);
    expect(first.status).toBe(201);

    succeeded(await api.patch(key.path, { restrictions: { scopes: ['gatelodge.api-keys:read'] } }));
    const lost = await caller.post('/v1/api-keys', body, headers);
    expect([lost.status, lost.body.code]).toEqual([403, 'permission_denied']);
    expect(lost.text).not.toContain(first.body.data.secret_plain);

    succeeded(await api.post(`${key.path}/revoke`));
    const dead = await caller.post('/v1/api-keys', body, headers);
    expect([dead.status, dead.body.code]).toEqual([401, 'revoked_key']);
  });

  test('and so is a scope that the caller may no longer grant', async () => {
    // The attack: as above, with the right to create keys kept but what the key may do lost.
    const scopes = ['gatelodge.api-keys:write', 'gatelodge.issuers:write'];
    const key = await createKey(api, '/v1/api-keys', { restrictions: { scopes } });
    const headers = under(freshKey());
    const body = { restrictions: { scopes: ['gatelodge.issuers:write'] } };
    const first = await api.as(key).post('/v1/api-keys', body, headers);
    expect(first.status).toBe(201);

    succeeded(await api.patch(key.path, { restrictions: { scopes: scopes.slice(0, 1) } }));
    const lost = await api.as(key).post('/v1/api-keys', body, headers);
    expect([lost.status, lost.body.code]).toEqual([403, 'permission_denied']);
    expect(lost.text).not.toContain(first.body.data.secret_plain);
  });

  test('and so is an issuer that has been deleted', async () => {
    const headers = under(freshKey());
    const { id } = await api.create('/v1/issuers', { name: 'short-lived' });
    const path = `/v1/issuers/${id}/api-keys`;
    expect((await api.post(path, {}, headers)).status).toBe(201);
    succeeded(await api.delete(`/v1/issuers/${id}`));
    expect((await api.post(path, {}, headers)).status).toBe(404);
  });

  test('also when the expiry of what was made has passed, which alone would be no reason', async () => {
    // The attack: waiting for an error that a replay is forgiven, so that a refusal is never come to; and then a key
    // whose expiry the caller may push out again.
    const scopes = ['gatelodge.api-keys:write', 'gatelodge.issuers:write'];
    const key = await createKey(api, '/v1/api-keys', { restrictions: { scopes } });
    const headers = under(freshKey());
    const expires_at = new Date(clock.nowMs() + 60_000).toISOString();
    const body = { expires_at, restrictions: { scopes: ['gatelodge.issuers:write'] } };
    const first = await api.as(key).post('/v1/api-keys', body, headers);
    expect(first.status).toBe(201);
    succeeded(await api.patch(key.path, { restrictions: { scopes: scopes.slice(0, 1) } }));
    clock.advance(120);
    const lost = await api.as(key).post('/v1/api-keys', body, headers);
    expect([lost.status, lost.body.code]).toEqual([403, 'permission_denied']);
    expect(lost.text).not.toContain(first.body.data.secret_plain);
  });

  test('and so is a scope that the issuer no longer marks publishable, whatever else is wrong by now', async () => {
    // The attack: as above, with a rule of the key instead of one of the caller.
    const { id } = await api.create('/v1/issuers', { name: 'x', publishable_scopes: ['catalog:read'] });
    const headers = under(freshKey());
    const expires_at = new Date(clock.nowMs() + 60_000).toISOString();
    const body = { kind: 'publishable', expires_at, restrictions: { scopes: ['catalog:read'] } };
    const path = `/v1/issuers/${id}/api-keys`;
    expect((await api.post(path, body, headers)).status).toBe(201);
    succeeded(await api.patch(`/v1/issuers/${id}`, { publishable_scopes: [] }));
    clock.advance(120);
    const lost = await api.post(path, body, headers);
    expect([lost.status, lost.body.code]).toEqual([422, 'invalid_request']);
  });

  test('but an expiry that has passed since is no reason to withhold the answer', async () => {
    const headers = under(freshKey());
    const body = { expires_at: new Date(server.running.services.clock.nowMs() + 60_000).toISOString() };
    const first = await api.post('/v1/api-keys', body, headers);
    clock.advance(120);
    const again = await api.post('/v1/api-keys', body, headers);
    expect([again.status, again.text]).toEqual([201, first.text]);
  });
});

test('a replay does not do what was to be done after the commit: there is no change for it to follow', async () => {
  const { accountId } = server.operator;
  const effects: string[] = [];
  const request = {
    accountId,
    idempotencyKey: freshKey(),
    presentedSecret: 'secret',
    method: 'POST',
    path: '/v1/probes',
    body: {},
  };
  const creation = {
    create: async () => {
      effects.push('forget what nodes hold');
      return { status: 201, body: { data: effects.length } };
    },
    undo: () => {
      effects.length = 0;
    },
  };
  const ask = () =>
    server.running.services.database.withAccount(accountId, (tx) => once(tx, request, creation));
  const first = await ask();
  expect(effects).toHaveLength(1);
  effects.length = 0;
  expect((await ask()).body).toEqual(first.body);
  expect(effects).toEqual([]);
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

describe('what is stored', () => {
  test('tells a thief of the database neither the key nor the answer', async () => {
    // The attack: a stolen dump, searched for secrets, and decrypted with whatever else stands in it.
    const idempotencyKey = 'canary-idempotency-key';
    await rows.query('delete from idempotency_records');
    const answer = await api.post('/v1/api-keys', { name: 'canary' }, under(idempotencyKey));
    const [record] = await rows.query<{ id: Buffer; fingerprint: Buffer; response: Buffer }>(
      'select id, fingerprint, response from idempotency_records',
    );
    const stored = Buffer.concat([record!.id, record!.fingerprint, record!.response]);
    for (const text of [idempotencyKey, answer.body.data.secret_plain, answer.body.data.id, 'secret_plain']) {
      for (const encoding of ['utf8', 'base64', 'hex'] as const)
        expect(stored.includes(Buffer.from(text).toString(encoding))).toBe(false);
    }
    // A plain hash of a guessable Idempotency-Key could be found by trying.
    for (const algorithm of ['sha256', 'sha512', 'md5'])
      expect(stored.includes(createHash(algorithm).update(idempotencyKey).digest())).toBe(false);
  });

  test('the same request by another credential leaves a record of another id', async () => {
    await rows.query('delete from idempotency_records');
    const other = api.as(await createKey(api, '/v1/api-keys'));
    for (const caller of [api, other]) await caller.post('/v1/issuers', { name: 'x' }, under('shared'));
    const [ids] = await rows.query<{ count: number }>(
      'select count(distinct id)::int as count from idempotency_records',
    );
    expect(ids!.count).toBe(2);
  });

  test('a record that somebody has changed is not answered from', async () => {
    // The attack: writing into the table so that a replay shows what one likes.
    const headers = under(freshKey());
    await api.post('/v1/issuers', { name: 'x' }, headers);
    await rows.query(
      `update idempotency_records set response = set_byte(response, 20, get_byte(response, 20) # 1)
       where created_at = (select max(created_at) from idempotency_records)`,
    );
    const answer = await api.post('/v1/issuers', { name: 'x' }, headers);
    expect(answer.status).toBe(500);
    expect(answer.headers.has('Idempotent-Replayed')).toBe(false);
  });
});

test('records of a day ago are forgotten, a thousand and more, and no others', async () => {
  await rows.query('delete from idempotency_records');
  await api.post('/v1/issuers', { name: 'kept' }, under(freshKey()));
  await rows.query(
    `insert into idempotency_records (account_id, id, fingerprint, response, expires_at)
     select account_id, int4send(n), '', '', now() - interval '1 second'
     from idempotency_records, generate_series(1, 2500) n`,
  );
  const { database, log } = server.running.services;
  const job = createIdempotencyExpiry(database, log);
  job.wake();
  await expect.poll(() => rows.count('idempotency_records'), { timeout: 20_000 }).toBe(1);
  await job.close();
});

test('a caller who may not create is refused before the Idempotency-Key is looked at', async () => {
  const reader = await withScopes(api, ['gatelodge.issuers:read']);
  const answer = await reader.post('/v1/issuers', { name: 'x' }, { 'Idempotency-Key': '' });
  expect([answer.status, answer.body.code]).toEqual([403, 'permission_denied']);
});
