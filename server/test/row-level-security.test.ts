import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { idPrefixes, newId } from '../src/ids/ids.ts';
import { Rows } from './harness/rows.ts';
import { scaled } from './harness/scale.ts';
import { startTestServer, type TestServer } from './harness/server.ts';
import { createTenant, type Tenant } from './harness/tenant.ts';

/*
 * Attack: whatever gets a statement of its own choosing into the service's connection (an injection, a forgotten
 * `where`, a transaction that was never ended) reads or changes the rows of other accounts.
 *
 * What the tables, roles and functions are is read from the catalog, so one that is added later is held to the same.
 */

/** Tables that belong to the installation and to no account. Each new one has to be put here on purpose. */
const tablesOfNobody = [
  'installation',
  'installation_secrets',
  'leak_reports',
  'ledger_segments',
  'otp_mail_caps',
  'schema_migrations',
];

/** Everything that may see across accounts: SECURITY DEFINER functions, by name and arguments. */
const lookups = [
  'claim_logout_notices(moment timestamp with time zone, lease_end timestamp with time zone, most integer)',
  'claim_logout_notices_v2(moment timestamp with time zone, lease_end timestamp with time zone, most integer, most_each integer)',
  'claim_logout_notices_v3(moment timestamp with time zone, lease_end timestamp with time zone, most integer, most_each integer, under_way text[])',
  'claim_mails(moment timestamp with time zone, lease_end timestamp with time zone, most integer)',
  'claim_mails_v2(moment timestamp with time zone, lease_end timestamp with time zone, most integer, most_each integer, under_way text[], after_account text)',
  'expire_idempotency_records(most integer)',
  'fold_ledger(wanted_segment text, of_data_directory text, made_at timestamp with time zone, is_new boolean, expected bigint, reached bigint, finished boolean, lost bigint, moment timestamp with time zone, u_hour bigint, u_account text, u_level text, u_subject text, u_environment text, u_issuer text, u_organization text, u_code text, u_management text, u_count text, u_cost text, k_account text, k_key text, k_used text, e_id text, e_account text, e_key text, e_issuer text, e_environment text, e_code text, e_first text, e_last text, e_count text, w_account text, w_kind text, w_subject text, w_environment text, w_name text, w_period text, w_start text, w_used text)',
  'forget_events(deleting_account text, most integer)',
  'hold_account_plan(wanted text)',
  'lookup_account_plan(wanted text)',
  'lookup_accounts(operator_account text)',
  'lookup_accounts_on_plan(wanted text)',
  'lookup_accounts_with_notices(moment timestamp with time zone, most integer)',
  'lookup_accounts_with_past_oidc_records(before timestamp with time zone, most integer)',
  'lookup_accounts_with_past_sessions(sessions_before timestamp with time zone, tokens_before timestamp with time zone, most integer)',
  'lookup_accounts_with_quiet_keys(moment timestamp with time zone, quiet_since timestamp with time zone, most integer)',
  'lookup_api_key(wanted bytea)',
  'lookup_api_key_v2(wanted bytea)',
  'lookup_api_key_v3(wanted bytea)',
  'lookup_client(wanted_issuer text, wanted text)',
  'lookup_client_session(wanted_issuer text, wanted text, token_digests bytea[])',
  'lookup_client_session_v2(wanted_issuer text, wanted text, token_digests bytea[])',
  'lookup_client_session_v3(wanted_issuer text, wanted text, token_digests bytea[])',
  'lookup_client_v2(wanted_issuer text, wanted text)',
  'lookup_deleting_accounts()',
  'lookup_deleting_clients(most integer)',
  'lookup_deleting_issuers()',
  'lookup_departed_groups(most integer, most_each integer)',
  'lookup_departed_organizations(most integer)',
  'lookup_departed_organizations_v2(most integer, most_each integer)',
  'lookup_import_batch(batch text)',
  'lookup_imported_digests(after bytea, most integer)',
  'lookup_issuer(wanted text)',
  'lookup_issuer_v2(wanted text)',
  'lookup_issuers_without_signing_key(most integer)',
  'lookup_keys_of_generation(wanted_purpose text, wanted_generation integer)',
  'lookup_limit_windows(now_seconds bigint, after_account text, after_kind text, after_subject text, after_environment text, after_name text, after_period text, most integer)',
  'lookup_mails_of_generation(wanted_purpose text, wanted_generation integer)',
  'lookup_oidc_of_generation(wanted_purpose text, wanted_generation integer)',
  'lookup_oidc_record(wanted_issuer text, wanted_model text, digests bytea[], wanted_login text, user_codes bytea[])',
  'lookup_oidc_record_v2(wanted_issuer text, wanted_model text, digests bytea[], wanted_login text, user_codes bytea[])',
  'lookup_oidc_settings(wanted_issuer text)',
  'lookup_oidc_user(wanted_issuer text, wanted text, wanted_client text)',
  'lookup_oidc_user_v2(wanted_issuer text, wanted text, wanted_client text)',
  'lookup_operator_account()',
  'lookup_organization(wanted_issuer text, wanted text)',
  'lookup_organization_v2(wanted_issuer text, wanted text)',
  'lookup_origin_of_issuer(wanted_issuer text, wanted text[])',
  'lookup_refresh_token(wanted bytea)',
  'lookup_revoked_token(wanted_issuer text, token_digests bytea[])',
  'lookup_session(wanted_issuer text, wanted text)',
  'lookup_signing_key_work(moment timestamp with time zone, due_before timestamp with time zone, most integer)',
  'lookup_signing_keys(wanted_account text, wanted_issuer text)',
  'lookup_statement_accounts(operator_account text, month_start timestamp with time zone, month_end timestamp with time zone, up_to text, most integer)',
  'lookup_support_grant(operator_account text, wanted_account text, moment timestamp with time zone)',
  'lookup_user_organizations(wanted_account text, wanted_issuer text, wanted_user text, wanted_organization text, most_bytes integer)',
  'lookup_users_with_ending_sessions(most integer)',
  'lookup_waiting_mails(moment timestamp with time zone)',
  'report_outcomes(keys text[], issuers text[], organizations text[], environments text[], hours timestamp with time zone[], reported bigint[], errors bigint[], timed bigint[], latencies_ms bigint[])',
  'settle_login_budgets(of_account text, of_issuer text, of_address bytea, of_key bytea, of_ip bytea, moment timestamp with time zone)',
  'sweep_hour_buckets(before timestamp with time zone, after_account text, accounts integer, most integer)',
  'sweep_limit_windows(now_seconds bigint, first_block bigint, blocks bigint)',
  'sweep_mails(kept_since timestamp with time zone, most integer)',
  'sweep_metered_events(before timestamp with time zone, most integer)',
  'sweep_otp(moment timestamp with time zone, most integer)',
  'take_login_budgets(of_account text, of_issuer text, of_address bytea, of_key bytea, of_ip bytea, devices bytea[], moment timestamp with time zone, spacing interval, address_limit integer, public_limit integer, key_limit integer, ip_limit integer)',
  'take_login_budgets_v2(of_account text, of_issuer text, of_address bytea, of_key bytea, of_ip bytea, devices bytea[], moment timestamp with time zone, spacing interval, address_limit integer, public_limit integer, key_limit integer, public_key_limit integer, ip_limit integer)',
  'take_login_budgets_v3(of_account text, of_issuer text, of_address bytea, of_key bytea, of_ip bytea, devices bytea[], moment timestamp with time zone, spacing interval, address_limit integer, public_limit integer, key_limit integer, public_key_limit integer, ip_limit integer, crowded_from integer, crowded_ip_limit integer)',
  'take_mail_cap(of_issuer text, of_address bytea, of_all bytea, is_wanted boolean, moment timestamp with time zone, cap_limit integer)',
  'take_otp_guess(of_account text, of_issuer text, of_address bytea, devices bytea[], moment timestamp with time zone, code_limit integer, usual_lifetime interval, hour_limit integer, day_limit integer, public_hour_limit integer, public_day_limit integer)',
  'take_otp_guess_v2(of_account text, of_issuer text, of_address bytea, of_ip bytea, devices bytea[], moment timestamp with time zone, code_limit integer, usual_lifetime interval, longest_lifetime interval, hour_limit integer, day_limit integer, public_hour_limit integer, public_day_limit integer, ip_limit integer, public_ip_limit integer)',
];

