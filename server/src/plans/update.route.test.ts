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
const { api, key, id: accountId } = await createCustomer(server);
const { api: operator } = server.operator;

const hour = { name: 'hour', limit: 1000, window: 'hour' };
const day = { name: 'day', limit: 10_000, window: 'day' };
const full = {
  description: 'before',
  limits: { live: [hour, day], sandbox: [hour] },
  included: { live: 100, sandbox: 10 },
};
let made = 0;
async function create(members: Record<string, unknown> = full) {
  const plan = await api.create('/v1/plans', { name: `plan-${++made}`, ...members });
  return { plan, path: `/v1/plans/${plan.name}` };
}

describe('200', () => {
  test.each([
    [{ description: 'after' }, { description: 'after' }],
    // A list replaces the list; the other environment stays as it is.
    [{ limits: { live: [day] } }, { limits: { live: [day], sandbox: [hour] } }],
    [{ limits: { sandbox: [] } }, { limits: { live: [hour, day], sandbox: [] } }],
    [{ included: { sandbox: 0 } }, { included: { live: 100, sandbox: 0 } }],
  ])('%j changes nothing but what it names', async (patch, expected) => {
    const { plan, path } = await create();
    const answer = await api.patch(path, patch);
    expect(answer.status).toBe(200);
    expect(answer.body.data).toEqual({ ...plan, ...expected, updated_at: expect.any(String) });
    expect(answer.headers.get('ETag')).toBe('"2"');
    const read = await api.get(path);
    expect([read.body, read.headers.get('ETag')]).toEqual([answer.body, '"2"']);
  });

  test('null removes: a description, all limits or those of one environment, what is included', async () => {
    const { path } = await create();
    const half = await api.patch(path, { limits: { live: null }, included: { live: null } });
    expect(half.body.data).toMatchObject({
      description: 'before',
      limits: { live: [], sandbox: [hour] },
      included: { live: null, sandbox: 10 },
    });
    const none = await api.patch(path, { description: null, limits: null, included: null });
    expect(none.body.data).toMatchObject({
      description: null,
      limits: { live: [], sandbox: [] },
      included: { live: null, sandbox: null },
    });
  });

  // Attack: a patch without effect, repeated, that makes every node forget whoever is on the plan.
  test('one that changes nothing is no change: same version, no event', async () => {
    const { path } = await create();
    const before = await api.get(path);
    for (const body of [{}, { description: 'before' }, { limits: { live: [hour, day] }, included: {} }]) {
      const { result: answer, events } = await rows.eventsOf(() => api.patch(path, body));
      expect([answer.status, answer.body, answer.headers.get('ETag'), events]).toEqual([
        200,
        before.body,
        before.headers.get('ETag'),
        [],
      ]);
    }
  });

  test('is one event that names what changed, and not what was merely repeated', async () => {
    const { plan, path } = await create();
    const { events } = await rows.eventsOf(() =>
      api.patch(path, { description: 'before', limits: { live: [] }, included: { live: 5 } }),
    );
    expect(events).toMatchObject([
      {
        type: 'plan.updated',
        account_id: accountId,
        subject_type: 'plan',
        subject_id: plan.name,
        environment: 'live',
        actor: { type: 'api_key', id: key.id },
        data: { changed: ['limits', 'included'] },
      },
    ]);
  });

  test('reaches what is on the plan by the next request: issuers, organizations', async () => {
    const { plan, path } = await create({ limits: { live: [hour] } });
    const issuer = await api.create('/v1/issuers', { name: 'x', plan: plan.name });
    const organization = await api.create(`/v1/issuers/${issuer.id}/organizations`, {
      name: 'x',
      plan: plan.name,
    });
    const { keys } = server.running.services;
    const limitsNow = async () => [
      (await keys.findIssuer(issuer.id))?.levels.live?.limits,
      (await keys.findTenant(issuer.id, organization.id))?.levels.live?.limits,
    ];
    expect(await limitsNow()).toEqual([[hour], [hour]]);
    const tight = { ...hour, limit: 1 };
    succeeded(await api.patch(path, { limits: { live: [tight] } }));
    expect(await limitsNow()).toEqual([[tight], [tight]]);
    succeeded(await api.patch(path, { limits: null }));
    expect(await limitsNow()).toEqual([undefined, undefined]);
  });

  test('the operator changes default and unlimited for every account that is on them', async () => {
    const customer = await createCustomer(server);
    const { id } = await customer.api.create('/v1/issuers', { name: 'x' });
    const { keys } = server.running.services;
    const limitsNow = async () => (await keys.findIssuer(id))?.account.levels.live?.limits;
    expect(await limitsNow()).toEqual([hour, day]);
    const before = (await operator.get('/v1/plans/default')).body.data;
    const live = [{ name: 'hour', limit: 2000, window: 'hour' }];
    succeeded(await operator.patch('/v1/plans/default', { limits: { live } }));
    expect(await limitsNow()).toEqual(live);
    expect((await customer.api.get('/v1/account')).body.data.limits).toEqual({ ...before.limits, live });
    succeeded(await operator.patch('/v1/plans/default', { limits: before.limits }));
    expect(await limitsNow()).toEqual([hour, day]);
    expect((await operator.patch('/v1/plans/unlimited', { description: 'Ours' })).status).toBe(200);
  });

  test('a customer’s plan of the same name as the operator’s changes nothing for any account', async () => {
    const customer = await createCustomer(server);
    const { id } = await customer.api.create('/v1/issuers', { name: 'x' });
    await customer.api.create('/v1/plans', { name: 'default' });
    succeeded(await customer.api.patch('/v1/plans/default', { limits: { live: [{ ...hour, limit: 0 }] } }));
    const issuer = await server.running.services.keys.findIssuer(id);
    expect(issuer?.account.levels.live?.limits).toEqual([hour, day]);
  });
});

