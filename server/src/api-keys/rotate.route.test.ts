import { afterAll, describe, expect, test } from 'vitest';
import { atOnce } from '../../test/harness/at-once.ts';
import { createCustomer, withScopes } from '../../test/harness/customer.ts';
import { send } from '../../test/harness/raw-http.ts';
import { Rows } from '../../test/harness/rows.ts';
import { scaled } from '../../test/harness/scale.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { createKey, succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';
import { apiKeyLevels } from './fixtures/levels.ts';

const clock = new TestClock('2026-11-21T12:00:00.000Z');
const server = await startTestServer({ clock });
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const customer = await createCustomer(server);
const { api } = customer;
const levels = await apiKeyLevels(api);

const verify = async (secret: string) => (await api.post('/v1/keys/verify', { key: secret })).body;
const now = () => clock.now().toISOString();
const later = (seconds: number) => new Date(clock.nowMs() + seconds * 1000).toISOString();

describe.each(levels)('201: rotating a key of the $level', ({ path, level, issuerId, organizationId }) => {
  const body = {
    name: 'Billing',
    description: 'nightly',
    environment: 'sandbox',
    restrictions: {
      scopes: ['invoices:read'],
      origins: ['https://app.example.com'],
      browsers: 'allow',
      require_origin: false,
      ips: ['203.0.113.0/24'],
    },
    limits: [{ name: 'hour', limit: 500, window: 'hour' }],
    quota: { credits: 1000, refill: { amount: 100, every: 'day' } },
    metadata: { team: 'billing' },
    expires_at: '2027-06-01T00:00:00.000Z',
  };

  test('makes a successor that is the same but for id, secret and dates', async () => {
    const old = succeeded(await api.post(path, body)).body.data;
    const answer = await api.post(`${path}/${old.id}/rotate`, { grace_seconds: 3600 });
    expect(answer.status).toBe(201);
    const { secret_plain: secret, ...successor } = answer.body.data;
    expect(answer.headers.get('Location')).toBe(`${path}/${successor.id}`);
    const { secret_plain: oldSecret, ...same } = old;
    expect(secret).not.toBe(oldSecret);
    expect(successor).toEqual({
      ...same,
      id: successor.id,
      hint: `gl_sandbox_sk_…${secret.slice(-4)}`,
      created_at: now(),
      updated_at: now(),
      rotation_due_at: later(90 * 86_400),
      lineage_id: old.id,
      predecessor_id: old.id,
    });
    const traffic = { share: null, total: 0, since: now() };
    const read = (await api.get(`${path}/${old.id}`)).body.data;
    expect(read).toEqual({
      ...same,
      updated_at: now(),
      rotation_due_at: null,
      rotated_at: now(),
      retires_at: later(3600),
      retire: 'after-grace',
      successor_id: successor.id,
      traffic,
    });
    const events = (await api.get('/v1/events?limit=2')).body.data;
    expect(events.map((event: { type: string }) => event.type)).toEqual([
      'api-key.created',
      'api-key.rotated',
    ]);
    expect(events[1]).toMatchObject({
      subject: { type: 'api_key', id: old.id },
      issuer_id: issuerId,
      organization_id: organizationId,
      environment: 'sandbox',
      data: { successor_id: successor.id, grace_seconds: 3600, retires_at: later(3600) },
    });
    expect(JSON.stringify(events)).not.toContain(secret);
    expect((await api.get(`${path}/${successor.id}`)).body.data).toEqual({ ...successor, traffic });
  });

  test('without a body the grace is a day', async () => {
    const old = await createKey(api, path, level === 'account' ? { restrictions: { scopes: [] } } : {});
    expect((await api.post(`${old.path}/rotate`)).status).toBe(201);
    expect((await api.get(old.path)).body.data.retires_at).toBe(later(86_400));
  });
});

