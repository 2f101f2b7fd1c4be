import { afterAll, afterEach, expect, test } from 'vitest';
import { patiently } from '../../test/harness/at-once.ts';
import { createCustomer } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { isSoak, scaled } from '../../test/harness/scale.ts';
import { startTestServer, type TestServer } from '../../test/harness/server.ts';
import { succeeded, TestIssuer } from '../../test/harness/test-issuer.ts';
import { createIssuerDeletion } from '../issuers/issuer-deletion.ts';
import type { Periodic } from '../jobs/periodic.ts';
import { createOrganizationSweep } from './organization-sweep.ts';

const server = await startTestServer();
const node = await startTestServer({ nodeOf: server });
const rows = await Rows.open(server.database);
// The jobs of the two nodes: closed, they keep off, so that what is tested is what stands there before they come.
await server.running.services.organizationSweep.close();
await node.running.services.organizationSweep.close();
await server.running.services.issuerDeletion.close();
await node.running.services.issuerDeletion.close();
const sweeps: Periodic[] = [];
afterEach(async () => {
  for (const sweep of sweeps.splice(0)) await sweep.close();
});
afterAll(async () => {
  await rows.close();
  await node.close();
  await server.close();
});
const { api, key: caller } = await createCustomer(server);
const elsewhere = node.operator.api.as(caller);
const issuer = await TestIssuer.create(server, {}, {}, api);

function sweepOf({ running }: TestServer, atOnce?: number): Periodic {
  const sweep = createOrganizationSweep(running.services.database, running.services.log, atOnce);
  sweeps.push(sweep);
  return sweep;
}

/** So many keys, made behind the API's back. */
async function fill(organizationId: string, count: number): Promise<void> {
  await rows.query(
    `insert into api_keys (id, account_id, issuer_id, organization_id, name, kind, environment, hint, digest,
       digest_generation, check_generation, scopes, created_by)
     select 'key_' || o.id || n, o.account_id, o.issuer_id, o.id, 'x', 'secret', 'live', 'x',
       sha256(convert_to(o.id || n, 'utf8')), k.digest_generation, k.check_generation, '{}', '{}'
     from organizations o, generate_series(1, $2::int) n, (select * from api_keys where id = $3) k where o.id = $1`,
    [organizationId, count, caller.id],
  );
}

/** An organization with a key made by the API and so many others. */
async function largeOrganization(count: number, members: Record<string, unknown> = {}) {
  const { id } = await issuer.createOrganization({ name: 'large', ...members });
  const key = await issuer.createKey({}, id);
  await fill(id, count);
  return { id, path: `${issuer.path}/organizations/${id}`, key };
}

const keysLeft = async (...ids: string[]) => {
  const [row] = await rows.query(
    'select count(*)::int as count from api_keys where organization_id = any ($1)',
    [ids],
  );
  return row!.count;
};
const departed = async (...ids: string[]) =>
  (await rows.query('select 1 from departed_organizations where id = any ($1)', [ids])).length;
const codeOf = async (secret: string, at = api) =>
  (await at.post('/v1/keys/verify', { key: secret })).body.code;

