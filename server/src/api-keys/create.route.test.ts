import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { succeeded } from '../../test/harness/test-issuer.ts';
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

describe.each(levels)('a key of the $level', ({ path, issuerId, organizationId, scopes }) => {
  test('201: has the defaults of the contract', async () => {
    const answer = await api.post(path, {});
    expect(answer.status).toBe(201);
    const { secret_plain: secret, ...key } = answer.body.data;
    expect(key).toEqual({
      id: expect.stringMatching(/^key_[0-9a-z]{25}$/),
      type: 'api_key',
      account_id: customer.id,
      issuer_id: issuerId,
      organization_id: organizationId,
      name: 'live key 2026-11-21',
      description: null,
      kind: 'secret',
      environment: 'live',
      status: 'active',
      hint: `gl_live_sk_…${secret.slice(-4)}`,
      restrictions: { scopes, origins: [], browsers: 'allow', require_origin: false, ips: [] },
      limits: [],
      quota: null,
      metadata: {},
      expires_at: null,
      created_at: '2026-11-21T12:00:00.000Z',
      updated_at: '2026-11-21T12:00:00.000Z',
      created_by: { type: 'api_key', id: customer.key.id },
      last_used_at: null,
      rotation_due_at: '2027-02-19T12:00:00.000Z',
      revoked_at: null,
      imported: false,
      lineage_id: key.id,
      predecessor_id: null,
      successor_id: null,
      rotated_at: null,
      retires_at: null,
      retire: null,
    });
    // 32 characters of 62 are 190 bits; then two generations and the check part.
    expect(secret).toMatch(/^gl_live_sk_[0-9A-Za-z]{44}$/);
    expect(answer.headers.get('Location')).toBe(`${path}/${key.id}`);
    const read = await api.get(`${path}/${key.id}`);
    expect([read.body.data, read.headers.get('ETag')]).toEqual([key, answer.headers.get('ETag')]);
    expect((await api.get('/v1/me', { 'X-API-Key': secret })).status).toBe(401);
    const me = await api.as(null).get('/v1/me', { Authorization: `Bearer ${secret}` });
    expect(me.body.data).toMatchObject({ type: 'api_key', id: key.id, environment: 'live' });
  });

  test('201: takes everything that a key can have', async () => {
    const asked = {
      type: 'api_key',
      name: 'ci',
      description: 'for the build',
      kind: 'secret',
      environment: 'sandbox',
      restrictions: {
        scopes: ['invoices:read', 'invoices.lines:write'],
        origins: ['https://app.example', 'http://localhost:*'],
        browsers: 'allow',
        require_origin: true,
        ips: ['192.0.2.0/24', '2001:db8::/32'],
      },
      expires_at: '2026-12-24T18:00:00.5+01:00',
      metadata: { team: 'a', nested: { n: [1, null] } },
    };
    const { secret_plain, ...key } = await api.create(path, asked);
    expect(key).toMatchObject({ ...asked, expires_at: '2026-12-24T17:00:00.500Z' });
    expect(secret_plain).toMatch(/^gl_sandbox_sk_/);
    expect((await api.get(`${path}/${key.id}`)).body.data).toEqual(key);
  });

  test('201: null is as good as left out', async () => {
    const nothing = { name: null, description: null, environment: null, restrictions: null };
    const key = await api.create(path, { ...nothing, expires_at: null, metadata: null });
    expect(key).toMatchObject({ name: 'live key 2026-11-21', environment: 'live', metadata: {} });
    const empty = { scopes: null, origins: null, browsers: null, require_origin: null, ips: null };
    expect((await api.create(path, { restrictions: empty })).restrictions).toEqual(key.restrictions);
  });

  test('is one event, and neither it nor anything else holds the secret', async () => {
    // The attack: a secret found in a dump of the database, a log, or an answer after the first.
    const { result: answer, events } = await rows.eventsOf(() =>
      api.post(path, { name: 'canary' }, { 'Idempotency-Key': `canary ${path}`.replaceAll(' ', '-') }),
    );
    const { id, secret_plain: secret, hint } = answer.body.data;
    expect(events).toMatchObject([
      {
        type: 'api-key.created',
        account_id: customer.id,
        issuer_id: issuerId,
        organization_id: organizationId,
        environment: 'live',
        subject_type: 'api_key',
        subject_id: id,
        actor: { type: 'api_key', id: customer.key.id },
        request_id: answer.headers.get('X-Request-Id'),
        data: { name: 'canary', kind: 'secret', hint },
      },
    ]);
    const item = `${path}/${id}`;
    const others = [
      await api.get(item),
      await api.get(path),
      await api.get('/v1/events'),
      await api.patch(item, { name: 'renamed' }),
      await api.post(`${item}/disable`),
      await api.post(`${item}/enable`),
      await api.post('/v1/keys/verify', { key: secret }),
      await api.post(`${item}/revoke`),
    ];
    const body = secret.slice('gl_live_sk_'.length);
    for (const { status, text } of others) {
      expect(status).toBe(200);
      expect(text).not.toContain(body);
      expect(text).not.toContain('secret_plain');
    }
    expect(server.logLines.join('\n')).not.toContain(body);
    for (const table of ['api_keys', 'events', 'idempotency_records']) {
      const [found] = await rows.query<{ count: number }>(
        `select count(*)::int as count from ${table} t where t::text like '%' || $1 || '%'`,
        [body],
      );
      expect([table, found!.count]).toEqual([table, 0]);
    }
  });
});

