import { createHash } from 'node:crypto';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { atOnce } from '../../test/harness/at-once.ts';
import { type Customer, createCustomer } from '../../test/harness/customer.ts';
import { meter } from '../../test/harness/metered-rows.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer, TestClock } from '../../test/harness/server.ts';
import { succeeded, TestIssuer, type TestKey } from '../../test/harness/test-issuer.ts';
import { giveDueNotices } from '../api-keys/notice-job.ts';
import { retireQuietKeys } from '../api-keys/quiet-job.ts';
import { tellExposure } from '../exposure/exposure-store.ts';
import { createOrganizationSweep } from './organization-sweep.ts';

/*
 * Attack: what a deleted organization has left is taken away in its own time. Meanwhile its keys are told of in events, named
 * in exports, or stand in the way of whoever brings their hashes back; or so many of them are due that those of others are not
 * looked at.
 */

const clock = new TestClock('2026-11-21T12:30:00.000Z');
const server = await startTestServer({ clock });
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { services } = server.running;
await services.organizationSweep.close();

let customer: Customer;
let issuer: TestIssuer;
let tenant: { id: string; path: string };
beforeEach(async () => {
  customer = await createCustomer(server);
  issuer = await TestIssuer.create(server, {}, {}, customer.api);
  const { id } = await issuer.createOrganization();
  tenant = { id, path: `${issuer.path}/organizations/${id}` };
});

const deleteTenant = async () => succeeded(await customer.api.delete(tenant.path));
const eventsOf = async ({ id }: { id: string }) =>
  (
    await rows.query<{ type: string }>(
      `select type from events where subject_id = $1 and type <> 'api-key.created' order by id`,
      [id],
    )
  ).map(({ type }) => type);
const isThere = async ({ id }: { id: string }) =>
  (await rows.query('select 1 from api_keys where id = $1', [id])).length === 1;

test('no notice is given of them, and those of other keys are', async () => {
  const soon = { expires_at: new Date(clock.nowMs() + 20 * 86_400_000).toISOString() };
  const [gone, kept] = [await issuer.createKey(soon, tenant.id), await issuer.createKey(soon)];
  // More than one round sees to, all of them due before the other.
  await rows.query(
    `insert into api_keys (id, account_id, issuer_id, organization_id, name, kind, environment, hint, digest,
       digest_generation, check_generation, scopes, created_by, expires_at, next_notice_at)
     select id || n, account_id, issuer_id, organization_id, name, kind, environment, hint,
       sha256(convert_to(id || n, 'utf8')), digest_generation, check_generation, scopes, created_by, expires_at,
       $2::timestamptz from api_keys, generate_series(1, 600) n where id = $1`,
    [gone.id, clock.now()],
  );
  await deleteTenant();
  clock.advance(14 * 86_400);
  let rounds = 0;
  while (await giveDueNotices(services.database, services.log, clock.now()))
    expect(++rounds, 'the job finds something to do for ever').toBeLessThan(20);
  expect(await eventsOf(kept)).toEqual(['api-key.expiring']);
  expect(await eventsOf(gone)).toEqual([]);
  const told = `select 1 from events where organization_id = $1 and type = 'api-key.expiring'`;
  expect(await rows.query(told, [tenant.id])).toEqual([]);
});

test('none is retired because it is quiet', async () => {
  const keys: TestKey[] = [await issuer.createKey({}, tenant.id), await issuer.createKey()];
  for (const key of keys)
    succeeded(
      await customer.api.post(`${key.path}/rotate`, { retire: 'when-quiet', grace_seconds: 604_800 }),
    );
  await deleteTenant();
  clock.advance(2 * 86_400);
  let rounds = 0;
  while (await retireQuietKeys(services.database, services.log, clock.now()))
    expect(++rounds, 'the job finds something to do for ever').toBeLessThan(20);
  expect(await Promise.all(keys.map(eventsOf))).toEqual([
    ['api-key.rotated'],
    ['api-key.rotated', 'api-key.retired'],
  ]);
});

