import { sql } from 'kysely';
import { afterAll, describe, expect, test } from 'vitest';
import { createCustomer } from '../../test/harness/customer.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { TestIssuer } from '../../test/harness/test-issuer.ts';
import { createAccountDeletion } from '../accounts/account-deletion.ts';
import { leftByAccounts } from '../accounts/account-rows.ts';
import { createIssuerDeletion, leftByIssuers } from '../issuers/issuer-deletion.ts';

const server = await startTestServer();
const rows = await Rows.open(server.database);
afterAll(async () => {
  await rows.close();
  await server.close();
});
const { database, log, issuerDeletion, accountDeletion } = server.running.services;
// The server's own jobs take larger steps: closed, they keep off.
await issuerDeletion.close();
await accountDeletion.close();

const many = 45;
const atOnce = 20;

/** By type, what is another value for each `n`, and of the right kind for the rest. */
const values: Record<string, string> = {
  text: `$3 || n`,
  bytea: 'sha256(convert_to($3 || n, $$utf8$$))',
  integer: 'n',
  smallint: 'n',
  bigint: 'n',
  boolean: 'true',
  jsonb: `'{}'`,
  // Later than any job would forget it, or take it for due.
  'timestamp with time zone': `'2100-01-01'`,
  date: `'2100-01-01'`,
  'text[]': `'{}'`,
  'timestamp with time zone[]': `'{}'`,
};

/** Fills a table with rows that say nothing but whose they are. */
async function fill(table: string, owner: { accountId: string; issuerId: string }): Promise<void> {
  const columns = await rows.query<{ name: string; type: string; has_default: boolean; required: boolean }>(
    `select attname as name, format_type(atttypid, null) as type, atthasdef as has_default, attnotnull as required
     from pg_attribute where attrelid = $1::regclass and attnum > 0 and not attisdropped and attgenerated = ''`,
    [`gatelodge.${table}`],
  );
  const filled = columns
    .filter(
      (column) =>
        ['account_id', 'issuer_id'].includes(column.name) || (column.required && !column.has_default),
    )
    .map(({ name, type }) => {
      if (name === 'account_id') return [name, '$1'];
      if (name === 'issuer_id') return [name, '$2'];
      return [name, values[type] ?? 'null'];
    });
  const names = filled.map(([name]) => name);
  const selected = filled.map(([, value]) => value);
  await rows.query(
    `insert into ${table} (${names.join(', ')})
     select ${selected.join(', ')} from generate_series(1, ${many}) n, (select $1::text, $2::text, $3::text) used`,
    [owner.accountId, owner.issuerId, `${table} ${owner.issuerId} `],
  );
}

/** Without what keeps rows of no sense out, for the rest of this file's database. */
async function takeAnything(): Promise<void> {
  await rows.query(`do $$
    declare
      checked record;
    begin
      for checked in select conrelid::regclass as name, conname from pg_constraint
        where contype = 'c' and connamespace = 'gatelodge'::regnamespace and conrelid <> 0
      loop
        execute format('alter table %s drop constraint %I', checked.name, checked.conname);
      end loop;
    end $$`);
  await rows.query('set session_replication_role = replica');
}

/** Which tables hold something of an account or an issuer, by the catalog. */
async function tablesWith(column: 'account_id' | 'issuer_id', value: string): Promise<string[]> {
  const tables = await rows.query<{ name: string }>(
    `select c.table_name as name from information_schema.columns c
     join information_schema.tables t using (table_schema, table_name)
     where c.table_schema = 'gatelodge' and c.column_name = $1 and t.table_type = 'BASE TABLE' order by 1`,
    [column],
  );
  const found: string[] = [];
  for (const { name } of tables)
    if ((await rows.query(`select from ${name} where ${column} = $1 limit 1`, [value])).length > 0)
      found.push(name);
  return found;
}

const { id: accountId, api } = await createCustomer(server);

// Where no index has the order, every step sorts all that is left; without one, it may read all that is gone as well.
describe('what is deleted in steps is found in the order of an index', () => {
  const isOfAccount = sql`account_id = ${accountId}`;
  const isOfIssuer = sql`account_id = ${accountId} and issuer_id = 'i_x'`;
  test.each([
    ...leftByAccounts.map(([table, order]) => ({ of: 'an account', table, order, matches: isOfAccount })),
    ...leftByIssuers.map(([table, order]) => ({ of: 'an issuer', table, order, matches: isOfIssuer })),
  ])('$table of $of', async ({ table, order, matches }) => {
    const plan = await database.withAccount(accountId, async (tx) => {
      for (const way of ['seqscan', 'bitmapscan', 'sort'])
        await sql`select set_config(${`enable_${way}`}, 'off', true)`.execute(tx);
      const explained = await sql<{ 'QUERY PLAN': string }>`
        explain select ctid from ${sql.table(table)} where ${matches} order by ${order} limit 1000`.execute(
        tx,
      );
      return explained.rows.map((row) => row['QUERY PLAN']).join('\n');
    });
    expect(plan).toContain('Index Cond');
    expect(plan).not.toContain('Sort');
  });
});

test('an issuer and an account leave nothing in any table, and take nothing of others', async () => {
  const made = async () => {
    const issuer = await TestIssuer.create(server, {}, {}, api);
    return { accountId, issuerId: issuer.id };
  };
  const [doomed, kept] = [await made(), await made()];
  const other = await createCustomer(server);
  const others = { accountId: other.id, issuerId: (await TestIssuer.create(server, {}, {}, other.api)).id };
  await takeAnything();
  for (const [table] of leftByIssuers) for (const owner of [doomed, kept, others]) await fill(table, owner);
  const full = await tablesWith('issuer_id', kept.issuerId);
  expect(full).toEqual(expect.arrayContaining(leftByIssuers.map(([table]) => table)));

  await rows.query('update issuers set deleting = true where id = $1', [doomed.issuerId]);
  const ofIssuers = createIssuerDeletion(database, log, atOnce);
  ofIssuers.wake();
  const isThere = () => rows.query('select from issuers where id = $1', [doomed.issuerId]);
  await expect.poll(isThere, { timeout: 20_000, interval: 20 }).toEqual([]);
  await ofIssuers.close();
  // The trail stays, and what it was keyed by.
  const trail = ['events', 'signing_keys'];
  expect((await tablesWith('issuer_id', doomed.issuerId)).filter((name) => !trail.includes(name))).toEqual(
    [],
  );
  expect(await tablesWith('issuer_id', kept.issuerId)).toEqual(full);

  const onlyOfAccounts = leftByAccounts.filter(([table]) => !leftByIssuers.some(([each]) => each === table));
  for (const [table] of onlyOfAccounts)
    if (table !== 'issuers' && table !== 'signing_keys') await fill(table, kept);
  await rows.query(
    `update accounts set status = 'deleting',
       deletion = '{"requested_at":"2026-11-21T12:00:00.000Z","total":1,"deleted":0}' where id = $1`,
    [accountId],
  );
  const ofAccounts = createAccountDeletion(database, log, atOnce);
  ofAccounts.wake();
  const account = () => rows.query('select from accounts where id = $1', [accountId]);
  await expect.poll(account, { timeout: 30_000, interval: 20 }).toEqual([]);
  await ofAccounts.close();
  expect(await tablesWith('account_id', accountId)).toEqual([]);
  expect(await tablesWith('issuer_id', others.issuerId)).toEqual(full);
});
