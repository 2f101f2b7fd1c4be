import { afterAll, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';
import { createIssuerDeletion } from './issuer-deletion.ts';

const server = await startTestServer();
const node = await startTestServer({ nodeOf: server });
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await node.close();
  await server.close();
});
const { api, key: caller } = await createCustomer(server);
const elsewhere = node.operator.api.as(caller);
// The jobs of the two nodes: closed, they keep off, so that what is tested is what stands there before they come.
await server.running.services.issuerDeletion.close();
await node.running.services.issuerDeletion.close();

const many = 300;

/** An issuer with a twin, keys at both levels and so many organizations, most of them made behind the API's back. */
async function largeIssuer() {
  const issuer = await TestIssuer.create(server, {}, { name: 'large' }, api);
  const organization = await issuer.createOrganization({ external_id: 'tenant_1' });
  const { id } = await api.create(`${issuer.path}/sandbox-issuer`, undefined);
  const twin = new TestIssuer(server.url, api, id);
  await rows.query(
    `insert into organizations (id, account_id, issuer_id, name)
     select 'org_' || $2 || n, account_id, $2, 'x' from issuers, generate_series(2, $3) n where id = $1`,
    [issuer.id, issuer.id, many],
  );
  const keys = [
    await issuer.createKey(),
    await issuer.createKey({}, organization.id),
    await issuer.createKey({ kind: 'publishable' }),
    await twin.createKey(),
  ];
  return { issuer, twin, organization, keys };
}

const left = async (...ids: string[]) => {
  const [row] = await rows.query(
    `select (select count(*)::int from issuers where id = any ($1)) as issuers,
       (select count(*)::int from organizations where issuer_id = any ($1)) as organizations,
       (select count(*)::int from api_keys where issuer_id = any ($1)) as keys`,
    [ids],
  );
  return row;
};

// Attack: an issuer is filled with so many organizations that deleting it takes longer than a request may, and its
// keys go on working for good.
test('a large issuer is gone for everybody by the next request, at every node, before any of its rows is', async () => {
  const { issuer, twin, organization, keys } = await largeIssuer();
  const codes = async (at: typeof api) =>
    Promise.all(
      keys.map(async ({ secret }) => (await at.post('/v1/keys/verify', { key: secret })).body.code),
    );
  const valid = keys.map(() => 'VALID');
  expect([await codes(api), await codes(elsewhere)]).toEqual([valid, valid]);

  expect((await api.delete(issuer.path)).status).toBe(204);
  expect(await codes(api)).toEqual(keys.map(() => 'NOT_FOUND'));
  await expect.poll(() => codes(elsewhere), { timeout: 20_000 }).toEqual(keys.map(() => 'NOT_FOUND'));
  expect(await left(issuer.id, twin.id)).toEqual({ issuers: 2, organizations: many, keys: 4 });

  for (const at of [api, elsewhere]) {
    for (const { path } of [issuer, twin]) {
      const answers = [
        await at.get(path),
        await at.patch(path, { name: 'back' }),
        await at.delete(path),
        await at.post(`${path}/suspend`),
        await at.post(`${path}/activate`),
        await at.post(`${path}/sandbox-issuer`),
        await at.get(`${path}/key-profile`),
        await at.put(`${path}/key-profile`, {}),
        await at.get(`${path}/api-keys`),
        await at.post(`${path}/api-keys`, {}),
        await at.get(`${path}/api-keys/${keys[0]!.id}`),
        await at.get(`${path}/organizations`),
        await at.post(`${path}/organizations`, { name: 'x' }),
        await at.get(`${path}/organizations/${organization.id}`),
        await at.patch(`${path}/organizations/${organization.id}`, { name: 'x' }),
        await at.post(`${path}/organizations/${organization.id}/suspend`),
        await at.delete(`${path}/organizations/${organization.id}`),
        await at.get(`${path}/organizations/${organization.id}/api-keys`),
        await at.post(`${path}/organizations/${organization.id}/api-keys/${keys[1]!.id}/revoke`),
      ];
      expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 404));
    }
    expect((await at.get('/v1/issuers')).body.data).toEqual([]);
  }
  for (const { secret } of keys) {
    expect((await issuer.authorize({ 'X-API-Key': secret })).status).not.toBe(200);
    expect((await twin.authorize({ 'X-API-Key': secret })).status).not.toBe(200);
  }

  const again = await TestIssuer.create(server, {}, { name: 'large' }, api);
  succeeded(await api.post(`${again.path}/sandbox-issuer`));
  expect((await again.createOrganization({ external_id: 'tenant_1' })).external_id).toBe('tenant_1');
  succeeded(await api.delete(again.path));
});

test('the job takes the rows away in steps, also two of it at once, and leaves other issuers alone', async () => {
  const { issuer, twin } = await largeIssuer();
  const other = await largeIssuer();
  await rows.query('create table batches (size integer)');
  await rows.query(`
    create function note_batch() returns trigger language plpgsql security definer as $$
    begin
      insert into gatelodge.batches select count(*) from gone;
      return null;
    end $$`);
  for (const table of ['api_keys', 'organizations']) {
    await rows.query(`create trigger note_batch after delete on ${table} referencing old table as gone
      for each statement execute function note_batch()`);
  }
  succeeded(await api.delete(issuer.path));
  const jobs = [server, node].map(({ running }) =>
    createIssuerDeletion(running.services.database, running.services.log, 20),
  );
  for (const job of jobs) job.wake();
  await expect
    .poll(() => left(issuer.id, twin.id), { timeout: 20_000, interval: 20 })
    .toEqual({ issuers: 0, organizations: 0, keys: 0 });
  for (const job of jobs) await job.close();
  const [batches] = await rows.query('select max(size)::int as most from batches');
  expect(batches).toEqual({ most: 20 });
  expect(await left(other.issuer.id, other.twin.id)).toEqual({ issuers: 2, organizations: many, keys: 4 });
  expect((await api.get(other.issuer.path)).status).toBe(200);
});

test('an account with deleted issuers that are still there counts them as gone, and goes with them', async () => {
  const customer = await createCustomer(server);
  const issuer = await TestIssuer.create(server, {}, {}, customer.api);
  await issuer.createOrganization();
  succeeded(await customer.api.delete(issuer.path));
  const path = `/v1/accounts/${customer.id}`;
  // No live issuer is left, so nothing has to be forced.
  expect((await server.operator.api.delete(`${path}?name=Acme`)).status).toBe(202);
  await expect
    .poll(async () => (await server.operator.api.get(path)).status, { timeout: 20_000, interval: 20 })
    .toBe(404);
  expect(await left(issuer.id)).toEqual({ issuers: 0, organizations: 0, keys: 0 });
});