describe('the grace', async () => {
  const issuer = await TestIssuer.create(server, {}, {}, api);

  test('ends to the millisecond: both keys pass before, the successor alone from then on', async () => {
    const old = await issuer.createKey();
    const { secret_plain: next } = await api.create(`${old.path}/rotate`, { grace_seconds: 60 });
    clock.advance(59.999);
    expect([(await verify(old.secret)).code, (await verify(next)).code]).toEqual(['VALID', 'VALID']);
    clock.advance(0.001);
    expect([(await verify(old.secret)).code, (await verify(next)).code]).toEqual(['EXPIRED', 'VALID']);
    expect((await api.get(old.path)).body.data.status).toBe('expired');
    const listed = await api.get(`${issuer.path}/api-keys?status=expired`);
    expect(listed.body.data.map((key: { id: string }) => key.id)).toContain(old.id);
    const active = await api.get(`${issuer.path}/api-keys?status=active`);
    expect(active.body.data.map((key: { id: string }) => key.id)).not.toContain(old.id);
  });

  test('of 0 ends the old key at once', async () => {
    const old = await issuer.createKey();
    await api.create(`${old.path}/rotate`, { grace_seconds: 0 });
    expect((await verify(old.secret)).code).toBe('EXPIRED');
  });

  test('never outlives the expiry of the old key, also when that is moved afterwards', async () => {
    const old = await issuer.createKey({ expires_at: later(100) });
    const successor = await api.create(`${old.path}/rotate`, { grace_seconds: 2_592_000 });
    expect((await api.get(old.path)).body.data.retires_at).toBe(later(100));
    expect(successor.expires_at).toBe(later(100));
    succeeded(await api.patch(old.path, { expires_at: null }));
    clock.advance(100);
    expect((await verify(old.secret)).code).toBe('EXPIRED');

    const brief = await issuer.createKey();
    await api.create(`${brief.path}/rotate`, { grace_seconds: 3600 });
    succeeded(await api.patch(brief.path, { expires_at: later(10) }));
    clock.advance(10);
    expect((await verify(brief.secret)).code).toBe('EXPIRED');
  });

  test('ends early by revoking the old key; the successor lives on', async () => {
    const old = await issuer.createKey();
    const { secret_plain: next } = await api.create(`${old.path}/rotate`, { grace_seconds: 3600 });
    succeeded(await api.post(`${old.path}/revoke`));
    expect([(await verify(old.secret)).code, (await verify(next)).code]).toEqual(['REVOKED', 'VALID']);
  });

  test('marks every answer to the old key, and none to its successor', async () => {
    const restrictions = { scopes: ['gatelodge.api-keys:read'] };
    const old = await issuer.createKey({ restrictions });
    const rotatedAt = clock.nowMs();
    const successor = await api.create(`${old.path}/rotate`, { grace_seconds: 7200 });
    const marks = {
      deprecation: `@${Math.floor(rotatedAt / 1000)}`,
      sunset: new Date(rotatedAt + 7_200_000).toUTCString(),
    };
    const ask = (secret: string) => [
      send(`${server.url}/v1/authorize/${issuer.id}`, { headers: { 'X-API-Key': secret } }),
      send(`${server.url}/v1/me`, { headers: { 'X-API-Key': secret } }),
      send(`${server.url}${issuer.path}/api-keys`, { headers: { Authorization: `Bearer ${secret}` } }),
    ];
    for (const answer of await Promise.all(ask(old.secret))) {
      expect(answer.status).toBe(200);
      expect(answer.headers).toMatchObject(marks);
    }
    for (const answer of await Promise.all(ask(successor.secret_plain))) {
      expect(answer.status).toBe(200);
      expect(answer.headers).not.toHaveProperty('deprecation');
      expect(answer.headers).not.toHaveProperty('sunset');
    }
    expect((await verify(old.secret)).warnings).toEqual(['rotated']);
    expect((await verify(successor.secret_plain)).warnings).toEqual([]);
  });

  test('is the end of the origins that the old key lists, for preflights', async () => {
    const listed = await TestIssuer.create(server, {}, {}, api);
    const old = await listed.createKey({ restrictions: { origins: ['https://old.example'] } });
    const successor = await api.create(`${old.path}/rotate`, { grace_seconds: 0 });
    succeeded(
      await api.patch(`${listed.path}/api-keys/${successor.id}`, {
        restrictions: { origins: ['https://new.example'] },
      }),
    );
    const origins = await rows.query(
      'select origin, expires_at from api_key_origins where issuer_id = $1 order by origin',
      [listed.id],
    );
    expect(origins.map(({ origin }) => origin)).toEqual(['https://new.example', 'https://old.example']);
    expect(origins[1]!.expires_at).toEqual(clock.now());
  });
});

