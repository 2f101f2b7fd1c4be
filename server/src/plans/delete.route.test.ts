import { afterAll, describe, expect, test } from 'vitest';
import type { ApiAnswer } from '../../test/harness/api-client.ts';
import { atOnce } from '../../test/harness/at-once.ts';
import { createCustomer, withScopes } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { scaled } from '../../test/harness/scale.ts';
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

const hour = { name: 'hour', limit: 1, window: 'hour' };
let made = 0;
async function create(as = api) {
  const { name } = await as.create('/v1/plans', { name: `plan-${++made}`, limits: { live: [hour] } });
  return { name, path: `/v1/plans/${name}` };
}

describe('204', () => {
  test('deletes a plan that nothing is on, in one event', async () => {
    const { name, path } = await create();
    const { result: answer, events } = await rows.eventsOf(() => api.delete(path));
    expect([answer.status, answer.text]).toEqual([204, '']);
    expect((await api.get(path)).status).toBe(404);
    expect(events).toMatchObject([
      {
        type: 'plan.deleted',
        account_id: accountId,
        subject_type: 'plan',
        subject_id: name,
        environment: 'live',
        actor: { type: 'api_key', id: key.id },
      },
    ]);
    expect((await api.delete(path)).status).toBe(404);
  });

  test('once all that was on it is on another plan, on none, or gone', async () => {
    const { name, path } = await create();
    const other = await create();
    const issuer = `/v1/issuers/${(await api.create('/v1/issuers', { name: 'x', plan: name })).id}`;
    const twin = (await api.create(`${issuer}/sandbox-issuer`)).id;
    succeeded(await api.patch(`/v1/issuers/${twin}`, { plan: name }));
    const organizations = `${issuer}/organizations`;
    const [one, two] = [
      await api.create(organizations, { name: 'x', plan: name }),
      await api.create(organizations, { name: 'x', plan: name }),
    ];
    const steps = [
      () => api.patch(issuer, { plan: other.name }),
      () => api.patch(`${organizations}/${one.id}`, { plan: null }),
      () => api.delete(`${organizations}/${two.id}`),
      () => api.delete(`/v1/issuers/${twin}`),
    ];
    for (const step of steps) {
      expect((await api.delete(path)).body.code).toBe('plan_in_use');
      succeeded(await step());
    }
    expect((await api.delete(path)).status).toBe(204);
  });

  test('an issuer that is being deleted, and what is in it, holds no plan', async () => {
    const { name, path } = await create();
    const { id } = await api.create('/v1/issuers', { name: 'x', plan: name });
    await api.create(`/v1/issuers/${id}/organizations`, { name: 'x', plan: name });
    // As it is while the job has not come to it yet.
    await rows.query('update issuers set deleting = true where id = $1', [id]);
    expect((await api.delete(path)).status).toBe(204);
  });

  test('a plan made anew under the name has nothing of the old one', async () => {
    const { name, path } = await create();
    succeeded(await api.patch(path, { description: 'old', included: { live: 7 } }));
    succeeded(await api.delete(path));
    const renewed = await api.create('/v1/plans', { name });
    expect(renewed).toMatchObject({
      description: null,
      limits: { live: [], sandbox: [] },
      included: { live: null, sandbox: null },
    });
    expect((await api.get(path)).headers.get('ETag')).toBe('"1"');
  });
});

describe('403', () => {
  test('for a key that may only read, and for a sandbox key', async () => {
    const { path } = await create();
    const reader = await withScopes(api, ['gatelodge.plans:read']);
    const sandbox = api.as(await createKey(api, '/v1/api-keys', { environment: 'sandbox' }));
    const answers = [await reader.delete(path), await sandbox.delete(path)];
    expect(answers.map(({ status, body }) => [status, body.code])).toEqual([
      [403, 'permission_denied'],
      [403, 'wrong_environment'],
    ]);
    expect((await api.get(path)).status).toBe(200);
  });
});

test('404 for a plan of another account', async () => {
  const { path } = await create();
  const stranger = await createCustomer(server);
  expect((await stranger.api.delete(path)).body.code).toBe('not_found');
  expect((await api.get(path)).status).toBe(200);
});