// Attack: an organization is filled with so many keys that deleting it takes longer than a request may, and its keys go on
// working for good.
test('a large organization is gone for everybody by the next request, at every node, before any of its keys is', async () => {
  const many = scaled(300, 600_000);
  await api.create('/v1/plans', { name: 'of-the-large' });
  const neighbour = await largeOrganization(0);
  const large = await largeOrganization(many, { external_id: 'large', plan: 'of-the-large' });
  const acting = await issuer.createKey();
  const own = api.as(large.key);
  for (const at of [api, elsewhere]) expect(await codeOf(large.key.secret, at)).toBe('VALID');

  const startedAt = performance.now();
  expect((await api.delete(large.path)).status).toBe(204);
  const deletedMs = performance.now() - startedAt;
  expect(await codeOf(large.key.secret)).toBe('NOT_FOUND');
  await expect.poll(() => codeOf(large.key.secret, elsewhere), { timeout: 20_000 }).toBe('NOT_FOUND');
  expect(await keysLeft(large.id)).toBe(many + 1);

  for (const at of [api, elsewhere]) {
    const keyPath = `${large.path}/api-keys/${large.key.id}`;
    const answers = [
      await at.get(large.path),
      await at.patch(large.path, { name: 'back' }),
      await at.delete(large.path),
      await at.post(`${large.path}/suspend`),
      await at.post(`${large.path}/activate`),
      await at.get(`${large.path}/api-keys`),
      await at.post(`${large.path}/api-keys`, {}),
      await at.post(`${large.path}/api-keys/import`, { keys: [{ hash: 'a'.repeat(64) }] }),
      await at.get(keyPath),
      await at.patch(keyPath, { name: 'back' }),
      await at.post(`${keyPath}/revoke`),
      await at.post(`${keyPath}/enable`),
      await at.post(`${keyPath}/rotate`, {}),
      await at.get(`${keyPath}/usage`),
      await at.delete(keyPath),
      // Nor is it any key of the levels above.
      await at.get(`/v1/api-keys/${large.key.id}`),
      await at.get(`${issuer.path}/api-keys/${large.key.id}`),
    ];
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 404));
    const listed = await at.get(`${issuer.path}/organizations?external_id=large`);
    expect(listed.body.data).toEqual([]);
    const { body } = await at.post('/v1/keys/verify', { key: acting.secret, tenant: 'large' });
    expect(body.organization ?? null).toBeNull();
    expect(await codeOf(neighbour.key.secret, at)).toBe('VALID');
  }
  for (const at of [own, elsewhere.as(large.key)]) expect((await at.get('/v1/me')).status).toBe(401);
  for (const at of [server, node])
    expect((await issuer.at(at).authorize({ 'X-API-Key': large.key.secret })).status).toBe(401);

  // Nothing is on its plan any more, and its name is free.
  succeeded(await api.delete('/v1/plans/of-the-large'));
  const anew = await issuer.createOrganization({ name: 'large', external_id: 'large' });
  const anewPath = `${issuer.path}/organizations/${anew.id}`;
  expect((await api.get(`${anewPath}/api-keys`)).body.data).toEqual([]);
  expect((await api.post('/v1/keys/verify', { key: large.key.secret, tenant: 'large' })).body.code).toBe(
    'NOT_FOUND',
  );

  const sweptFrom = performance.now();
  sweepOf(server).wake();
  await expect.poll(() => departed(large.id), { timeout: 1_200_000, interval: 20 }).toBe(0);
  expect(await keysLeft(large.id)).toBe(0);
  expect(await codeOf(neighbour.key.secret)).toBe('VALID');
  if (isSoak) {
    console.log(
      `SOAK organization with ${many} keys: DELETE answered in ${Math.round(deletedMs)} ms, ` +
        `rows swept in ${Math.round(performance.now() - sweptFrom)} ms`,
    );
  }
});

test('the sweep takes keys away in steps, also two of it at once, goes on after a crash, and leaves others alone', async () => {
  const many = 300;
  const [doomed, second, kept] = [
    await largeOrganization(many),
    await largeOrganization(many),
    await largeOrganization(many),
  ];
  await rows.query('create table batches (size integer)');
  await rows.query(`
    create function note_batch() returns trigger language plpgsql security definer as $$
    begin
      insert into gatelodge.batches select count(*) from gone;
      return null;
    end $$`);
  await rows.query(`create trigger note_batch after delete on api_keys referencing old table as gone
    for each statement execute function note_batch()`);
  for (const { path } of [doomed, second]) succeeded(await api.delete(path));

  // What a node leaves behind that dies after some steps.
  const dying = sweepOf(server, 20);
  dying.wake();
  await expect
    .poll(() => keysLeft(doomed.id, second.id), { timeout: 20_000, interval: 1 })
    .toBeLessThan(2 * (many + 1));
  await dying.close();
  expect(await departed(doomed.id, second.id)).toBeGreaterThan(0);

  for (const sweep of [sweepOf(server, 20), sweepOf(node, 20)]) sweep.wake();
  await expect.poll(() => departed(doomed.id, second.id), { timeout: 20_000, interval: 20 }).toBe(0);
  expect(await keysLeft(doomed.id, second.id)).toBe(0);
  // Each row went once, and never more than a step may take.
  const [batches] = await rows.query('select max(size)::int as most, sum(size)::int as all from batches');
  expect(batches).toEqual({ most: 20, all: 2 * (many + 1) });
  await rows.query('drop trigger note_batch on api_keys');
  expect(await keysLeft(kept.id)).toBe(many + 1);
  expect(await codeOf(kept.key.secret)).toBe('VALID');
});