let server: TestServer;
let rows: Rows;
let app: pg.Client;
let ours: Tenant;
let theirs: Tenant;
let tables: { name: string; column: string }[];
beforeAll(async () => {
  // Two connections for everybody, so that accounts take turns on them.
  server = await startTestServer({ env: { GATELODGE_DATABASE_POOL: '2' } });
  rows = await Rows.open(server.database);
  [ours, theirs] = [await createTenant(server, 'ours'), await createTenant(server, 'theirs')];
  for (const tenant of [ours, theirs]) {
    await tenant.api.post('/v1/api-keys', {}, { 'Idempotency-Key': 'row-level-security' });
    await tenant.api.create(`/v1/issuers/${tenant.issuer.id}/api-keys`, {
      restrictions: { origins: ['https://row.example'] },
    });
    await meter(tenant);
  }
  app = new pg.Client({ connectionString: server.database.appUrl });
  app.on('error', () => {});
  await app.connect();
  // As the server's own pool does, by its startup options.
  await app.query('set role gatelodge_app; set search_path = gatelodge');
  tables = await rows.query(
    `select c.relname as name, case c.relname when 'accounts' then 'id' else 'account_id' end as column
       from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where n.nspname = 'gatelodge' and c.relkind in ('r', 'p') and not c.relispartition
        and (c.relname = 'accounts' or exists (
          select from pg_attribute a where a.attrelid = c.oid and a.attname = 'account_id' and not a.attisdropped))
      order by 1`,
  );
});
afterAll(async () => {
  await app.end();
  await rows.close();
  await server.close();
});

