import { afterAll, describe, expect, test } from 'vitest';
import { atOnce } from '../../test/harness/at-once.ts';
import { createCustomer } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { createKey, succeeded } from '../../test/harness/test-issuer.ts';

const server = await startTestServer();
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { api, accountId } = server.operator;
const path = (id: string, verb: string) => `/v1/accounts/${id}/${verb}`;

describe('200', () => {
  test('suspended, every key of the account is refused by the very next request; activated, it is not', async () => {
    const { id, api: customer } = await createCustomer(server);
    const issuer = await customer.create('/v1/issuers', { name: 'x' });
    const issuerKey = await createKey(customer, `/v1/issuers/${issuer.id}/api-keys`, {
      restrictions: { scopes: ['gatelodge.issuers:read'] },
    });
    const asks = [
      () => customer.get('/v1/account'),
      () => customer.get('/v1/me'),
      () => customer.as(issuerKey).get(`/v1/issuers/${issuer.id}`),
      () => customer.post('/v1/keys/verify', { key: issuerKey.secret }),
    ];
    const statuses = () => Promise.all(asks.map(async (ask) => (await ask()).status));
    expect(await statuses()).toEqual([200, 200, 200, 200]);

    const answer = await api.post(path(id, 'suspend'));
    expect([answer.status, answer.body.data.status]).toEqual([200, 'suspended']);
    expect(await statuses()).toEqual([403, 403, 403, 403]);
    expect((await customer.get('/v1/account')).body.code).toBe('account_suspended');

    expect((await api.post(path(id, 'activate'))).body.data.status).toBe('active');
    expect(await statuses()).toEqual([200, 200, 200, 200]);
  });

  test.each([
    ['suspend', 'account.suspended'],
    ['activate', 'account.activated'],
  ])('%s done twice is one change and one event in each trail', async (verb, type) => {
    const { id } = await createCustomer(server);
    if (verb === 'activate') succeeded(await api.post(path(id, 'suspend')));
    const { result: first, events } = await rows.eventsOf(() => api.post(path(id, verb)));
    expect(new Set(events.map((event) => event.account_id))).toEqual(new Set([accountId, id]));
    expect(events).toMatchObject(Array(2).fill({ type, subject_id: id }));
    expect(events.find((event) => event.account_id === id)!.actor).toEqual({
      type: 'system',
      id: 'operator',
      ip: null,
      user_agent: null,
    });
    const before = await rows.snapshot();
    const second = await api.post(path(id, verb));
    expect([second.status, second.text]).toEqual([200, first.text]);
    expect(second.headers.get('ETag')).toBe(first.headers.get('ETag'));
    expect(await rows.snapshot()).toEqual(before);
  });

  test('50 at once suspend it once', async () => {
    const { id } = await createCustomer(server);
    const { result: answers, events } = await rows.eventsOf(() =>
      atOnce(50, () => api.post(path(id, 'suspend'))),
    );
    expect(new Set(answers.map(({ status, text }) => `${status} ${text}`)).size).toBe(1);
    expect(events.length).toBe(2);
  });
});

describe('409', () => {
  test('the operator cannot lock itself out', async () => {
    const before = await rows.snapshot();
    for (const verb of ['suspend', 'activate']) {
      const answer = await api.post(path(accountId, verb));
      expect([answer.status, answer.body.code]).toEqual([409, 'conflict']);
    }
    expect(await rows.snapshot()).toEqual(before);
  });

  test('an account that is being deleted does not come back', async () => {
    // The attack: activating an account while the job deletes its keys, to go on with what is left.
    const { id } = await createCustomer(server);
    await rows.query(`update accounts set status = 'deleting' where id = $1`, [id]);
    const answer = await api.post(path(id, 'activate'));
    expect([answer.status, answer.body.code]).toEqual([409, 'conflict']);
  });
});
