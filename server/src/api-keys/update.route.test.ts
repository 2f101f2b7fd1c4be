import { afterAll, describe, expect, test } from 'vitest';
import { atOnce } from '../../test/harness/at-once.ts';
import { createCustomer } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { createKey, succeeded } from '../../test/harness/test-issuer.ts';
import { apiKeyLevels } from './fixtures/levels.ts';

const clock = new TestClock();
const server = await startTestServer({ clock });
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api, key: caller } = await createCustomer(server);
const levels = await apiKeyLevels(api);
const later = (seconds: number) => new Date(clock.nowMs() + seconds * 1000).toISOString();

const hour = { name: 'hour', limit: 10, window: 'hour' };
const monthly = { credits: 50, refill: { amount: 20, every: 'month' } };

const full = () => ({
  name: 'before',
  description: 'about',
  restrictions: {
    scopes: ['invoices:read'],
    origins: ['https://a.example'],
    browsers: 'allow',
    require_origin: true,
    ips: ['192.0.2.0/24'],
  },
  limits: [hour],
  quota: monthly,
  expires_at: later(3600),
  metadata: { a: 1, b: { c: 2 } },
});

describe.each(levels)('a key of the $level', ({ path, scopes }) => {
  test.each([
    [{ name: 'after' }, {}],
    [{ description: 'other' }, {}],
    [{ description: null }, {}],
    [{ expires_at: null }, {}],
    [{ metadata: { b: { d: 3 } } }, { metadata: { a: 1, b: { c: 2, d: 3 } } }],
    [{ metadata: { a: null } }, { metadata: { b: { c: 2 } } }],
    [{ metadata: null }, { metadata: {} }],
    [
      {
        limits: [
          { ...hour, limit: 11 },
          { ...hour, window: 'day' },
        ],
      },
      {},
    ],
    [{ limits: [] }, {}],
    [{ limits: null }, { limits: [] }],
    [{ quota: { credits: 7 } }, { quota: { ...monthly, credits: 7 } }],
    [{ quota: { refill: { amount: 5 } } }, { quota: { credits: 50, refill: { amount: 5, every: 'month' } } }],
    [{ quota: { refill: null } }, { quota: { credits: 50, refill: null } }],
    [{ quota: null }, {}],
    [{ restrictions: { origins: [] } }, { restrictions: { ...full().restrictions, origins: [] } }],
    [{ restrictions: { origins: null } }, { restrictions: { ...full().restrictions, origins: [] } }],
    [
      { restrictions: { ips: null, require_origin: null } },
      { restrictions: { ...full().restrictions, ips: [], require_origin: false } },
    ],
    [
      { restrictions: { scopes: ['invoices:write'], browsers: 'deny' } },
      { restrictions: { ...full().restrictions, scopes: ['invoices:write'], browsers: 'deny' } },
    ],
    [
      { restrictions: null },
      { restrictions: { scopes, origins: [], browsers: 'allow', require_origin: false, ips: [] } },
    ],
  ])('200: %j changes nothing but what it names', async (patch, expected) => {
    const { secret_plain: _secret, ...key } = await api.create(path, full());
    clock.advance(1);
    const answer = await api.patch(`${path}/${key.id}`, patch);
    expect(answer.status).toBe(200);
    expect(answer.body.data).toEqual({
      ...key,
      ...patch,
      ...expected,
      updated_at: clock.now().toISOString(),
    });
    const read = await api.get(`${path}/${key.id}`);
    expect([read.body, read.headers.get('ETag')]).toEqual([answer.body, answer.headers.get('ETag')]);
  });

  test('200: is one event with the names of what changed', async () => {
    const key = await createKey(api, path);
    // What it names and leaves as it was is no change.
    const patch = { limits: [], name: 'x', metadata: { secret: 'y' }, expires_at: null };
    const { events } = await rows.eventsOf(() => api.patch(key.path, patch));
    expect(events).toMatchObject([
      {
        type: 'api-key.updated',
        subject_id: key.id,
        actor: { id: caller.id },
        data: { changed: ['name', 'metadata'] },
      },
    ]);
    const restrictions = { ips: ['192.0.2.0/24'], require_origin: true };
    const restricted = await rows.eventsOf(() => api.patch(key.path, { name: 'x', restrictions }));
    expect(restricted.events[0]?.data).toEqual({ changed: ['restrictions'] });
  });

  // Attack: a patch without effect, repeated, that makes every node forget the key and floods the trail.
  test('200: one that changes nothing is no change: same version, no event', async () => {
    const members = full();
    const key = await createKey(api, path, { ...members, restrictions: { ...members.restrictions, scopes } });
    const before = await api.get(key.path);
    for (const body of [
      {},
      { name: 'before', expires_at: members.expires_at },
      { metadata: { b: { c: 2 }, z: null } },
      { limits: [hour], quota: { refill: { amount: 20 } } },
      { quota: {} },
      { restrictions: { ips: ['192.0.2.0/24'], browsers: 'allow' } },
    ]) {
      const { result: answer, events } = await rows.eventsOf(() => api.patch(key.path, body));
      expect([answer.status, answer.body, answer.headers.get('ETag'), events]).toEqual([
        200,
        before.body,
        before.headers.get('ETag'),
        [],
      ]);
    }
  });

  test('409: a revoked key is not changed any more', async () => {
    const key = await createKey(api, path);
    succeeded(await api.post(`${key.path}/revoke`));
    const before = await rows.snapshot();
    const answer = await api.patch(key.path, { name: 'x' });
    expect([answer.status, answer.body.code]).toEqual([409, 'conflict']);
    expect(await rows.snapshot()).toEqual(before);
  });

  test('412: of 50 changes at once that name the same version exactly one is made', async () => {
    const key = await createKey(api, path);
    const etag = (await api.get(key.path)).headers.get('ETag')!;
    const { result: answers, events } = await rows.eventsOf(() =>
      atOnce(50, (index) => api.patch(key.path, { name: `name ${index}` }, { 'If-Match': etag })),
    );
    const won = answers.filter(({ status }) => status === 200);
    expect(won.length).toBe(1);
    expect(answers.filter(({ body }) => body.code === 'precondition_failed').length).toBe(49);
    expect((await api.get(key.path)).body).toEqual(won[0]!.body);
    expect(events.length).toBe(1);
  });
});