function writtenByFunctions(table: string) {
  return ['DELETE', 'INSERT', 'UPDATE'].map((privilege) => ({ table, privilege }));
}

/** A row of each table that only the ledger writes, a plan, and a mail. */
async function meter({ accountId, issuer }: Tenant): Promise<void> {
  const key = `key_of_${accountId}`;
  for (const sql of [
    `insert into plans (account_id, name) values ($1, 'row-level-security')`,
    `insert into usage_buckets (account_id, level, subject_id, grain, start_at, environment, code)
      values ($1, 'account', $1, 'hour', date_trunc('hour', now()), 'live', 'VALID')`,
    `insert into limit_windows (account_id, kind, subject_id, environment, name, period, window_start, used)
      values ($1, 'account', $1, 'live', 'hour', 'hour', 0, 1)`,
  ])
    await rows.query(sql, [accountId]);
  for (const sql of [
    `insert into otp_addresses (account_id, issuer_id, address, kept_until) values ($1, $2, decode(md5($2), 'hex'), now())`,
    `insert into otp_failures (account_id, issuer_id, slot, part, count) values ($1, $2, now(), 0, 1)`,
    `insert into login_budgets (account_id, kind, subject, kept_until) values ($1, 'ip', decode(md5($2), 'hex'), now())`,
    `insert into otp_devices (digest, account_id, issuer_id, user_id, address, created_at, expires_at)
      select decode(md5(id), 'hex'), $1, $2, id, 'x', now(), now() from users where account_id = $1 and issuer_id = $2 limit 1`,
  ])
    await rows.query(sql, [accountId, issuer.id]);
  await rows.query(`insert into departed_organizations (id, account_id, issuer_id) values ($1, $2, $3)`, [
    `org_gone_of_${accountId}`,
    accountId,
    issuer.id,
  ]);
  await rows.query(
    `insert into departed_groups (id, account_id, issuer_id, organization_id) values ($1, $2, $3, 'org_gone')`,
    [`grp_gone_of_${accountId}`, accountId, issuer.id],
  );
  await rows.query(`insert into key_uses (key_id, account_id, last_used_at) values ($1, $2, now())`, [
    key,
    accountId,
  ]);
  await rows.query(
    `insert into metered_events (id, account_id, type, created_at, last_at, issuer_id, environment, key_id, code, minute, count)
      values ($1, $2, 'api-key.verified', now(), now(), $3, 'live', $4, 'VALID', date_trunc('minute', now()), 1)`,
    [`evt_of_${accountId}`, accountId, issuer.id, key],
  );
  await rows.query(
    `insert into otp_failed_events (id, account_id, issuer_id, environment, key_id, actor, minute, created_at, last_at, count)
      values ($1, $2, $3, 'live', $4, '{}', now(), now(), now(), 1)`,
    [`evt_failed_of_${accountId}`, accountId, issuer.id, key],
  );
  await rows.query(
    `insert into mails (id, account_id, issuer_id, environment, subject_type, subject_id, sealed, secret_generation,
      not_after, created_at, due_at)
      values ($1, $2, $3, 'live', 'issuer', $3, '', 1, 'infinity', now(), 'infinity')`,
    [`mail_of_${accountId}`, accountId, issuer.id],
  );
}