describe('a chain of rotations', () => {
  test('of five works: one line, each key after the other, all of them alive within their grace', async () => {
    const issuer = await TestIssuer.create(server, {}, {}, api);
    const first = await issuer.createKey({ restrictions: { scopes: ['a:b'] } });
    const secrets = [first.secret];
    let last: { id: string; lineage_id: string; predecessor_id: string | null } = {
      id: first.id,
      lineage_id: first.id,
      predecessor_id: null,
    };
    for (let step = 0; step < 5; step++) {
      const successor = await api.create(`${issuer.path}/api-keys/${last.id}/rotate`, { grace_seconds: 600 });
      expect(successor).toMatchObject({ lineage_id: first.id, predecessor_id: last.id });
      expect((await api.get(`${issuer.path}/api-keys/${last.id}`)).body.data.successor_id).toBe(successor.id);
      secrets.push(successor.secret_plain);
      last = successor;
    }
    for (const secret of secrets)
      expect(await verify(secret)).toMatchObject({ code: 'VALID', scopes: ['a:b'] });
    clock.advance(600);
    const codes = await Promise.all(secrets.map(async (secret) => (await verify(secret)).code));
    expect(codes).toEqual(['EXPIRED', 'EXPIRED', 'EXPIRED', 'EXPIRED', 'EXPIRED', 'VALID']);
  });

  // The race: two operators, or a retry after a timeout, rotate the same key at the same moment.
  test('50 rotations of one key at once make one successor', async () => {
    const issuer = await TestIssuer.create(server, {}, {}, api);
    for (let round = 0; round < scaled(1, 20); round++) {
      const key = await issuer.createKey();
      const answers = await atOnce(50, () => api.post(`${key.path}/rotate`, { grace_seconds: 60 }));
      const statuses = answers.map(({ status }) => status).sort();
      expect(statuses).toEqual([201, ...Array.from({ length: 49 }, () => 409)]);
      const made = await rows.query('select id from api_keys where predecessor_id = $1', [key.id]);
      expect(made).toHaveLength(1);
    }
  });

  test('a key may rotate itself, 50 times at once, and has one successor then', async () => {
    const issuer = await TestIssuer.create(server, {}, {}, api);
    const key = await issuer.createKey({ restrictions: { scopes: ['gatelodge.api-keys:write'] } });
    const answers = await atOnce(50, () => api.as(key).post(`${key.path}/rotate`, { grace_seconds: 60 }));
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    expect(answers.filter(({ status }) => status !== 201).map(({ status }) => status)).toEqual(
      Array.from({ length: 49 }, () => 409),
    );
  });

  test('a key whose successor was deleted may be rotated once more, within the grace it has', async () => {
    const issuer = await TestIssuer.create(server, {}, {}, api);
    const key = await issuer.createKey();
    const lost = await api.create(`${key.path}/rotate`, { grace_seconds: 3600 });
    const endsAt = later(3600);
    expect((await api.delete(`${issuer.path}/api-keys/${lost.id}`)).status).toBe(204);
    clock.advance(60);
    const second = await api.create(`${key.path}/rotate`, { grace_seconds: 2_592_000 });
    expect(second.predecessor_id).toBe(key.id);
    expect((await api.get(key.path)).body.data.retires_at).toBe(endsAt);
  });

  // Attack: whoever has stolen a key that was rotated since deletes its successor with it and rotates it again, and
  // again, and it never ends.
  test('a key that was rotated can’t rotate itself again, whatever has become of its successor', async () => {
    const issuer = await TestIssuer.create(server, {}, {}, api);
    const key = await issuer.createKey({ restrictions: { scopes: ['gatelodge.api-keys:write'] } });
    const successor = await api.create(`${key.path}/rotate`, { grace_seconds: 60 });
    const endsAt = later(60);
    const thief = api.as(key);
    expect((await thief.delete(`${issuer.path}/api-keys/${successor.id}`)).status).toBe(204);
    const answer = await thief.post(`${key.path}/rotate`, { grace_seconds: 2_592_000 });
    expect([answer.status, answer.body.code]).toEqual([409, 'conflict']);
    expect((await api.get(key.path)).body.data.retires_at).toBe(endsAt);
  });

  test('a key in its grace passes no permission on beyond the grace', async () => {
    const issuer = await TestIssuer.create(server, {}, {}, api);
    const restrictions = { scopes: ['gatelodge.api-keys:write'] };
    const key = await issuer.createKey({ restrictions });
    await api.create(`${key.path}/rotate`, { grace_seconds: 60 });
    const old = api.as(key);
    expect((await old.post(`${issuer.path}/api-keys`, { restrictions })).status).toBe(403);
    const bounded = { restrictions, expires_at: later(60) };
    expect((await old.post(`${issuer.path}/api-keys`, bounded)).status).toBe(201);
  });
});

