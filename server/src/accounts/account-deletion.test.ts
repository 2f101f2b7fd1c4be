import { afterAll, afterEach, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { succeeded } from '../../test/harness/test-issuer.ts';
import { createAccountDeletion } from './account-deletion.ts';

const server = await startTestServer();
const rows = await Rows.open(server.database);
const { api, accountId } = server.operator;

// A barrier that the job meets once it has deleted its first thousand keys: while somebody holds it, it waits.
const barrier = 4711;
await rows.query(`
  create function wait_after_first_batch() returns trigger language plpgsql as $$
  begin
    if exists (select from accounts where (deletion->>'deleted')::int > 0) then
      perform pg_advisory_xact_lock(${barrier});
    end if;
    return null;
  end $$`);
await rows.query(`create trigger wait_after_first_batch before delete on api_keys
  for each statement execute function wait_after_first_batch()`);

afterEach(() => rows.query('select pg_advisory_unlock_all()'));
afterAll(async () => {
  await rows.close();
  await server.close();
});

/** An account with so many keys; all but its first are made behind the API's back, for speed. */
async function customerWithKeys(count: number) {
  const customer = await createCustomer(server);
  await rows.query(
    `insert into api_keys (id, account_id, name, kind, environment, hint, digest, digest_generation, check_generation,
       scopes, created_by)
     select 'key_' || $1 || n, account_id, 'x', 'secret', 'live', 'x', sha256(convert_to($1 || n, 'utf8')),
       digest_generation, check_generation, '{}', '{}'
     from api_keys, generate_series(2, $2) n where account_id = $1`,
    [customer.id, count],
  );
  return customer;
}

const statusOf = async (id: string) => {
  const answer = await api.get(`/v1/accounts/${id}`);
  return answer.status === 200 ? answer.body.data.deletion : answer.status;
};
const eventually = (id: string) => expect.poll(() => statusOf(id), { timeout: 30_000, interval: 20 });

test('tells how far it has come, and finishes', async () => {
  const { id } = await customerWithKeys(2500);
  await rows.query('select pg_advisory_lock($1)', [barrier]);
  const answer = await api.delete(`/v1/accounts/${id}?name=Acme`);
  const { requested_at } = answer.body.data.deletion;
  // Its keys, and two events: that it was made and that it is deleted.
  expect(answer.body.data.deletion).toEqual({ requested_at, total: 2502, deleted: 0 });
  await eventually(id).toEqual({ requested_at, total: 2502, deleted: 1000 });
  // What an ETag stands for never changes under it.
  expect((await api.get(`/v1/accounts/${id}`)).headers.get('ETag')).not.toBe(answer.headers.get('ETag'));
  expect((await api.get('/v1/accounts?status=deleting')).body.data).toMatchObject([{ id }]);
  await rows.query('select pg_advisory_unlock($1)', [barrier]);
  await eventually(id).toBe(404);
  expect(await rows.query('select 1 from api_keys where account_id = $1', [id])).toEqual([]);
});

test('goes on where it was after a crash, on whichever node', async () => {
  const { id } = await customerWithKeys(1500);
  // What a node leaves behind that died after its first step.
  await rows.query(
    `update accounts set status = 'deleting', version = version + 1,
       deletion = '{"requested_at":"2026-11-21T12:00:00.000Z","total":1500,"deleted":700}' where id = $1`,
    [id],
  );
  const { database, log } = server.running.services;
  const job = createAccountDeletion(database, log);
  job.wake();
  await eventually(id).toBe(404);
  await job.close();
});

test('carried out by several nodes at once it is told once, and every key is counted once', async () => {
  const { id } = await customerWithKeys(2500);
  const { database, log } = server.running.services;
  const jobs = Array.from({ length: 4 }, () => createAccountDeletion(database, log));
  await rows.query('select pg_advisory_lock($1)', [barrier]);
  succeeded(await api.delete(`/v1/accounts/${id}?name=Acme`));
  for (const job of jobs) job.wake();
  await eventually(id).toMatchObject({ deleted: 1000 });
  await rows.query('select pg_advisory_unlock($1)', [barrier]);
  for (const job of jobs) job.wake();
  await eventually(id).toBe(404);
  for (const job of jobs) await job.close();
  const told = await rows.query(
    `select 1 from events where account_id = $1 and subject_id = $2 and type = 'account.deleted'`,
    [accountId, id],
  );
  expect(told.length).toBe(1);
});

test('an account that is not being deleted is left alone', async () => {
  const { id } = await customerWithKeys(10);
  const { database, log } = server.running.services;
  const job = createAccountDeletion(database, log);
  const doomed = await customerWithKeys(10);
  succeeded(await api.delete(`/v1/accounts/${doomed.id}?name=Acme`));
  job.wake();
  await eventually(doomed.id).toBe(404);
  await job.close();
  expect((await rows.query('select 1 from api_keys where account_id = $1', [id])).length).toBe(10);
  expect((await api.get(`/v1/accounts/${id}`)).body.data.status).toBe('active');
});

// Attack: an account fills itself with so many organizations, events or kept answers that no single statement can
// delete them before its timeout, and so can never be deleted.
test('no statement deletes more rows than one step may, whatever the account is full of', async () => {
  const { database, log } = server.running.services;
  const { id, api: own } = await customerWithKeys(25);
  const issuer = await own.create('/v1/issuers', { name: 'x' });
  await rows.query(
    `insert into organizations (id, account_id, issuer_id, name)
     select 'org_' || $1 || n, $1, $2, 'x' from generate_series(1, 30) n`,
    [id, issuer.id],
  );
  await rows.query(
    `insert into events (id, account_id, type, environment, actor, subject_type, subject_id)
     select 'evt_' || $1 || n, $1, 'api-key.created', 'live', '{}', 'api_key', 'x' from generate_series(1, 35) n`,
    [id],
  );
  await rows.query(
    `insert into idempotency_records (account_id, id, fingerprint, response, expires_at)
     select $1, sha256(n::text::bytea), '', '', now() + interval '1 day' from generate_series(1, 40) n`,
    [id],
  );
  await rows.query('create table batches (name text, size integer)');
  await rows.query(`
    create function note_batch() returns trigger language plpgsql security definer as $$
    begin
      insert into gatelodge.batches select tg_table_name, count(*) from gone;
      return null;
    end $$`);
  for (const table of ['api_keys', 'organizations', 'events', 'idempotency_records', 'issuers']) {
    await rows.query(`create trigger note_batch after delete on ${table} referencing old table as gone
      for each statement execute function note_batch()`);
  }
  // The server's own job takes larger steps: closed, it keeps off.
  await server.running.services.accountDeletion.close();
  await rows.query(
    `update accounts set status = 'deleting', version = version + 1,
       deletion = '{"requested_at":"2026-11-21T12:00:00.000Z","total":100,"deleted":0}' where id = $1`,
    [id],
  );
  const job = createAccountDeletion(database, log, 10);
  job.wake();
  await eventually(id).toBe(404);
  await job.close();
  const batches = await rows.query<{ name: string; most: number; all: number }>(
    'select name, max(size)::int as most, sum(size)::int as all from batches group by 1 order by 1',
  );
  expect(batches.map(({ name }) => name)).toEqual([
    'api_keys',
    'events',
    'idempotency_records',
    'issuers',
    'organizations',
  ]);
  for (const { name, most, all } of batches) {
    expect(most, name).toBeLessThanOrEqual(10);
    expect(all, name).toBeGreaterThanOrEqual(name === 'issuers' ? 1 : 25);
  }
});

/** What metering has made of an account, by table. */
async function meteredRows(id: string): Promise<Record<string, number>> {
  const [row] = await rows.query<Record<string, number>>(
    `select ${['usage_buckets', 'key_uses', 'metered_events', 'limit_windows']
      .map((table) => `(select count(*)::int from ${table} where account_id = $1) as ${table}`)
      .join(', ')}`,
    [id],
  );
  return row!;
}

test('what was metered of it goes too, also what a fold adds that is under way meanwhile', async () => {
  const { database, log, fold } = server.running.services;
  const { id, api: own } = await createCustomer(server);
  const verify = () => own.get('/v1/me');
  succeeded(await verify());
  await fold.catchUp();
  const metered = await meteredRows(id);
  expect(metered).toMatchObject({ key_uses: 1, metered_events: 1 });
  expect(metered.limit_windows).toBeGreaterThan(0);
  expect(metered.usage_buckets).toBeGreaterThan(0);
  // A fold that has looked at the account before it was going, and writes after the deletion has begun.
  const other = await Rows.open(server.database);
  await other.query('begin');
  await other.query(`select pg_advisory_xact_lock_shared(hashtextextended('metering', 0))`);
  await rows.query(
    `update accounts set status = 'deleting', version = version + 1,
       deletion = '{"requested_at":"2026-11-21T12:00:00.000Z","total":1,"deleted":0}' where id = $1`,
    [id],
  );
  const job = createAccountDeletion(database, log);
  job.wake();
  await expect
    .poll(() => rows.query(`select from pg_locks where locktype = 'advisory' and not granted`))
    .not.toEqual([]);
  await other.query('update usage_buckets set count = count + 1 where account_id = $1', [id]);
  await other.query(
    `insert into limit_windows (account_id, kind, subject_id, environment, name, period, window_start, used)
       values ($1, 'account', $1, 'sandbox', 'late', 'hour', 0, 1)`,
    [id],
  );
  await other.query('commit');
  await other.close();
  await eventually(id).toBe(404);
  await job.close();
  expect(new Set(Object.values(await meteredRows(id)))).toEqual(new Set([0]));
});

test('a key that is deleted leaves no last use behind', async () => {
  const { fold } = server.running.services;
  const customer = await createCustomer(server);
  const key = await customer.api.create('/v1/api-keys', {});
  succeeded(await customer.api.as({ id: key.id, secret: key.secret_plain }).get('/v1/me'));
  await fold.catchUp();
  const uses = () => rows.query('select from key_uses where key_id = $1', [key.id]);
  expect((await uses()).length).toBe(1);
  succeeded(await customer.api.delete(`/v1/api-keys/${key.id}`));
  expect(await uses()).toEqual([]);
  // Nor does a fold that comes later bring one back.
  await fold.catchUp();
  expect(await uses()).toEqual([]);
});