describe('tables', () => {
  test('are either a tenant’s, with row-level security, or one of the named few', async () => {
    const all = await rows.query<{ name: string; has_security: boolean }>(
      `select c.relname as name, c.relrowsecurity as has_security
         from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = 'gatelodge' and c.relkind in ('r', 'p', 'v', 'm', 'f') order by 1`,
    );
    const tenants = tables.map(({ name }) => name);
    expect(tenants).toEqual(
      expect.arrayContaining(['accounts', 'api_keys', 'events', 'idempotency_records', 'issuers']),
    );
    expect(all.map(({ name }) => name).filter((name) => !tenants.includes(name))).toEqual(tablesOfNobody);
    expect(all.filter(({ name, has_security }) => tenants.includes(name) && !has_security)).toEqual([]);
  });

  test('let the service see and write the rows of the set account alone, by every policy that it is under', async () => {
    for (const { name, column } of tables) {
      const policies = await rows.query<{ seen: string | null; written: string | null; command: string }>(
        `select qual as seen, with_check as written, cmd as command from pg_policies
          where schemaname = 'gatelodge' and tablename = $1 and roles && '{gatelodge_app,public}'`,
        [name],
      );
      expect(policies, name).not.toEqual([]);
      const own = `(${column} = current_account())`;
      for (const policy of policies)
        expect(policy, name).toEqual({ seen: own, written: own, command: 'ALL' });
    }
  });

  test('show no row without an account, with the empty one, and with one that does not exist', async () => {
    const settings = ['reset gatelodge.account_id', "set gatelodge.account_id = ''", nobody()];
    for (const { name } of tables) {
      expect((await rows.query(`select from ${name}`)).length, name).toBeGreaterThan(0);
      for (const setting of settings) {
        await app.query(setting);
        expect((await app.query(`select * from ${name}`)).rows, `${name} after ${setting}`).toEqual([]);
      }
      // What an ended transaction leaves behind, however it ended.
      for (const end of ['commit', 'rollback']) {
        await app.query(`begin; set local gatelodge.account_id = '${ours.accountId}'; ${end}`);
        expect((await app.query(`select * from ${name}`)).rows, `${name} after ${end}`).toEqual([]);
      }
    }
  });

  test('show an account its own rows, and change no others whatever is asked', async () => {
    const before = await rows.snapshot();
    await app.query(`set gatelodge.account_id = '${ours.accountId}'`);
    for (const { name, column } of tables) {
      const seen = await app.query(`select distinct ${column} as owner from ${name}`);
      expect(seen.rows, name).toEqual([{ owner: ours.accountId }]);
      const update = `update ${name} set ${column} = ${column} where ${column} <> $1`;
      const remove = `delete from ${name} where ${column} <> $1`;
      for (const sql of [update, remove]) {
        const done = await app.query(sql, [ours.accountId]).catch((error: pg.DatabaseError) => error);
        // Nothing to be found, or (of the trail of events) no right to try.
        if (done instanceof Error) expect(done.code, sql).toBe('42501');
        else expect(done.rowCount, sql).toBe(0);
      }
      // A row of ours can't be handed to them, nor one of theirs be put there.
      const give = app.query(`update ${name} set ${column} = $1 where ${column} = $2`, [
        theirs.accountId,
        ours.accountId,
      ]);
      await expect(give, name).rejects.toMatchObject({ code: '42501' });
    }
    await app.query('reset gatelodge.account_id');
    expect(await rows.snapshot()).toEqual(before);
  });
});

