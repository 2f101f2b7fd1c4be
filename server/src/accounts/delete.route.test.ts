import { afterAll, describe, expect, test } from 'vitest';
import { atOnce } from '../../test/harness/at-once.ts';
import { type Customer, createCustomer } from '../../test/harness/customer.ts';
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

const remove = ({ id }: { id: string }, query = 'name=Acme') => api.delete(`/v1/accounts/${id}?${query}`);

async function isGone({ id }: { id: string }): Promise<void> {
  await expect
    .poll(async () => (await api.get(`/v1/accounts/${id}`)).status, { timeout: 20_000, interval: 20 })
    .toBe(404);
}

/** An account with something in every table. */
async function filledCustomer(): Promise<Customer> {
  const customer = await createCustomer(server);
  const issuer = await customer.api.create('/v1/issuers', { name: 'x' });
  const organization = await customer.api.create(`/v1/issuers/${issuer.id}/organizations`, { name: 'x' });
  await createKey(customer.api, `/v1/issuers/${issuer.id}/organizations/${organization.id}/api-keys`);
  succeeded(await customer.api.post(`/v1/issuers/${issuer.id}/sandbox-issuer`));
  succeeded(await customer.api.post('/v1/api-keys', {}, { 'Idempotency-Key': 'x' }));
  return customer;
}

describe('202', () => {
  test('its keys are refused at once, and all that it held is gone in the end', async () => {
    const customer = await filledCustomer();
    const other = await filledCustomer();
    expect((await customer.api.get('/v1/account')).status).toBe(200);

    const answer = await remove(customer, 'name=Acme&force=true');
    expect(answer.status).toBe(202);
    expect(answer.body.data).toMatchObject({
      id: customer.id,
      status: 'deleting',
      deletion: { total: expect.any(Number), deleted: 0, requested_at: expect.stringMatching(/\.\d{3}Z$/) },
    });
    expect((await customer.api.get('/v1/account')).status).not.toBe(200);

    await isGone(customer);
    const after = await customer.api.get('/v1/account');
    expect([after.status, after.body.code]).toEqual([401, 'invalid_key']);
    for (const table of [
      'account_members',
      'issuers',
      'key_profiles',
      'organizations',
      'api_keys',
      'events',
      'idempotency_records',
    ]) {
      const left = await rows.query(`select 1 from ${table} where account_id = $1`, [customer.id]);
      expect([table, left.length]).toEqual([table, 0]);
      const others = await rows.query(`select 1 from ${table} where account_id = $1`, [other.id]);
      expect([table, others.length > 0]).toEqual([table, true]);
    }
    expect((await other.api.get('/v1/account')).status).toBe(200);
  });

  test('the operator’s trail tells that it was asked for, by whom, and that it is done', async () => {
    const customer = await createCustomer(server);
    succeeded(await remove(customer));
    await isGone(customer);
    const trail = (await api.get('/v1/events')).body.data.filter(
      ({ subject }: { subject: { id: string } }) => subject.id === customer.id,
    );
    expect(trail).toMatchObject([
      { type: 'account.deleted', actor: { type: 'system', id: 'account-deletion' }, data: { name: 'Acme' } },
      { type: 'account.deletion_requested', actor: { type: 'api_key', id: server.operator.key.id } },
      { type: 'account.created' },
    ]);
  });

  test('asked for twice it is one deletion', async () => {
    const customer = await createCustomer(server);
    const { events } = await rows.eventsOf(async () => {
      const answers = await atOnce(10, () => remove(customer));
      for (const { status } of answers) expect([202, 404]).toContain(status);
      await isGone(customer);
    });
    const told = events.filter(({ account_id }) => account_id === accountId).map(({ type }) => type);
    expect(told.sort()).toEqual(['account.deleted', 'account.deletion_requested']);
  });

  test('an account made anew under the same name inherits nothing', async () => {
    const first = await filledCustomer();
    succeeded(await remove(first, 'name=Acme&force=true'));
    await isGone(first);
    const second = await createCustomer(server);
    expect(second.id).not.toBe(first.id);
    expect((await second.api.get('/v1/issuers')).body.data).toEqual([]);
    expect((await second.api.get('/v1/api-keys')).body.data.length).toBe(1);
    expect((await second.api.get('/v1/events')).body.data.length).toBe(1);
    expect((await first.api.get('/v1/account')).status).toBe(401);
  });
});

describe('409', () => {
  test('while live issuers are active, unless forced', async () => {
    const customer = await createCustomer(server);
    const live = await customer.api.create('/v1/issuers', { name: 'x' });
    const before = await rows.snapshot();
    for (const query of ['name=Acme', 'name=Acme&force=false']) {
      const answer = await remove(customer, query);
      expect([answer.status, answer.body.code]).toEqual([409, 'issuers_still_live']);
    }
    expect(await rows.snapshot()).toEqual(before);
    expect((await customer.api.get('/v1/account')).status).toBe(200);

    succeeded(await customer.api.post(`/v1/issuers/${live.id}/suspend`));
    await customer.api.create('/v1/issuers', { name: 'x', environment: 'sandbox' });
    expect((await remove(customer)).status).toBe(202);
    await isGone(customer);
  });

  test('for the operator’s own account', async () => {
    const before = await rows.snapshot();
    const answer = await remove({ id: accountId }, 'name=Operator&force=true');
    expect([answer.status, answer.body.code]).toEqual([409, 'conflict']);
    expect(await rows.snapshot()).toEqual(before);
  });
});

describe('422', () => {
  test.each([
    ['', 'query.name', 'required'],
    ['force=true', 'query.name', 'required'],
    ['name=acme', 'query.name', 'name_mismatch'],
    ['name=Acme%20', 'query.name', 'name_mismatch'],
    ['name=Acm', 'query.name', 'name_mismatch'],
    ['name=Acme&force=yes', 'query.force', 'invalid_value'],
    ['name=Acme&force', 'query.force', 'invalid_value'],
  ])('?%s is refused at %s and deletes nothing', async (query, path, code) => {
    const customer = await createCustomer(server);
    const before = await rows.snapshot();
    const answer = await remove(customer, query);
    expect(answer.status).toBe(422);
    expect(answer.body.errors).toContainEqual(expect.objectContaining({ path, code }));
    expect(await rows.snapshot()).toEqual(before);
  });
});
