import { createHash } from 'node:crypto';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { atOnce } from '../../test/harness/at-once.ts';
import { createCustomer } from '../../test/harness/customer.ts';
import { PostgresProxy } from '../../test/harness/postgres-proxy.ts';
import { type EventRow, Rows } from '../../test/harness/rows.ts';
import { startTestServer, TestClock, type TestServer } from '../../test/harness/server.ts';
import { createKey, succeeded, TestIssuer, type TestKey } from '../../test/harness/test-issuer.ts';
import { ExposureNotes } from './exposure-notes.ts';

/*
 * Attack: a secret key stands in the source of a page, where whoever opens the page takes it. Its owner has to learn of
 * it, once a day and from whichever entrance; and nobody may use that to flood the owner or to slow the server down.
 */

const clock = new TestClock();
const server = await startTestServer({ clock });
const rows = await Rows.open(server.database);
const { api } = server.operator;
afterAll(async () => {
  await rows.close();
  await server.close();
});

const origin = 'https://shop.example';

function exposuresOf({ id }: { id: string }): Promise<EventRow[]> {
  return rows.query<EventRow>(
    `select * from events where type = 'api-key.exposed' and subject_id = $1 order by id`,
    [id],
  );
}

async function toldOf(key: { id: string }, count = 1): Promise<EventRow[]> {
  return vi.waitFor(
    async () => {
      const events = await exposuresOf(key);
      expect(events.length).toBe(count);
      return events;
    },
    { timeout: 10_000, interval: 20 },
  );
}

/** Notes are written in the order in which they were left, so once this one is, all before it are. */
async function whenAllAreWritten(node: TestServer = server): Promise<void> {
  const key = await createKey(api, '/v1/api-keys');
  succeeded(await me(key, { Origin: origin }, node));
  await toldOf(key);
}

function me(key: TestKey, headers: Record<string, string>, node: TestServer = server) {
  return node.operator.api.as(null).get('/v1/me', { Authorization: `Bearer ${key.secret}`, ...headers });
}

function verify(key: TestKey, members: Record<string, unknown> = {}, node: TestServer = server) {
  return node.operator.api.post('/v1/keys/verify', { key: key.secret, ...members });
}

interface Entrance {
  seenAt: string;
  /** Shows the key as a page on this origin would. Answers what came of it. */
  show(
    issuer: TestIssuer,
    key: TestKey,
    from: string,
  ): Promise<[status: number, code: unknown, warnings: unknown]>;
  /** Without an origin, but from a browser. */
  withoutOrigin?(issuer: TestIssuer, key: TestKey): Promise<unknown>;
}

const keyHeader = 'X-API-Key';
const fetchSite = { 'Sec-Fetch-Site': 'same-origin' };

const entrances: Entrance[] = [
  {
    seenAt: 'verify',
    async show(_issuer, key, from) {
      const { status, body } = await verify(key, { origin: from });
      return [status, body.code, body.warnings];
    },
  },
  {
    seenAt: 'verify',
    async show(_issuer, key, from) {
      const { status, body } = await api.post('/v1/keys/verify-batch', {
        requests: [{ key: key.secret, origin: from }],
      });
      const [result] = body.data;
      return [status, result.code, result.warnings];
    },
  },
  {
    seenAt: 'authorize',
    async show(issuer, key, from) {
      const answer = await issuer.authorize({ [keyHeader]: key.secret, Origin: from });
      const warnings = answer.headers['x-gatelodge-warnings'];
      return [
        answer.status,
        answer.status === 200 ? 'VALID' : answer.body.code.toUpperCase(),
        warnings === undefined ? [] : [warnings],
      ];
    },
    withoutOrigin: (issuer, key) => issuer.authorize({ [keyHeader]: key.secret, ...fetchSite }),
  },
  {
    seenAt: 'me',
    async show(_issuer, key, from) {
      const { status, body } = await me(key, { Origin: from });
      return [status, body.code?.toUpperCase() ?? 'VALID', undefined];
    },
    withoutOrigin: (_issuer, key) => me(key, fetchSite),
  },
  {
    seenAt: 'management',
    async show(issuer, key, from) {
      const { status, body } = await api.as(key).get(issuer.path, { Origin: from });
      return [status, body.code?.toUpperCase() ?? 'VALID', undefined];
    },
    withoutOrigin: (issuer, key) => api.as(key).get(issuer.path, fetchSite),
  },
  {
    seenAt: 'auth',
    // A body that is none: what is looked at here is the key, and it comes first.
    async show(_issuer, key, from) {
      const headers = { Authorization: `Bearer ${key.secret}`, Origin: from };
      const { status, body } = await api.as(null).post('/auth/verify-otp', {}, headers);
      return status === 422 ? [200, 'VALID', undefined] : [status, body.code.toUpperCase(), undefined];
    },
    withoutOrigin: (_issuer, key) =>
      api.as(null).post('/auth/verify-otp', {}, { Authorization: `Bearer ${key.secret}`, ...fetchSite }),
  },
];
const batchName = 'verify-batch';
const named = entrances.map(
  (entrance, index) => [index === 1 ? batchName : entrance.seenAt, entrance] as const,
);