test('a rotation sent again under its Idempotency-Key shows the same successor', async () => {
  const issuer = await TestIssuer.create(server, {}, {}, api);
  const key = await issuer.createKey();
  const once = () => api.post(`${key.path}/rotate`, { grace_seconds: 60 }, { 'Idempotency-Key': 'r-1' });
  const first = succeeded(await once());
  const again = succeeded(await once());
  expect(again.headers.get('Idempotent-Replayed')).toBe('true');
  expect(again.body).toEqual(first.body);
});

// Attack: a short or interrupted grace refuses somebody's valid key in production, or lets a dead one in.
test('under load no valid key is refused in the whole grace and none passes after it', async () => {
  const issuer = await TestIssuer.create(server, {}, {}, api);
  const old = await issuer.createKey();
  const { secret_plain: next } = await api.create(`${old.path}/rotate`, { grace_seconds: 1000 });
  const total = scaled(1_000, 10_000);
  const endsAt = clock.nowMs() + 1_000_000;
  const refused: string[] = [];
  const accepted: string[] = [];
  const workers = Array.from({ length: 32 }, async (_, worker) => {
    for (let turn = worker; turn < total; turn += 32) {
      if (turn % 100 === 0) clock.advance(1100 / (total / 100));
      const askedAt = clock.nowMs();
      const { status } = await send(`${server.url}/v1/authorize/${issuer.id}`, {
        headers: { 'X-API-Key': turn % 2 === 0 ? old.secret : next },
      });
      const isOver = turn % 2 === 0 && askedAt >= endsAt;
      if (status !== 200 && (turn % 2 === 1 || clock.nowMs() < endsAt)) refused.push(`${turn}: ${status}`);
      if (status === 200 && isOver) accepted.push(`${turn}`);
    }
  });
  await Promise.all(workers);
  expect({ refused, accepted }).toEqual({ refused: [], accepted: [] });
  expect(clock.nowMs()).toBeGreaterThanOrEqual(endsAt);
});

test('so does one that a key sends of itself, and one that was bound to a version', async () => {
  const issuer = await TestIssuer.create(server, {}, {}, api);
  const key = await issuer.createKey({ restrictions: { scopes: ['gatelodge.api-keys:write'] } });
  const version = (await api.get(key.path)).headers.get('ETag')!;
  const headers = { 'Idempotency-Key': 'r-2', 'If-Match': version };
  const first = succeeded(await api.as(key).post(`${key.path}/rotate`, { grace_seconds: 60 }, headers));
  const again = succeeded(await api.as(key).post(`${key.path}/rotate`, { grace_seconds: 60 }, headers));
  expect(again.body).toEqual(first.body);
});

