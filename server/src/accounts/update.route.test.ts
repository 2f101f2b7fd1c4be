import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';

const server = await startTestServer();
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api, accountId } = server.operator;

describe('200', () => {
  test('a change of one member leaves its neighbour as it was', async () => {
    const { id } = await createCustomer(server, { name: 'before', plan: 'unlimited' });
    const renamed = await api.patch(`/v1/accounts/${id}`, { name: 'after' });
    expect(renamed.body.data).toMatchObject({ name: 'after', plan: 'unlimited', status: 'active' });
    const replanned = await api.patch(`/v1/accounts/${id}`, { plan: 'default' });
    expect(replanned.body.data).toMatchObject({ name: 'after', plan: 'default' });
    const planless = await api.patch(`/v1/accounts/${id}`, { plan: null });
    expect(planless.body.data).toMatchObject({ name: 'after', plan: null });
    const read = await api.get(`/v1/accounts/${id}`);
    expect(read.body.data).toEqual(planless.body.data);
    expect(read.headers.get('ETag')).toBe(planless.headers.get('ETag'));
  });

  test('may be put on any plan of the operator’s, and on no plan of its own', async () => {
    const customer = await createCustomer(server);
    await api.create('/v1/plans', { name: 'gold' });
    await customer.api.create('/v1/plans', { name: 'made-by-itself' });
    const path = `/v1/accounts/${customer.id}`;
    expect((await api.patch(path, { plan: 'gold' })).body.data.plan).toBe('gold');
    const refused = await api.patch(path, { plan: 'made-by-itself' });
    expect([refused.status, refused.body.errors[0]]).toEqual([
      422,
      {
        path: 'plan',
        message:
          'is not the name of a plan; make it by POST /v1/plans first, name one that is there, or give null for none',
        code: 'unknown_plan',
      },
    ]);
    expect((await api.get(path)).body.data.plan).toBe('gold');
  });

  test('is told in both trails, with the names of what changed and no values', async () => {
    const { id } = await createCustomer(server);
    const { events } = await rows.eventsOf(() => api.patch(`/v1/accounts/${id}`, { plan: 'unlimited' }));
    expect(Object.fromEntries(events.map((event) => [event.account_id, event.actor.id]))).toEqual({
      [id]: 'operator',
      [accountId]: server.operator.key.id,
    });
    expect(events.length).toBe(2);
    for (const event of events)
      expect(event).toMatchObject({ type: 'account.updated', subject_id: id, data: { changed: ['plan'] } });
  });

  test('with the ETag that was read', async () => {
    const { id } = await createCustomer(server);
    const etag = (await api.get(`/v1/accounts/${id}`)).headers.get('ETag')!;
    const changed = await api.patch(`/v1/accounts/${id}`, { name: 'x' }, { 'If-Match': etag });
    expect(changed.status).toBe(200);
    expect(changed.headers.get('ETag')).not.toBe(etag);
  });
});

describe('409', () => {
  test('for the operator’s own account, which is changed elsewhere', async () => {
    const before = await rows.snapshot();
    const answer = await api.patch(`/v1/accounts/${accountId}`, { plan: null });
    expect([answer.status, answer.body.code]).toEqual([409, 'conflict']);
    expect(await rows.snapshot()).toEqual(before);
  });
});

describe('422', () => {
  test.each([
    [{ name: null }, 'name'],
    [{ name: '' }, 'name'],
    [{ plan: 'free' }, 'plan'],
    [{ status: 'suspended' }, 'status'],
    [{ operator: true }, 'operator'],
    [{ owner_email: 'x@evil.test' }, 'owner_email'],
    [{ name: 'fine', surprise: 1 }, 'surprise'],
  ])('%j is refused at %s and changes nothing', async (body, path) => {
    const { id } = await createCustomer(server);
    const before = await rows.snapshot();
    const answer = await api.patch(`/v1/accounts/${id}`, body);
    expect([answer.status, answer.body.errors[0].path]).toEqual([422, path]);
    expect(await rows.snapshot()).toEqual(before);
  });
});