describe('409', () => {
  test('while something is on it, with how many of what', async () => {
    const { name, path } = await create();
    const use = async () => {
      const before = await rows.snapshot();
      const { status, body } = await api.delete(path);
      expect([status, body.code]).toEqual([409, 'plan_in_use']);
      expect(await rows.snapshot()).toEqual(before);
      return body.detail.split(';')[0];
    };
    const { id } = await api.create('/v1/issuers', { name: 'x', plan: name });
    expect(await use()).toBe('The plan is in use by 1 issuer');
    const organizations = `/v1/issuers/${id}/organizations`;
    for (let count = 0; count < 2; count++) await api.create(organizations, { name: 'x', plan: name });
    expect(await use()).toBe('The plan is in use by 1 issuer, 2 organizations');
    // A suspended one comes back as it was.
    succeeded(await api.post(`/v1/issuers/${id}/suspend`));
    succeeded(await api.patch(`/v1/issuers/${id}`, { plan: null }));
    expect(await use()).toBe('The plan is in use by 2 organizations');
  });

  test('for a plan of the operator’s while an account is on it; one that is being deleted is on none', async () => {
    const { name, path } = await create(operator);
    const customer = await createCustomer(server, { plan: name });
    const inUse = await operator.delete(path);
    expect([inUse.status, inUse.body.code]).toEqual([409, 'plan_in_use']);
    expect(inUse.body.detail).toContain('1 account;');
    succeeded(await operator.post(`/v1/accounts/${customer.id}/suspend`));
    expect((await operator.delete(path)).body.code).toBe('plan_in_use');
    await rows.query(`update accounts set status = 'deleting' where id = $1`, [customer.id]);
    expect((await operator.delete(path)).status).toBe(204);
  });

  test('for default and unlimited of the operator, also when nobody is on them', async () => {
    for (const name of ['default', 'unlimited']) {
      await rows.query('update accounts set plan = null where plan = $1', [name]);
      const answer = await operator.delete(`/v1/plans/${name}`);
      expect([answer.status, answer.body.code]).toEqual([409, 'conflict']);
    }
  });

  // Attack: count accounts that are on a plan of the operator’s by a plan of the same name.
  test('nobody else’s use of a plan of the same name counts, nor is told', async () => {
    const { name } = await create(operator);
    await createCustomer(server, { plan: name });
    const customer = await createCustomer(server);
    await customer.api.create('/v1/plans', { name });
    await customer.api.create('/v1/issuers', { name: 'x', plan: name });
    const own = await create();
    const stranger = await createCustomer(server);
    await stranger.api.create('/v1/plans', { name: own.name });
    await stranger.api.create('/v1/issuers', { name: 'x', plan: own.name });
    const told = await customer.api.delete(`/v1/plans/${name}`);
    expect(told.body.detail).toMatch(/^The plan is in use by 1 issuer;/);
    expect((await api.delete(own.path)).status).toBe(204);
  });
});

test('412 at another version than If-Match names', async () => {
  const { path } = await create();
  succeeded(await api.patch(path, { description: 'changed' }));
  const stale = await api.delete(path, { 'If-Match': '"1"' });
  expect([stale.status, stale.body.code]).toEqual([412, 'precondition_failed']);
  expect((await api.delete(path, { 'If-Match': '"2"' })).status).toBe(204);
});

// What is put on a plan while somebody deletes it.
const issuer = await api.create('/v1/issuers', { name: 'raced' });
const organizations = `/v1/issuers/${issuer.id}/organizations`;
const organization = await api.create(organizations, { name: 'raced' });
const { id: customer } = await createCustomer(server, { plan: null });

describe('a deletion that races whoever puts something on the plan', () => {
  const rounds = scaled(12, 200);
  /** What each way of naming a plan answers, beside the plan that then is named. */
  const namings: [string, typeof api, (name: string) => Promise<ApiAnswer>][] = [
    ['issuers.create', api, (plan) => api.post('/v1/issuers', { name: 'raced', plan })],
    ['issuers.update', api, (plan) => api.patch(`/v1/issuers/${issuer.id}`, { plan })],
    ['organizations.create', api, (plan) => api.post(organizations, { name: 'raced', plan })],
    ['organizations.update', api, (plan) => api.patch(`${organizations}/${organization.id}`, { plan })],
    [
      'accounts.create',
      operator,
      (plan) => operator.post('/v1/accounts', { name: 'raced', owner_email: 'owner@raced.test', plan }),
    ],
    ['accounts.update', operator, (plan) => operator.patch(`/v1/accounts/${customer}`, { plan })],
  ];

  // The attack: both succeed, and something is on a plan that is gone: nothing limits it any more.
  test.each(namings)('%s: one of the two is done, never both', async (_name, as, nameIt) => {
    const outcomes = new Set<string>();
    for (let round = 0; round < rounds; round++) {
      const { name, path } = await create(as);
      // Now the one and now the other goes first.
      const both = [() => nameIt(name), () => as.delete(path)];
      const order = round % 2 === 0 ? [0, 1] : [1, 0];
      const answers = await atOnce(2, (index) => both[order[index]!]!());
      const [named, deleted] = [answers[order.indexOf(0)]!, answers[order.indexOf(1)]!];
      const isThere = (await as.get(path)).status === 200;
      if (deleted.status === 204) {
        expect([named.status, named.body.errors[0].code, isThere]).toEqual([422, 'unknown_plan', false]);
        outcomes.add('deleted');
      } else {
        expect([deleted.body.code, named.body.data.plan, isThere]).toEqual(['plan_in_use', name, true]);
        outcomes.add('named');
      }
    }
    expect(outcomes.size).toBeGreaterThan(0);
  });

  test.each(namings)(
    '%s: waits for a deletion that is under way, and for its outcome',
    async (_name, as, nameIt) => {
      for (const outcome of ['commit', 'rollback']) {
        const { name } = await create(as);
        // As a deletion locks it; no other test's plan has the name.
        await rows.query('begin');
        await rows.query('select from plans where name = $1 for update', [name]);
        const naming = nameIt(name);
        await waitUntilBlocked();
        await rows.query('delete from plans where name = $1', [name]);
        await rows.query(outcome);
        const { status, body } = await naming;
        if (outcome === 'rollback') expect(body.data.plan).toBe(name);
        else expect([status, body.errors[0]]).toMatchObject([422, { path: 'plan', code: 'unknown_plan' }]);
      }
    },
  );
});

/** Waits until a session waits for a lock that this test's own holds. */
async function waitUntilBlocked(): Promise<void> {
  for (let attempt = 0; attempt < 400; attempt++) {
    const [row] = await rows.query<{ waiting: number }>(
      `select count(*)::int as waiting from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'`,
    );
    if (row!.waiting > 0) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error('nobody waits for the plan');
}