function issuerWith(policy: 'allow' | 'warn' | 'deny'): Promise<TestIssuer> {
  return TestIssuer.create(server, {
    key_headers: [keyHeader],
    error_format: 'problem',
    secret_keys_in_browsers: policy,
  });
}

const mayReadIssuer = { restrictions: { scopes: ['gatelodge.issuers:read'] } };

// Of a verification a browser's own headers are not told, so it has no such case.
test.each(named.filter(([, { withoutOrigin }]) => withoutOrigin !== undefined))(
  'Sec-Fetch-Site alone says it too, and names no origin: at %s',
  async (_name, { seenAt, withoutOrigin }) => {
    const issuer = await issuerWith('warn');
    const key = await issuer.createKey(mayReadIssuer);
    await withoutOrigin!(issuer, key);
    expect((await toldOf(key))[0]!.data).toEqual({ origin: null, policy: 'warn', seen_at: seenAt });
  },
);

describe.each(named)('at %s', (_name, { seenAt, show }) => {
  test('warn: the key works, with a warning where there is room for one, and its owner is told', async () => {
    const issuer = await issuerWith('warn');
    const key = await issuer.createKey(mayReadIssuer);
    const [status, code, warnings] = await show(issuer, key, origin);
    expect([status, code]).toEqual([200, 'VALID']);
    expect(warnings ?? ['secret_key_in_browser']).toEqual(['secret_key_in_browser']);
    expect(await toldOf(key)).toMatchObject([
      {
        account_id: server.operator.accountId,
        issuer_id: issuer.id,
        organization_id: null,
        environment: 'live',
        actor: { type: 'system', id: 'key-exposure', ip: null, user_agent: null },
        subject_type: 'api_key',
        subject_id: key.id,
        data: { origin, policy: 'warn', seen_at: seenAt },
      },
    ]);
  });

  test('deny: the key is refused, and its owner is told', async () => {
    const issuer = await issuerWith('deny');
    const { id: tenant } = await issuer.createOrganization();
    const key = await issuer.createKey(mayReadIssuer, tenant);
    const [status, code] = await show(issuer, key, origin);
    expect([seenAt === 'verify' ? 403 : status, code]).toEqual([403, 'SECRET_KEY_IN_BROWSER']);
    expect(await toldOf(key)).toMatchObject([
      { issuer_id: issuer.id, organization_id: tenant, data: { origin, policy: 'deny', seen_at: seenAt } },
    ]);
  });

  test('allow: the key works, and nobody is told anything', async () => {
    const issuer = await issuerWith('allow');
    const key = await issuer.createKey(mayReadIssuer);
    const [status, code, warnings] = await show(issuer, key, origin);
    expect([status, code, warnings ?? []]).toEqual([200, 'VALID', []]);
    await whenAllAreWritten();
    expect(await exposuresOf(key)).toEqual([]);
  });

  test('its owner is told also where another check has refused the request', async () => {
    const issuer = await issuerWith('warn');
    const restrictions = { origins: ['https://other.example'], scopes: ['gatelodge.issuers:read'] };
    const key = await issuer.createKey({ restrictions });
    expect((await show(issuer, key, origin))[1]).toBe('ORIGIN_NOT_ALLOWED');
    const elsewhere = await issuer.createKey({ restrictions: { ips: ['198.51.100.0/24'] } });
    expect((await show(issuer, elsewhere, origin))[1]).toBe('IP_NOT_ALLOWED');
    for (const each of [key, elsewhere]) expect((await toldOf(each))[0]!.data.policy).toBe('warn');
  });

  test('nobody is told of what is no exposure: a publishable key, a dead one, one that no browser sent', async () => {
    const issuer = await issuerWith('warn');
    const publishable = await issuer.createKey({ kind: 'publishable' });
    const revoked = await issuer.createKey();
    succeeded(await api.post(`${revoked.path}/revoke`));
    const disabled = await issuer.createKey();
    succeeded(await api.post(`${disabled.path}/disable`));
    for (const key of [publishable, revoked, disabled]) await show(issuer, key, origin);
    const backends = await issuer.createKey(mayReadIssuer);
    const plain = { 'User-Agent': 'Mozilla/5.0', Referer: `${origin}/`, 'Sec-Fetch-Mode': 'cors' };
    await verify(backends);
    await issuer.authorize({ [keyHeader]: backends.secret, ...plain });
    await me(backends, plain);
    await api.as(backends).get(issuer.path, plain);
    await whenAllAreWritten();
    for (const key of [publishable, revoked, disabled, backends]) expect(await exposuresOf(key)).toEqual([]);
  });
});