describe('what changes holds from the very next request on', () => {
  test('scopes, origins, addresses and expiry', async () => {
    const [, { path }] = levels as [unknown, { path: string }];
    const key = await createKey(api, path, { restrictions: { scopes: ['invoices:read'] } });
    const ask = async (members: Record<string, unknown> = {}) =>
      (await api.post('/v1/keys/verify', { key: key.secret, ...members })).body.code;
    const patch = async (body: unknown) => succeeded(await api.patch(key.path, body));
    expect(await ask({ scopes: ['invoices:read'] })).toBe('VALID');
    await patch({ restrictions: { scopes: ['invoices:write'] } });
    expect(await ask({ scopes: ['invoices:read'] })).toBe('INSUFFICIENT_SCOPE');
    expect(await ask({ scopes: ['invoices:write'] })).toBe('VALID');

    await patch({ restrictions: { origins: ['https://a.example'] } });
    expect(await ask({ origin: 'https://b.example' })).toBe('ORIGIN_NOT_ALLOWED');
    expect(await ask({ origin: 'https://a.example' })).toBe('VALID');
    await patch({ restrictions: { ips: ['192.0.2.0/24'] } });
    expect(await ask({ ip: '198.51.100.1' })).toBe('IP_NOT_ALLOWED');
    expect(await ask({ ip: '192.0.2.9' })).toBe('VALID');

    await patch({ expires_at: later(10) });
    clock.advance(10);
    expect(await ask({ ip: '192.0.2.9' })).toBe('EXPIRED');
    await patch({ expires_at: null });
    expect(await ask({ ip: '192.0.2.9' })).toBe('VALID');
  });

  test('a key may cut its own permissions', async () => {
    const key = await createKey(api, '/v1/api-keys');
    const own = api.as(key);
    succeeded(await own.patch(key.path, { restrictions: { scopes: ['gatelodge.api-keys:read'] } }));
    expect((await own.get(key.path)).status).toBe(200);
    expect((await own.patch(key.path, { name: 'x' })).status).toBe(403);
  });
});

test('a key that has expired may still be renamed', async () => {
  const key = await createKey(api, '/v1/api-keys', { expires_at: later(5) });
  clock.advance(6);
  const answer = await api.patch(key.path, { name: 'late' });
  expect([answer.status, answer.body.data]).toMatchObject([200, { name: 'late', status: 'expired' }]);
});

test('the answer never shows a secret, however the request asks for it', async () => {
  const key = await createKey(api, '/v1/api-keys');
  const answer = await api.patch(key.path, { metadata: { secret_plain: 'mine' } });
  expect(Object.keys(answer.body.data)).not.toContain('secret_plain');
  expect(answer.text).not.toContain(key.secret);
});

describe('422', () => {
  test.each([
    [{ name: null }, 'name'],
    [{ name: '' }, 'name'],
    [{ expires_at: '2000-01-01T00:00:00Z' }, 'expires_at'],
    [{ metadata: { big: 'x'.repeat(8192) } }, 'metadata'],
    [{ metadata: [] }, 'metadata'],
    [{ restrictions: { origins: ['https://a.example/'] } }, 'restrictions.origins[0]'],
    [{ restrictions: { ips: ['x'] } }, 'restrictions.ips[0]'],
    [{ restrictions: { scopes: ['x'] } }, 'restrictions.scopes[0]'],
    [{ restrictions: { surprise: null } }, 'restrictions.surprise'],
    [{ kind: 'publishable' }, 'kind'],
    [{ environment: 'sandbox' }, 'environment'],
    [{ status: 'active' }, 'status'],
    [{ type: 'api_key' }, 'type'],
    [{ secret: 'x' }, 'secret'],
    [{ account_id: 'acc_0000000000000000000000000' }, 'account_id'],
    [{ created_by: null }, 'created_by'],
    [{ name: 'fine', surprise: null }, 'surprise'],
  ])('%j is refused at %s and changes nothing, at every level', async (body, at) => {
    for (const { path } of levels) {
      const key = await createKey(api, path);
      const before = await rows.snapshot();
      const answer = await api.patch(key.path, body);
      expect([path, answer.status, answer.body.errors?.[0].path]).toEqual([path, 422, at]);
      expect(await rows.snapshot()).toEqual(before);
    }
  });
});