describe('the role of the service', () => {
  test('is bound by row-level security, owns nothing and is a member of nothing', async () => {
    const [role] = await rows.query(
      `select rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication,
         (select count(*)::int from pg_class where relowner = r.oid) as owned_relations,
         (select count(*)::int from pg_proc where proowner = r.oid) as owned_functions,
         (select count(*)::int from pg_auth_members where member = r.oid) as memberships
       from pg_roles r where rolname = 'gatelodge_app'`,
    );
    expect(role).toEqual({
      rolsuper: false,
      rolbypassrls: false,
      rolcreaterole: false,
      rolcreatedb: false,
      rolreplication: false,
      owned_relations: 0,
      owned_functions: 0,
      memberships: 0,
    });
  });

  test.each([
    'set role gatelodge_owner',
    'set role gatelodge_lookup',
    'set session authorization gatelodge_owner',
    'alter table api_keys disable row level security',
    'alter policy own_account on api_keys using (true)',
    'create policy open on api_keys using (true)',
    'drop policy own_account on api_keys',
    'alter function current_account() security definer',
    'create or replace function current_account() returns text language sql return null',
    'create function mine() returns int language sql return 1',
    'create table mine (id int)',
    'truncate events',
    'truncate api_keys',
    'update events set type = type',
    'delete from events',
    'delete from installation_secrets',
    'update schema_migrations set checksum = checksum',
    'grant gatelodge_lookup to gatelodge_app',
    "select * from pg_read_file('/etc/passwd')",
    "copy api_keys to program 'cat'",
    'select rolpassword from pg_authid',
  ])('may not: %s', async (sql) => {
    await expect(app.query(sql)).rejects.toMatchObject({ code: '42501' });
  });

  test('can’t see past the policies by switching them off for itself', async () => {
    await app.query('begin; set local row_security = off');
    await expect(app.query('select * from api_keys')).rejects.toMatchObject({ code: '42501' });
    await app.query('rollback');
  });
});