test('an account’s key has the standard profile: its owner is told', async () => {
  const key = await createKey(api, '/v1/api-keys');
  succeeded(await api.as(key).get('/v1/account', { Origin: origin }));
  expect(await toldOf(key)).toMatchObject([
    { issuer_id: null, data: { policy: 'warn', seen_at: 'management' } },
  ]);
});

test('an explanation tells nobody', async () => {
  const issuer = await issuerWith('deny');
  const key = await issuer.createKey();
  succeeded(await verify(key, { origin, explain: true }));
  await whenAllAreWritten();
  expect(await exposuresOf(key)).toEqual([]);
});

test('a verification by another account tells nobody', async () => {
  // The attack: an account floods another one’s trail with keys that it has found.
  const stranger = await createCustomer(server);
  const key = await (await issuerWith('deny')).createKey();
  const answer = await stranger.api.post('/v1/keys/verify', { key: key.secret, origin });
  expect(answer.body.code).toBe('NOT_FOUND');
  await whenAllAreWritten();
  expect(await exposuresOf(key)).toEqual([]);
});

test('only the key’s own account sees the event', async () => {
  const [owner, other] = [await createCustomer(server), await createCustomer(server)];
  const key = await createKey(owner.api, '/v1/api-keys');
  await me(key, { Origin: origin });
  await toldOf(key);
  const seenBy = async ({ api: reader }: { api: typeof api }) =>
    (await reader.get('/v1/events?type=api-key.exposed')).body.data.map(
      (event: { subject: { id: string } }) => event.subject.id,
    );
  expect([await seenBy(owner), await seenBy(other)]).toEqual([[key.id], []]);
});

describe('once a UTC day', () => {
  test('50 at once, at every entrance and on two nodes, are one event', async () => {
    const second = await startTestServer({ nodeOf: server, clock });
    const issuer = await issuerWith('warn');
    const key = await issuer.createKey();
    await atOnce(50, (index) => {
      const node = index % 2 === 0 ? server : second;
      return index % 3 === 0 ? verify(key, { origin }, node) : me(key, { Origin: origin }, node);
    });
    await whenAllAreWritten();
    await whenAllAreWritten(second);
    await toldOf(key);
    await second.close();
  });

  test('the day ends at midnight UTC', async () => {
    const key = await createKey(api, '/v1/api-keys');
    clock.advance((Date.parse('2026-11-21T23:59:59.000Z') - clock.nowMs()) / 1000);
    await me(key, { Origin: origin });
    await toldOf(key);
    await me(key, { Origin: 'https://another.example' });
    await whenAllAreWritten();
    expect((await exposuresOf(key)).length).toBe(1);
    clock.advance(1);
    await me(key, { Origin: 'https://another.example' });
    const events = await toldOf(key, 2);
    expect(events.map(({ data }) => data.origin)).toEqual([origin, 'https://another.example']);
  });

  test('what is told is no change of the key: same ETag, no notice to the nodes', async () => {
    const key = await createKey(api, '/v1/api-keys');
    const before = await api.get(key.path);
    await me(key, { Origin: origin });
    const { cache } = server.running.services;
    const { epoch } = cache;
    await toldOf(key);
    const after = await api.get(key.path);
    expect(after.headers.get('ETag')).toBe(before.headers.get('ETag'));
    // The request itself is a use.
    const { last_used_at: _lastUsedAt, ...told } = after.body.data;
    expect(before.body.data).toMatchObject(told);
    expect(cache.epoch).toBe(epoch);
  });
});

