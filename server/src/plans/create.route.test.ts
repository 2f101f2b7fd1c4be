import { afterAll, describe, expect, test } from 'vitest';
import { atOnce } from '../../test/harness/at-once.ts';
import { createCustomer, withScopes } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { createKey } from '../../test/harness/test-issuer.ts';

const clock = new TestClock();
const server = await startTestServer({ clock });
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api, key, id: accountId } = await createCustomer(server);
const path = '/v1/plans';

const hour = { name: 'hour', limit: 5000, window: 'hour' };
const day = { name: 'day', limit: 50_000, window: 'day' };
const none = { live: [], sandbox: [] };
const all = { live: null, sandbox: null };

describe('201', () => {
  test('answers the plan as it will be read', async () => {
    const members = {
      name: 'gold',
      description: 'For tenants with a contract',
      limits: { live: [hour, day], sandbox: [{ name: 'hour', limit: 0, window: 'hour' }] },
      included: { live: 1_000_000, sandbox: 0 },
    };
    const answer = await api.post(path, members);
    expect(answer.status).toBe(201);
    const at = clock.now().toISOString();
    expect(answer.body.data).toEqual({ ...members, created_at: at, updated_at: at });
    expect(answer.headers.get('Location')).toBe(`${path}/gold`);
    const read = await api.get(`${path}/gold`);
    expect([read.body.data, read.headers.get('ETag')]).toEqual([answer.body.data, '"1"']);
  });

  test('needs a name alone; what is left out or null limits nothing and includes all', async () => {
    const bare = { description: null, limits: none, included: all };
    expect(await api.create(path, { name: 'bare' })).toMatchObject(bare);
    const nulls = { description: null, limits: null, included: null };
    expect(await api.create(path, { name: 'nulls', ...nulls })).toMatchObject(bare);
    const half = { name: 'half', limits: { live: [hour] }, included: { sandbox: 5 } };
    expect(await api.create(path, half)).toMatchObject({
      limits: { live: [hour], sandbox: [] },
      included: { live: null, sandbox: 5 },
    });
  });

  test.each(['a', '7', 'A.b_c-d', 'x'.repeat(64), 'default', 'unlimited', '0..'])(
    'takes the name %s',
    async (name) => {
      expect((await api.create(path, { name })).name).toBe(name);
      expect((await api.get(`${path}/${name}`)).status).toBe(200);
    },
  );

  test('takes ten limits, one name in several windows, and amounts up to 10^12', async () => {
    const windows = ['second', 'minute', 'hour', 'day', 'month'];
    const live = ['a', 'b.c:d-e_f'].flatMap((name) =>
      windows.map((window) => ({ name, limit: 1_000_000_000_000, window })),
    );
    expect((await api.create(path, { name: 'ten', limits: { live } })).limits.live).toEqual(live);
  });

  test('is one event of the account, with what the plan says', async () => {
    const { events } = await rows.eventsOf(() =>
      api.create(path, { name: 'told', limits: { live: [hour] } }),
    );
    expect(events).toMatchObject([
      {
        type: 'plan.created',
        account_id: accountId,
        issuer_id: null,
        subject_type: 'plan',
        subject_id: 'told',
        environment: 'live',
        actor: { type: 'api_key', id: key.id },
        data: { limits: { live: [hour], sandbox: [] }, included: all },
      },
    ]);
  });

  test('is shown again under its Idempotency-Key, although there is a plan of that name by then', async () => {
    const header = { 'Idempotency-Key': 'once' };
    const first = await api.post(path, { name: 'once' }, header);
    const again = await api.post(path, { name: 'once' }, header);
    expect([again.status, again.text]).toEqual([201, first.text]);
    expect(again.headers.get('Idempotent-Replayed')).toBe('true');
    const other = await api.post(path, { name: 'twice' }, header);
    expect([other.status, other.body.code]).toEqual([422, 'idempotency_mismatch']);
  });

  // Attack: plans of two accounts under one name, one of which sees or changes the other’s.
  test('two accounts may have plans of one name, each its own', async () => {
    const other = await createCustomer(server);
    await api.create(path, { name: 'same', description: 'ours' });
    await other.api.create(path, { name: 'same', description: 'theirs', limits: { live: [hour] } });
    expect((await api.get(`${path}/same`)).body.data).toMatchObject({ description: 'ours', limits: none });
    expect((await other.api.get(`${path}/same`)).body.data.description).toBe('theirs');
    expect((await other.api.delete(`${path}/same`)).status).toBe(204);
    expect((await api.get(`${path}/same`)).status).toBe(200);
  });

  test('a plan of a customer’s called default is no plan that accounts are on', async () => {
    const other = await createCustomer(server);
    await other.api.create(path, { name: 'default', limits: { live: [] } });
    const { limits } = (await other.api.get('/v1/account')).body.data;
    expect(limits.live).toContainEqual({ name: 'hour', limit: 1000, window: 'hour' });
  });
});

describe('403', () => {
  test('for a key that may only read', async () => {
    const reader = await withScopes(api, ['gatelodge.plans:read']);
    const answer = await reader.post(path, { name: 'x' });
    expect([answer.status, answer.body.code]).toEqual([403, 'permission_denied']);
  });

  // Attack: a key that was given away for trying things out makes plans for live traffic.
  test('for a sandbox key', async () => {
    const sandbox = api.as(await createKey(api, '/v1/api-keys', { environment: 'sandbox' }));
    const before = await rows.snapshot();
    const answer = await sandbox.post(path, { name: 'x' });
    expect([answer.status, answer.body.code]).toEqual([403, 'wrong_environment']);
    expect(await rows.snapshot()).toEqual(before);
  });
});