// Attack: an account deletes so many organizations that nobody else's come to their turn.
test('no account’s organizations wait for all of another’s', async () => {
  const other = await createCustomer(server);
  const theirs = await TestIssuer.create(server, {}, {}, other.api);
  await rows.query(
    `insert into departed_organizations (id, account_id, issuer_id)
     select 'org_0' || n, account_id, id from issuers, generate_series(1, 500) n where id = $1`,
    [issuer.id],
  );
  const { id } = await theirs.createOrganization();
  succeeded(await other.api.delete(`${theirs.path}/organizations/${id}`));
  const due = await rows.query<{ id: string; account_id: string }>(
    'select * from lookup_departed_organizations_v2(100, 20)',
  );
  expect(due.filter((each) => each.account_id === other.id)).toMatchObject([{ id }]);
  expect(due.length).toBe(21);
  await rows.query(`delete from departed_organizations where id like 'org_0%'`);
});

test('of 50 keys made at the moment their organization is deleted none stays', async () => {
  for (let round = 0; round < scaled(2, 20); round++) {
    const { id } = await issuer.createOrganization();
    const path = `${issuer.path}/organizations/${id}`;
    const [deleted, ...made] = await Promise.all([
      patiently(() => elsewhere.delete(path)),
      ...Array.from({ length: 50 }, () => patiently(() => api.post(`${path}/api-keys`, {}))),
    ]);
    expect(deleted.status).toBe(204);
    for (const { status, body } of made) {
      expect([201, 404]).toContain(status);
      if (status === 201)
        await expect.poll(() => codeOf(body.data.secret_plain), { timeout: 5_000 }).toBe('NOT_FOUND');
    }
    sweepOf(server).wake();
    await expect.poll(() => departed(id), { timeout: 20_000, interval: 20 }).toBe(0);
    expect(await keysLeft(id)).toBe(0);
  }
});

test('a statement that makes a key in no organization, or in one of another issuer, makes none', async () => {
  const other = await TestIssuer.create(server, {}, {}, api);
  const { id } = await other.createOrganization();
  const { key } = await largeOrganization(0);
  for (const organization of ['org_0000000000000000000000000', id]) {
    const update = rows.query('update api_keys set organization_id = $1 where id = $2', [
      organization,
      key.id,
    ]);
    await expect(update).rejects.toMatchObject({ code: '23503', constraint: 'api_keys_organization' });
  }
});

// A node of the build before this one deletes the organization as it does, and its sweep knows of no keys.
test('nodes of the build before this one leave the keys to those that know of them', async () => {
  const large = await largeOrganization(10);
  await rows.query(
    `with gone as (delete from organizations where id = $1 returning id, account_id, issuer_id)
     insert into departed_organizations (id, account_id, issuer_id) select * from gone`,
    [large.id],
  );
  const told = async () =>
    (await rows.query<{ id: string }>('select id from lookup_departed_organizations(100)')).map(
      ({ id }) => id,
    );
  expect(await told()).not.toContain(large.id);
  const asked = [];
  for (const name of ['lookup_api_key', 'lookup_api_key_v2', 'lookup_api_key_v3'])
    asked.push(
      await rows.query(`select id from ${name}((select digest from api_keys where id = $1))`, [large.key.id]),
    );
  expect(asked).toEqual([[], [], []]);
  await rows.query('delete from api_keys where organization_id = $1', [large.id]);
  expect(await told()).toContain(large.id);
  sweepOf(server).wake();
  await expect.poll(() => departed(large.id), { timeout: 20_000, interval: 20 }).toBe(0);
});

test('what is left goes with its issuer and with its account', async () => {
  const customer = await createCustomer(server);
  const own = await TestIssuer.create(server, {}, {}, customer.api);
  const gone = [await own.createOrganization(), await own.createOrganization()];
  for (const { id } of gone) {
    await own.createKey({}, id);
    await fill(id, 10);
  }
  const second = await TestIssuer.create(server, {}, {}, customer.api);
  const { id } = await second.createOrganization();
  await second.createKey({}, id);
  const organizations = gone.map((organization) => `${own.path}/organizations/${organization.id}`);
  for (const path of [...organizations, `${second.path}/organizations/${id}`])
    succeeded(await customer.api.delete(path));

  succeeded(await customer.api.delete(own.path));
  const job = createIssuerDeletion(server.running.services.database, server.running.services.log);
  sweeps.push(job);
  job.wake();
  await expect.poll(() => keysLeft(...gone.map((each) => each.id)), { timeout: 20_000 }).toBe(0);
  expect(await keysLeft(id)).toBe(1);

  const query = new URLSearchParams({ name: 'Acme', force: 'true' });
  succeeded(await server.operator.api.delete(`/v1/accounts/${customer.id}?${query}`));
  await expect.poll(() => keysLeft(id), { timeout: 20_000 }).toBe(0);
  expect(await departed(id, ...gone.map((each) => each.id))).toBe(0);
});