test('the origin is told as inert text, and without a key that somebody put into it', async () => {
  // The attack: what stands in the trail runs in the dashboard, or shows a secret to whoever may read events.
  const issuer = await issuerWith('deny');
  for (const [sent, told] of [
    ['https://a.example/<script>alert(1)</script>', 'https://a.example/%3Cscript%3Ealert(1)%3C/script%3E'],
    ['null', 'null'],
    ['a\nb\u202ec\u0007', 'abc'],
    [
      `https://${'x'.repeat(30)}.${'y.'.repeat(220)}`,
      `https://${'x'.repeat(30)}.${'y.'.repeat(220)}`.slice(0, 300),
    ],
  ]) {
    const key = await issuer.createKey();
    succeeded(await verify(key, { origin: sent }));
    expect((await toldOf(key))[0]!.data.origin).toBe(told);
  }
  const key = await issuer.createKey();
  succeeded(await verify(key, { origin: `https://${key.secret}.example` }));
  expect(JSON.stringify((await toldOf(key))[0])).not.toContain(key.secret.slice(-44, -20));
});

test('while Postgres is away nothing waits, and what was seen is told once it is back', async () => {
  const proxy = await PostgresProxy.start(server.database.appUrl);
  const node = await startTestServer({
    nodeOf: server,
    clock,
    env: { DATABASE_URL: proxy.url(server.database.appUrl), GATELODGE_STALE_SECONDS: '600' },
  });
  const key = await createKey(api, '/v1/api-keys');
  const other = await createKey(api, '/v1/api-keys');
  for (const each of [key, other]) succeeded(await me(each, {}, node));
  await proxy.refuse();
  await vi.waitFor(async () => expect((await me(key, { Origin: origin }, node)).status).toBe(200), {
    timeout: 30_000,
  });
  expect(await exposuresOf(key)).toEqual([]);
  await proxy.open();
  await toldOf(key);
  // What was seen last is written before the node ends.
  succeeded(await me(other, { Origin: origin }, node));
  await node.close();
  expect((await exposuresOf(other)).length).toBe(1);
  await proxy.close();
});

test('a key that is deleted meanwhile is passed over', async () => {
  const key = await createKey(api, '/v1/api-keys');
  const answers = await Promise.all([me(key, { Origin: origin }), api.delete(key.path)]);
  expect(answers[1].status).toBe(204);
  await whenAllAreWritten();
  expect(server.running.services.exposures.dropped).toBe(0);
});

test('what finds no room is counted, and told of when it is seen again', async () => {
  // The attack: keys of a million accounts are shown from one page, to fill the memory.
  const { database, log } = server.running.services;
  const notes = new ExposureNotes({ database, log, nowMs: clock.nowMs, maxPending: 2 });
  const keys = await Promise.all([1, 2, 3].map(() => createKey(api, '/v1/api-keys')));
  const records = await Promise.all(
    keys.map(async ({ secret }) => server.running.services.keys.find(secret)),
  );
  const see = (index: number) =>
    notes.note(records[index]!, { origin, hasBrowserHeaders: true }, 'me', keys[index]!.secret);
  for (const index of records.keys()) see(index);
  expect(notes.dropped).toBe(1);
  for (const key of keys.slice(0, 2)) await toldOf(key);
  expect(await exposuresOf(keys[2]!)).toEqual([]);
  see(2);
  await toldOf(keys[2]!);
  expect(notes.dropped).toBe(1);
  await notes.close();
});

// Attack: whoever knows a key writes it into the origin too, and the event shows it to all who may read events. A key
// that another system made looks like no key of ours.
test('an origin that holds the key itself is shown without it', async () => {
  const issuer = await TestIssuer.create(server);
  const secret = 'unkey_3ZhYqQ9xLk2TtVbnR5sPw8';
  const hash = createHash('sha256').update(secret).digest('hex');
  const imported = succeeded(await api.post(`${issuer.path}/api-keys/import`, { keys: [{ hash }] }));
  const { id } = imported.body.data.keys[0];
  const asked = { key: secret, origin: `https://x.test/?k=${secret}` };
  succeeded(await api.post('/v1/keys/verify', asked));
  const [event] = await toldOf({ id });
  expect(JSON.stringify(event)).not.toContain(secret);
  expect(event!.data.origin).toBe('https://x.test/?k=');
});