describe('what may see across accounts', () => {
  test('are the listed functions, no other, each pinned to its search path and closed to the public', async () => {
    const found = await rows.query<{ signature: string }>(
      `select format('%s(%s)', p.proname, pg_get_function_identity_arguments(p.oid)) as signature,
         r.rolname as owner, r.rolcanlogin as owner_can_login, p.proconfig as settings,
         has_function_privilege('public', p.oid, 'execute') as is_public,
         has_function_privilege('gatelodge_app', p.oid, 'execute') as is_the_services
       from pg_proc p join pg_namespace n on n.oid = p.pronamespace join pg_roles r on r.oid = p.proowner
       where p.prosecdef and n.nspname not in ('pg_catalog', 'information_schema') order by 1`,
    );
    expect(found).toEqual(
      lookups.map((signature) => ({
        signature,
        owner: 'gatelodge_lookup',
        owner_can_login: false,
        settings: [
          'search_path=pg_catalog, pg_temp',
          // How it is planned, and nothing of what it may see.
          ...(signature.startsWith('lookup_origin_of_issuer(') ? ['enable_sort=off'] : []),
          ...(signature.startsWith('fold_ledger(') ? ['work_mem=16MB'] : []),
          ...(/^lookup_(?:api_key_v3|client|client_v2|oidc_record|oidc_record_v2|user_organizations)\(/.test(
            signature,
          )
            ? ['plan_cache_mode=force_generic_plan']
            : []),
          ...(signature.startsWith('claim_mails_v2(')
            ? ['plan_cache_mode=force_generic_plan', 'enable_sort=off', 'enable_incremental_sort=off']
            : []),
        ],
        is_public: false,
        is_the_services: true,
      })),
    );
  });

  test('run as a role that nobody can become and that can do nothing but this', async () => {
    const [role] = await rows.query(
      `select rolcanlogin, rolsuper, rolbypassrls,
         (select count(*)::int from pg_auth_members where roleid = r.oid and member <> (select oid from pg_roles
           where rolname = 'gatelodge_owner')) as others_in_it,
         (select count(*)::int from pg_class where relowner = r.oid) as owned_relations,
         has_schema_privilege(r.oid, 'gatelodge', 'create') as may_create
       from pg_roles r where rolname = 'gatelodge_lookup'`,
    );
    expect(role).toEqual({
      rolcanlogin: false,
      rolsuper: false,
      rolbypassrls: false,
      others_in_it: 0,
      owned_relations: 0,
      may_create: false,
    });
    const granted = await rows.query<{ table: string; privilege: string }>(
      `select distinct table_name as table, privilege_type as privilege
         from information_schema.column_privileges where grantee = 'gatelodge_lookup'
       union select table_name, privilege_type from information_schema.table_privileges
        where grantee = 'gatelodge_lookup'
       order by 1, 2`,
    );
    expect(granted.filter(({ privilege }) => privilege !== 'SELECT')).toEqual([
      { table: 'events', privilege: 'DELETE' },
      { table: 'idempotency_records', privilege: 'DELETE' },
      // What metering makes of the ledger is written by functions alone.
      ...['key_uses', 'ledger_segments', 'limit_windows', 'login_budgets'].flatMap(writtenByFunctions),
      // What a client is to be told is claimed.
      { table: 'logout_notices', privilege: 'UPDATE' },
      // A mail is claimed, and one that was kept for long enough is deleted.
      { table: 'mails', privilege: 'DELETE' },
      { table: 'mails', privilege: 'UPDATE' },
      ...writtenByFunctions('metered_events'),
      // Guesses and mails are counted by functions too, before anything else of a request is done.
      ...writtenByFunctions('otp_addresses'),
      { table: 'otp_devices', privilege: 'DELETE' },
      { table: 'otp_failed_events', privilege: 'DELETE' },
      { table: 'otp_failures', privilege: 'DELETE' },
      ...writtenByFunctions('otp_mail_caps'),
      // To hold a plan that an account is put on; the policy lets nothing be written.
      { table: 'plans', privilege: 'UPDATE' },
      ...writtenByFunctions('usage_buckets'),
    ]);
    // Of events no more than it takes to delete those of an account that is being deleted; policy shows no others.
    const ofEvents = await rows.query(
      `select column_name as column, privilege_type as privilege from information_schema.column_privileges
        where grantee = 'gatelodge_lookup' and table_name = 'events' order by 1`,
    );
    expect(ofEvents).toEqual([
      { column: 'account_id', privilege: 'SELECT' },
      { column: 'id', privilege: 'SELECT' },
    ]);
    const readable = granted.map(({ table }) => table);
    for (const closed of ['account_members', 'installation_secrets']) expect(readable).not.toContain(closed);
  });

  test('show the list of accounts to the operator’s account alone', async () => {
    for (const account of [ours.accountId, newId(idPrefixes.account), '', null]) {
      expect((await app.query('select * from lookup_accounts($1)', [account])).rows).toEqual([]);
    }
    const seen = await app.query('select id from lookup_accounts($1)', [server.operator.accountId]);
    expect(seen.rows.length).toBeGreaterThan(2);
  });
});

describe('transactions on a shared pool', () => {
  // Attack: make requests fail in every way while others run on the same two connections, and hope that one of them
  // is served on a connection that still carries somebody else's account.
  test('never cross, however many are aborted between them', async () => {
    const rounds = scaled(100, 1_000) / 4;
    let aborted = 0;
    const work = async (tenant: Tenant, other: Tenant) => {
      for (let round = 0; round < rounds; round++) {
        const path = `/v1/issuers/${tenant.issuer.id}/organizations`;
        const failing = [
          () =>
            tenant.api.post(path, { name: 'twice', external_id: tenant.issuer.organizations[0].externalId }),
          () => tenant.api.patch(tenant.issuer.key.path, { name: 'x' }, { 'If-Match': '"0"' }),
          () => tenant.api.get(`/v1/issuers/${other.issuer.id}`),
          () => tenant.api.post('/v1/api-keys', { expires_at: '1999-01-01T00:00:00Z' }),
        ];
        const [failed, list, account] = await Promise.all([
          failing[round % failing.length]!(),
          tenant.api.get('/v1/issuers'),
          tenant.api.get('/v1/account'),
        ]);
        expect([404, 409, 412, 422]).toContain(failed.status);
        aborted++;
        expect(list.body.data.map((issuer: { account_id: string }) => issuer.account_id)).toEqual(
          Array(3).fill(tenant.accountId),
        );
        expect(account.body.data.id).toBe(tenant.accountId);
      }
    };
    await Promise.all([work(ours, theirs), work(theirs, ours), work(ours, theirs), work(theirs, ours)]);
    expect(aborted).toBe(scaled(100, 1_000));
  });
});

function nobody(): string {
  return `set gatelodge.account_id = '${newId(idPrefixes.account)}'`;
}
