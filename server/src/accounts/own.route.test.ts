import { afterAll, describe, expect, test } from 'vitest';
import { atOnce } from '../../test/harness/at-once.ts';
import { createCustomer, withScopes } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { createKey, succeeded } from '../../test/harness/test-issuer.ts';

const server = await startTestServer();
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});

describe('GET /v1/account', () => {
  test('200: tells a key of its account', async () => {
    const { id, api } = await createCustomer(server, { name: 'Acme', owner_email: 'owner@acme.test' });
    const answer = await api.get('/v1/account');
    expect(answer.status).toBe(200);
    expect(answer.body.data).toMatchObject({
      id,
      customer_id: id,
      name: 'Acme',
      plan: 'default',
      status: 'active',
      operator: false,
      members: [{ email: 'owner@acme.test', role: 'owner' }],
    });
    expect(answer.headers.get('ETag')).toBe('"1"');
  });

  test('200: tells what its plan allows and includes; of none, that nothing is limited', async () => {
    const { api: operator } = server.operator;
    const limits = { live: [{ name: 'hour', limit: 5, window: 'hour' }], sandbox: [] };
    await operator.create('/v1/plans', { name: 'small', limits, included: { live: 100 } });
    const { id, api } = await createCustomer(server, { plan: 'small' });
    const told = async () => {
      const { plan, limits, included } = (await api.get('/v1/account')).body.data;
      return { plan, limits, included };
    };
    expect(await told()).toEqual({ plan: 'small', limits, included: { live: 100, sandbox: null } });
    const nothing = { limits: { live: [], sandbox: [] }, included: { live: null, sandbox: null } };
    succeeded(await operator.patch(`/v1/accounts/${id}`, { plan: null }));
    expect(await told()).toEqual({ plan: null, ...nothing });
    // Named by a node of an older build, and made by nobody.
    await rows.query(`update accounts set plan = 'nobodys' where id = $1`, [id]);
    expect(await told()).toEqual({ plan: 'nobodys', ...nothing });
    expect((await api.patch('/v1/account', { name: 'x' })).body.data).toMatchObject(nothing);
  });

  test('200: a key with that permission alone reads it and nothing else', async () => {
    const { id, api } = await createCustomer(server);
    const reader = await withScopes(api, ['gatelodge.account:read']);
    expect((await reader.get('/v1/account')).body.data.id).toBe(id);
    for (const other of ['/v1/issuers', '/v1/api-keys', '/v1/events'])
      expect((await reader.get(other)).status).toBe(403);
  });
});

test('403: the account is live data, which a sandbox key neither reads nor changes', async () => {
  // The attack: a key lost from a test bench tells who owns the account, and where to write to them.
  const { api } = await createCustomer(server);
  const sandbox = api.as(await createKey(api, '/v1/api-keys', { environment: 'sandbox' }));
  const before = await rows.snapshot();
  for (const answer of [
    await sandbox.get('/v1/account'),
    await sandbox.patch('/v1/account', { name: 'x' }),
  ]) {
    expect([answer.status, answer.body.code]).toEqual([403, 'wrong_environment']);
    expect(answer.text).not.toContain('@');
  }
  expect(await rows.snapshot()).toEqual(before);
});