describe('the name', () => {
  test.each([
    ['for the build', 'for the build'],
    ['  padded  ', 'padded'],
    ['x'.repeat(300), 'x'.repeat(200)],
    [' \n\t ', 'live key 2026-11-21'],
    [`${' '.repeat(250)}late`, 'late'],
    [`${'x'.repeat(199)}😀`, expect.stringMatching(/^x{199}.$/u)],
  ])('is as much of the description %j as a name can hold', async (description, name) => {
    const key = await api.create('/v1/api-keys', { description });
    expect(key).toMatchObject({ name, description });
    // A name that the rules for names refuse would stand in the way of every later change.
    succeeded(await api.patch(`/v1/api-keys/${key.id}`, { metadata: { touched: true } }));
  });

  test('says the environment and the day where nothing else names the key', async () => {
    expect((await api.create('/v1/api-keys', { environment: 'sandbox' })).name).toBe(
      'sandbox key 2026-11-21',
    );
  });

  test('need not be unique', async () => {
    const [one, two] = [
      await api.create('/v1/api-keys', { name: 'same' }),
      await api.create('/v1/api-keys', { name: 'same' }),
    ];
    expect(one.id).not.toBe(two.id);
    expect(one.secret_plain).not.toBe(two.secret_plain);
  });
});

describe('the environment', () => {
  test('is that of a sandbox issuer unless it is named', async () => {
    const issuer = await api.create('/v1/issuers', { name: 'x', environment: 'sandbox' });
    const key = await api.create(`/v1/issuers/${issuer.id}/api-keys`);
    expect(key.environment).toBe('sandbox');
    expect(key.secret_plain).toMatch(/^gl_sandbox_sk_/);
  });

  test('422: a sandbox issuer has no live keys', async () => {
    const issuer = await api.create('/v1/issuers', { name: 'x', environment: 'sandbox' });
    const before = await rows.snapshot();
    const answer = await api.post(`/v1/issuers/${issuer.id}/api-keys`, { environment: 'live' });
    expect(answer.status).toBe(422);
    expect(answer.body.errors).toEqual([
      expect.objectContaining({ path: 'environment', code: 'wrong_environment' }),
    ]);
    expect(await rows.snapshot()).toEqual(before);
  });
});

describe('the expiry', () => {
  test('holds to the millisecond, also for a key that this node knows already', async () => {
    const key = await api.create('/v1/api-keys', { expires_at: '2026-11-21T12:00:01.000Z' });
    const ask = async () => {
      const headers = { Authorization: `Bearer ${key.secret_plain}` };
      const { status, body } = await api.as(null).get('/v1/api-keys', headers);
      return [status, body.code];
    };
    expect(await ask()).toEqual([200, undefined]);
    clock.advance(0.999);
    expect(await ask()).toEqual([200, undefined]);
    clock.advance(0.001);
    expect(await ask()).toEqual([401, 'expired_key']);
    expect((await api.get(`/v1/api-keys/${key.id}`)).body.data.status).toBe('expired');
  });

  test.each(['2026-11-21T12:00:00.000Z', '2000-01-01T00:00:00Z', '1970-01-01T00:00:00Z'])(
    '422: %s lies in the past',
    async (expires_at) => {
      const answer = await api.post('/v1/api-keys', { expires_at });
      expect(answer.status).toBe(422);
      expect(answer.body.errors).toEqual([
        expect.objectContaining({ path: 'expires_at', code: 'in_the_past' }),
      ]);
    },
  );
});

describe('422', () => {
  test.each([
    [{ type: 'token' }, 'type'],
    [{ name: '' }, 'name'],
    [{ name: 'x'.repeat(201) }, 'name'],
    [{ name: 'a\u0000' }, 'name'],
    [{ description: '' }, 'description'],
    [{ description: 'x'.repeat(1001) }, 'description'],
    [{ kind: 'private' }, 'kind'],
    [{ kind: null }, 'kind'],
    [{ environment: 'test' }, 'environment'],
    [{ expires_at: '2027-01-01' }, 'expires_at'],
    [{ expires_at: 1_798_761_600 }, 'expires_at'],
    [{ metadata: [] }, 'metadata'],
    [{ metadata: { a: 'x'.repeat(8192) } }, 'metadata'],
    [{ restrictions: [] }, 'restrictions'],
    [{ restrictions: { surprise: 1 } }, 'restrictions.surprise'],
    // The attack: members that say whose key it is, what its secret is, or that it is alive.
    [{ account_id: 'acc_0000000000000000000000000' }, 'account_id'],
    [{ issuer_id: 'i_0000000000000000000000000' }, 'issuer_id'],
    [{ organization_id: 'org_0000000000000000000000000' }, 'organization_id'],
    [{ id: 'key_0000000000000000000000000' }, 'id'],
    [{ secret: 'x' }, 'secret'],
    [{ secret_plain: 'x' }, 'secret_plain'],
    [{ digest: 'x' }, 'digest'],
    [{ hint: 'x' }, 'hint'],
    [{ status: 'active' }, 'status'],
    [{ created_by: { type: 'system', id: 'x' } }, 'created_by'],
    [{ scopes: ['invoices:read'] }, 'scopes'],
  ])('%j is refused at %s and changes nothing, at every level', async (body, at) => {
    const before = await rows.snapshot();
    for (const { path } of levels) {
      const answer = await api.post(path, body);
      expect([path, answer.status, answer.body.code]).toEqual([path, 422, 'invalid_request']);
      expect(answer.body.errors.map((error: { path: string }) => error.path)).toContain(at);
    }
    expect(await rows.snapshot()).toEqual(before);
  });
});