describe('409', () => {
  test('for a name that the account has a plan of; names differ by case', async () => {
    await api.create(path, { name: 'taken' });
    const before = await rows.snapshot();
    const answer = await api.post(path, { name: 'taken' });
    expect([answer.status, answer.body.code]).toEqual([409, 'plan_exists']);
    expect(await rows.snapshot()).toEqual(before);
    expect((await api.post(path, { name: 'Taken' })).status).toBe(201);
  });

  test('for the plans that the operator always has', async () => {
    for (const name of ['default', 'unlimited']) {
      const answer = await server.operator.api.post(path, { name });
      expect([answer.status, answer.body.code]).toEqual([409, 'plan_exists']);
    }
  });

  test('of 30 at once with one name exactly one is made', async () => {
    const { result: answers, events } = await rows.eventsOf(() =>
      atOnce(30, () => api.post(path, { name: 'raced' })),
    );
    expect(answers.filter(({ status }) => status === 201).length).toBe(1);
    expect(answers.filter(({ body }) => body.code === 'plan_exists').length).toBe(29);
    expect(events.length).toBe(1);
  });
});

describe('422', () => {
  const live = (...limits: unknown[]) => ({ name: 'x', limits: { live: limits } });
  const eleven = Array.from({ length: 11 }, (_, index) => ({ ...hour, name: `n${index}` }));

  test.each<[unknown, string]>([
    [{}, 'name'],
    [{ name: null }, 'name'],
    [{ name: '' }, 'name'],
    [{ name: '.hidden' }, 'name'],
    [{ name: '../accounts' }, 'name'],
    [{ name: 'a b' }, 'name'],
    [{ name: 'a/b' }, 'name'],
    [{ name: 'a\n' }, 'name'],
    [{ name: 'é' }, 'name'],
    [{ name: 'x'.repeat(65) }, 'name'],
    [{ name: 'x', description: '' }, 'description'],
    [{ name: 'x', description: '\u0000' }, 'description'],
    [{ name: 'x', limits: [] }, 'limits'],
    [{ name: 'x', limits: { live: null } }, 'limits.live'],
    [{ name: 'x', limits: { staging: [] } }, 'limits.staging'],
    [{ name: 'x', limits: { live: {} } }, 'limits.live'],
    [live({ ...hour, limit: -1 }), 'limits.live[0].limit'],
    [live({ ...hour, limit: 1.5 }), 'limits.live[0].limit'],
    [live({ ...hour, limit: 1_000_000_000_001 }), 'limits.live[0].limit'],
    [live({ ...hour, limit: '5' }), 'limits.live[0].limit'],
    [live({ ...hour, limit: null }), 'limits.live[0].limit'],
    [live({ name: 'hour', window: 'hour' }), 'limits.live[0].limit'],
    [live({ ...hour, window: 'week' }), 'limits.live[0].window'],
    [live({ name: 'hour', limit: 1 }), 'limits.live[0].window'],
    [live({ ...hour, name: '' }), 'limits.live[0].name'],
    [live({ ...hour, name: 'a"b' }), 'limits.live[0].name'],
    [live({ ...hour, name: 'x'.repeat(65) }), 'limits.live[0].name'],
    [live({ ...hour, name: 'quota' }), 'limits.live[0].name'],
    [live({ ...hour, cost: 1 }), 'limits.live[0].cost'],
    [live(hour, day, { ...hour, limit: 7 }), 'limits.live[2]'],
    [live(...eleven), 'limits.live'],
    [{ name: 'x', limits: { sandbox: [{ ...hour, window: 'week' }] } }, 'limits.sandbox[0].window'],
    [{ name: 'x', included: { live: -1 } }, 'included.live'],
    [{ name: 'x', included: { live: 1.5 } }, 'included.live'],
    [{ name: 'x', included: { sandbox: 1_000_000_000_001 } }, 'included.sandbox'],
    [{ name: 'x', included: 5 }, 'included'],
    [{ name: 'x', account_id: 'acc_0000000000000000000000000' }, 'account_id'],
    [{ name: 'x', version: 7 }, 'version'],
  ])('%j is refused at %s and changes nothing', async (body, at) => {
    const before = await rows.snapshot();
    const answer = await api.post(path, body);
    expect([answer.status, answer.body.code]).toEqual([422, 'invalid_request']);
    expect(answer.body.errors.map((error: { path: string }) => error.path)).toContain(at);
    expect(await rows.snapshot()).toEqual(before);
  });

  test('an entry that is wrong is told with what to do about it', async () => {
    const told = async (...limits: unknown[]) => (await api.post(path, live(...limits))).body.errors[0];
    expect(await told(hour, { ...day, name: 'quota' })).toMatchObject({
      path: 'limits.live[1].name',
      message: '"quota" is the name of quotas; choose another name',
    });
    expect(await told(hour, hour)).toEqual({
      path: 'limits.live[1]',
      message: 'has the name and the window of the entry 0; remove one of them, or rename it',
      code: 'duplicate',
    });
    expect((await told({ ...hour, window: 'week' })).message).toContain('"second", "minute", "hour"');
  });
});