describe('PATCH /v1/account', () => {
  test('200: renames it, in one event of its own trail', async () => {
    const { id, key, api } = await createCustomer(server, { name: 'before' });
    const { result: answer, events } = await rows.eventsOf(() => api.patch('/v1/account', { name: 'after' }));
    expect(answer.body.data).toMatchObject({ id, name: 'after', plan: 'default', customer_id: id });
    expect(answer.body.data.members.length).toBe(1);
    expect(events).toMatchObject([
      {
        type: 'account.updated',
        account_id: id,
        subject_id: id,
        actor: { type: 'api_key', id: key.id },
        request_id: answer.headers.get('X-Request-Id'),
        data: { changed: ['name'] },
      },
    ]);
    expect((await server.operator.api.get(`/v1/accounts/${id}`)).body.data.name).toBe('after');
  });

  // Attack: a patch without effect, repeated, that makes every node forget the account and floods its trail.
  test('200: one that changes nothing is no change: same version, no event', async () => {
    const { api } = await createCustomer(server, { name: 'before' });
    const before = await api.get('/v1/account');
    for (const body of [{}, { name: 'before' }]) {
      const { result: answer, events } = await rows.eventsOf(() => api.patch('/v1/account', body));
      expect([answer.status, answer.body, answer.headers.get('ETag'), events]).toEqual([
        200,
        before.body,
        before.headers.get('ETag'),
        [],
      ]);
    }
  });

  test('200: sets how long a leaked key lives on, in one event, and leaves the name alone', async () => {
    const { id, api } = await createCustomer(server, { name: 'before' });
    expect((await api.get('/v1/account')).body.data.leak_revocation_delay_seconds).toBe(0);
    for (const delay of [604_800, 0]) {
      const { result: answer, events } = await rows.eventsOf(() =>
        api.patch('/v1/account', { name: 'before', leak_revocation_delay_seconds: delay }),
      );
      expect(answer.body.data).toMatchObject({ name: 'before', leak_revocation_delay_seconds: delay });
      expect(events).toMatchObject([
        {
          type: 'account.updated',
          account_id: id,
          subject_id: id,
          data: { changed: ['leak_revocation_delay_seconds'] },
        },
      ]);
      expect((await api.get('/v1/account')).body).toEqual(answer.body);
    }
  });

  test('422: nobody else sets it, and nobody at the creation of an account', async () => {
    // The attack: the operator of an installation takes from an account the time to move to another key.
    const { id } = await createCustomer(server);
    const { api } = server.operator;
    for (const answer of [
      await api.patch(`/v1/accounts/${id}`, { leak_revocation_delay_seconds: 60 }),
      await api.post('/v1/accounts', {
        name: 'Acme',
        owner_email: 'owner@acme.test',
        leak_revocation_delay_seconds: 60,
      }),
    ]) {
      expect([answer.status, answer.body.errors[0]]).toMatchObject([
        422,
        { path: 'leak_revocation_delay_seconds', code: 'unknown_member' },
      ]);
    }
    expect((await api.get(`/v1/accounts/${id}`)).body.data).not.toHaveProperty(
      'leak_revocation_delay_seconds',
    );
  });

  test('200: the operator renames its own here', async () => {
    expect((await server.operator.api.patch('/v1/account', { name: 'We' })).body.data).toMatchObject({
      name: 'We',
      operator: true,
    });
  });

  test('412: of 50 changes at once that name the same version exactly one is made', async () => {
    const { api } = await createCustomer(server);
    const etag = (await api.get('/v1/account')).headers.get('ETag')!;
    const { result: answers, events } = await rows.eventsOf(() =>
      atOnce(50, (index) => api.patch('/v1/account', { name: `name ${index}` }, { 'If-Match': etag })),
    );
    const won = answers.filter(({ status }) => status === 200);
    expect(won.length).toBe(1);
    expect(answers.filter(({ body }) => body.code === 'precondition_failed').length).toBe(49);
    expect((await api.get('/v1/account')).body.data).toEqual(won[0]!.body.data);
    expect(events.length).toBe(1);
  });

  test.each([
    // The attack: an account that raises its own plan, or declares itself the operator.
    [{ plan: 'unlimited' }, 'plan'],
    [{ limits: { live: [], sandbox: [] } }, 'limits'],
    [{ included: { live: null } }, 'included'],
    [{ operator: true }, 'operator'],
    [{ status: 'active' }, 'status'],
    [{ members: [] }, 'members'],
    [{ name: null }, 'name'],
    [{ leak_revocation_delay_seconds: -1 }, 'leak_revocation_delay_seconds'],
    [{ leak_revocation_delay_seconds: 604_801 }, 'leak_revocation_delay_seconds'],
    [{ leak_revocation_delay_seconds: 1.5 }, 'leak_revocation_delay_seconds'],
    [{ leak_revocation_delay_seconds: '60' }, 'leak_revocation_delay_seconds'],
    [{ leak_revocation_delay_seconds: null }, 'leak_revocation_delay_seconds'],
  ])('422: %j is refused at %s and changes nothing', async (body, path) => {
    const { api } = await createCustomer(server);
    const before = await rows.snapshot();
    const answer = await api.patch('/v1/account', body);
    expect([answer.status, answer.body.errors[0].path]).toEqual([422, path]);
    expect(await rows.snapshot()).toEqual(before);
  });
});