describe('403', () => {
  // Attack: a key that may write keys rotates one that may more, and reads its secret off the answer.
  test('nobody rotates a key that may more than they do', async () => {
    const issuer = await TestIssuer.create(server, {}, {}, api);
    const limited = await withScopes(api, ['gatelodge.api-keys:write']);
    const strong = await issuer.createKey({ restrictions: { scopes: ['gatelodge.issuers:write'] } });
    const answer = await limited.post(`${strong.path}/rotate`, {});
    expect([answer.status, answer.body.code]).toEqual([403, 'permission_denied']);
    expect((await api.get(strong.path)).body.data.successor_id).toBeNull();
  });

  test('without the permission', async () => {
    const issuer = await TestIssuer.create(server, {}, {}, api);
    const key = await issuer.createKey();
    const reader = await withScopes(api, ['gatelodge.api-keys:read']);
    expect((await reader.post(`${key.path}/rotate`, {})).body.code).toBe('permission_denied');
  });
});

test('404: a key of another account, of another level and one that does not exist answer alike', async () => {
  const issuer = await TestIssuer.create(server, {}, {}, api);
  const key = await issuer.createKey();
  const stranger = await createCustomer(server);
  const answers = await Promise.all([
    stranger.api.post(`${key.path}/rotate`, {}),
    api.post(`/v1/api-keys/${key.id}/rotate`, {}),
    api.post(`${issuer.path}/api-keys/key_0000000000000000000000000/rotate`, {}),
  ]);
  for (const { status, body } of answers) expect([status, body.code]).toEqual([404, 'not_found']);
});

describe('409: says what to do instead', () => {
  test.each([
    ['revoked', 'revoke', /create a new key/],
    ['disabled', 'disable', /enable it first/],
    ['already_rotated', 'rotate', /rotate its successor key_/],
  ])('a %s key', async (status, verb, detail) => {
    const issuer = await TestIssuer.create(server, {}, {}, api);
    const key = await issuer.createKey();
    succeeded(await api.post(`${key.path}/${verb}`));
    const answer = await api.post(`${key.path}/rotate`, {});
    const code = status === 'already_rotated' ? status : 'conflict';
    expect([answer.status, answer.body.code]).toEqual([409, code]);
    expect(answer.body.detail).toMatch(detail);
  });

  test('an expired key', async () => {
    const issuer = await TestIssuer.create(server, {}, {}, api);
    const key = await issuer.createKey({ expires_at: later(5) });
    clock.advance(5);
    expect((await api.post(`${key.path}/rotate`, {})).body.detail).toMatch(/expired; create a new key/);
  });
});

test('412: not from a version that is gone', async () => {
  const issuer = await TestIssuer.create(server, {}, {}, api);
  const key = await issuer.createKey();
  const answer = await api.post(`${key.path}/rotate`, {}, { 'If-Match': '"99"' });
  expect([answer.status, answer.body.code]).toEqual([412, 'precondition_failed']);
});

describe('422', () => {
  test.each([
    [{ grace_seconds: -1 }, 'grace_seconds'],
    [{ grace_seconds: 2_592_001 }, 'grace_seconds'],
    [{ grace_seconds: 1.5 }, 'grace_seconds'],
    [{ grace_seconds: '60' }, 'grace_seconds'],
    [{ retire: 'never' }, 'retire'],
    [{ restrictions: {} }, 'restrictions'],
  ])('%j', async (body, path) => {
    const issuer = await TestIssuer.create(server, {}, {}, api);
    const key = await issuer.createKey();
    const answer = await api.post(`${key.path}/rotate`, body);
    expect([answer.status, answer.body.code]).toEqual([422, 'invalid_request']);
    expect(answer.body.errors.map((error: { path: string }) => error.path)).toEqual([path]);
    expect((await api.get(key.path)).body.data.successor_id).toBeNull();
  });
});