test('a leak that is reported of one, before or after, is told to nobody', async () => {
  succeeded(await customer.api.patch('/v1/account', { leak_revocation_delay_seconds: 60 }));
  const [scheduled, late] = [await issuer.createKey({}, tenant.id), await issuer.createKey({}, tenant.id)];
  const report = async ({ secret }: TestKey) =>
    succeeded(await customer.api.as(null).post('/v1/keys/report-leak', { secret }));
  const waiting = async () =>
    (await rows.query('select 1 from leak_reports where due_at <= $1', [clock.now()])).length;
  await report(scheduled);
  await expect.poll(waiting, { timeout: 10_000, interval: 20 }).toBe(0);
  await deleteTenant();
  clock.advance(120);
  await report(late);
  await expect.poll(waiting, { timeout: 10_000, interval: 20 }).toBe(0);
  expect(await eventsOf(scheduled)).toEqual(['api-key.leak_reported']);
  expect(await eventsOf(late)).toEqual([]);
});

test('a note that one was seen in a browser, written after that, tells nobody', async () => {
  const [gone, kept] = [await issuer.createKey({}, tenant.id), await issuer.createKey()];
  await deleteTenant();
  for (const { id: keyId } of [gone, kept])
    await services.database.withAccount(customer.id, (tx) =>
      tellExposure(tx, { accountId: customer.id, keyId, day: '2026-11-21', data: {} }),
    );
  expect(await eventsOf(gone)).toEqual([]);
  expect(await eventsOf(kept)).toEqual(['api-key.exposed']);
});

test('outcomes of them are not taken, and exports of usage do not name them', async () => {
  const key = await issuer.createKey({ name: 'of the tenant' }, tenant.id);
  const at = new Date('2026-11-20T12:00:00Z');
  const { id: accountId, api } = customer;
  await meter(rows, [{ accountId, keyId: key.id, issuerId: issuer.id, organizationId: tenant.id, at }]);
  const exported = async () =>
    succeeded(await api.get('/v1/usage/export.csv?group_by=key&from=2026-11-20T00:00:00Z')).text;
  const report = () => api.post('/v1/usage/outcomes', { outcomes: [{ key_id: key.id, status: 200 }] });
  expect(await exported()).toContain('of the tenant');
  expect((await report()).body.data.accepted).toBe(1);
  await deleteTenant();
  // What it has used stays used.
  expect(await exported()).toContain(key.id);
  expect(await exported()).not.toContain('of the tenant');
  expect((await report()).body.data.accepted).toBe(0);
});

test('their hashes can be imported anew at once, once, elsewhere too, and while the sweep is at work', async () => {
  const { api } = customer;
  const secrets = Array.from({ length: 100 }, (_, n) => `old_${tenant.id}_${n}`);
  const keys = secrets.map((secret) => ({
    hash: createHash('sha256').update(secret).digest('hex'),
    prefix: 'old_',
  }));
  const first = succeeded(await api.post(`${tenant.path}/api-keys/import`, { keys })).body.data;
  const code = async (secret: string) => (await api.post('/v1/keys/verify', { key: secret })).body.code;
  expect(await code(secrets[0]!)).toBe('VALID');
  await deleteTenant();
  for (const secret of secrets.slice(0, 5)) expect(await code(secret)).toBe('NOT_FOUND');

  const anew = await issuer.createOrganization();
  const paths = [`${issuer.path}/organizations/${anew.id}/api-keys/import`, '/v1/api-keys/import'];
  const dry = succeeded(await api.post(paths[0]!, { keys, dry_run: true })).body.data;
  expect(dry).toMatchObject({ imported: 100, conflicts: [] });
  const sweep = createOrganizationSweep(services.database, services.log, 7);
  sweep.wake();
  const answers = await atOnce(50, (index) => api.post(paths[index % 2]!, { keys }));
  await sweep.close();
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
  expect(answers.map(({ body }) => body.data.imported).filter((imported) => imported > 0)).toEqual([100]);
  for (const secret of secrets.slice(0, 5)) expect(await code(secret)).toBe('VALID');
  for (const key of first.keys) expect(await isThere(key)).toBe(false);
});