describe('403', () => {
  test('for a key that may only read, and for a sandbox key', async () => {
    const { path } = await create();
    const before = await rows.snapshot();
    const reader = await withScopes(api, ['gatelodge.plans:read']);
    const sandbox = api.as(await createKey(api, '/v1/api-keys', { environment: 'sandbox' }));
    const answers = [await reader.patch(path, { limits: null }), await sandbox.patch(path, { limits: null })];
    expect(answers.map(({ status, body }) => [status, body.code])).toEqual([
      [403, 'permission_denied'],
      [403, 'wrong_environment'],
    ]);
    const { plans } = await rows.snapshot();
    expect(plans).toBe(before.plans);
  });
});

// The attack: a customer lifts the limits that the operator holds it to, or those of another customer’s tenants.
test('404 for the plans of others, the operator’s included', async () => {
  const { plan } = await create();
  const stranger = await createCustomer(server);
  const before = await rows.snapshot();
  for (const name of ['default', 'unlimited', plan.name, 'nothing']) {
    const answer = await stranger.api.patch(`/v1/plans/${name}`, { limits: null });
    expect([name, answer.status, answer.body.code]).toEqual([name, 404, 'not_found']);
  }
  expect(await rows.snapshot()).toEqual(before);
});

describe('412', () => {
  test('of 30 changes at once that name the same version exactly one is made', async () => {
    const { path } = await create();
    const { result: answers, events } = await rows.eventsOf(() =>
      atOnce(30, (index) => api.patch(path, { description: `number ${index}` }, { 'If-Match': '"1"' })),
    );
    const won = answers.filter(({ status }) => status === 200);
    expect(won.length).toBe(1);
    expect(answers.filter(({ body }) => body.code === 'precondition_failed').length).toBe(29);
    expect((await api.get(path)).body.data).toEqual(won[0]!.body.data);
    expect(events.length).toBe(1);
  });

  test('without a version 20 changes at once of different members are all there in the end', async () => {
    const { path } = await create();
    const patches = [
      { description: 'raced' },
      { limits: { live: [day] } },
      { limits: { sandbox: [day] } },
      { included: { live: 1 } },
      { included: { sandbox: 2 } },
    ];
    await atOnce(20, (index) => api.patch(path, patches[index % patches.length]));
    expect((await api.get(path)).body.data).toMatchObject({
      description: 'raced',
      limits: { live: [day], sandbox: [day] },
      included: { live: 1, sandbox: 2 },
    });
  });
});

describe('422', () => {
  test.each([
    // A plan keeps its name: whatever is on it knows it by that.
    [{ name: 'renamed' }, 'name'],
    [{ description: '' }, 'description'],
    [{ limits: [] }, 'limits'],
    [{ limits: { live: [{ ...hour, window: 'week' }] } }, 'limits.live[0].window'],
    [{ limits: { live: [hour, hour] } }, 'limits.live[1]'],
    [{ limits: { live: [{ ...hour, limit: null }] } }, 'limits.live[0].limit'],
    [{ limits: { staging: null } }, 'limits.staging'],
    [{ included: { live: -1 } }, 'included.live'],
    [{ included: { staging: 5 } }, 'included.staging'],
    [{ account_id: accountId }, 'account_id'],
    [{ description: 'fine', surprise: null }, 'surprise'],
  ])('%j is refused at %s and changes nothing', async (body, at) => {
    const { path } = await create();
    const before = await rows.snapshot();
    const answer = await api.patch(path, body);
    expect([answer.status, answer.body.errors[0].path]).toEqual([422, at]);
    expect(await rows.snapshot()).toEqual(before);
  });
});
