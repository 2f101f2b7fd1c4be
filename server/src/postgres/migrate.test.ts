import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../test/harness/database.ts';
import { PostgresProxy } from '../../test/harness/postgres-proxy.ts';
import { silentLog } from '../supervisor/log.ts';
import { exitCodes } from '../supervisor/start-error.ts';
import { type MigrateOptions, migrateDatabase } from './migrate.ts';
import { readMigrationFiles, splitStatements } from './migration-files.ts';

let database: TestDatabase;
let owner: pg.Client;
let migrationsDir: string;

beforeEach(async () => {
  database = await createTestDatabase({ isEmpty: true });
  owner = new pg.Client({ connectionString: database.ownerUrl });
  await owner.connect();
  migrationsDir = await mkdtemp(join(tmpdir(), 'gatelodge-migrations-'));
  await write(
    '0001_things.sql',
    'create table things (id int primary key); grant select on things to gatelodge_app;',
  );
  await write('0002_more.sql', 'insert into things values (1);');
});
afterEach(async () => {
  await owner.end();
  await rm(migrationsDir, { recursive: true });
  await database.drop();
});

function write(name: string, text: string): Promise<void> {
  return writeFile(join(migrationsDir, name), text);
}

function migrate(options: Partial<MigrateOptions> = {}): Promise<{ applied: string[] }> {
  return migrateDatabase({ ownerUrl: database.ownerUrl, log: silentLog, migrationsDir, ...options });
}

/** Names of everything in the database that is not Postgres' own. */
async function contents(): Promise<string[]> {
  const { rows } = await owner.query<{ name: string }>(
    `select n.nspname || '.' || c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and c.relkind = 'r'
     union all select nspname from pg_namespace where nspname = 'gatelodge' order by 1`,
  );
  return rows.map((row) => row.name);
}

async function things(): Promise<number[]> {
  const { rows } = await owner.query<{ id: number }>('select id from gatelodge.things order by id');
  return rows.map((row) => row.id);
}

describe('a fit database', () => {
  it('is migrated in order, in the schema gatelodge, by an owner who is no superuser', async () => {
    expect(await migrate()).toEqual({ applied: ['0001_things.sql', '0002_more.sql'] });
    expect(await contents()).toEqual(['gatelodge', 'gatelodge.schema_migrations', 'gatelodge.things']);
    expect(await things()).toEqual([1]);
    const { rows } = await owner.query(
      `select tableowner from pg_tables where tablename = 'things' and schemaname = 'gatelodge'`,
    );
    expect(rows).toEqual([{ tableowner: 'gatelodge_owner' }]);
  });

  it('is left alone when nothing is to be done', async () => {
    await migrate();
    expect(await migrate()).toEqual({ applied: [] });
    expect(await things()).toEqual([1]);
  });

  it('gets only what is new', async () => {
    await migrate();
    await write('0003_yet_more.sql', 'insert into things values (2);');
    expect(await migrate()).toEqual({ applied: ['0003_yet_more.sql'] });
    expect(await things()).toEqual([1, 2]);
  });

  it('is migrated once when many processes start at the same moment', async () => {
    const results = await Promise.all(Array.from({ length: 6 }, () => migrate()));
    expect(results.flatMap((result) => result.applied).sort()).toEqual(['0001_things.sql', '0002_more.sql']);
    expect(await things()).toEqual([1]);
  });

  it('is waited for while it starts', async () => {
    const proxy = await PostgresProxy.start(database.ownerUrl);
    await proxy.refuse();
    const run = migrate({ ownerUrl: proxy.url(database.ownerUrl) });
    setTimeout(() => void proxy.open(), 300);
    expect((await run).applied).toHaveLength(2);
    await proxy.close();
  });

  it('lets its service see what has run, and change nothing of it', async () => {
    await migrate();
    const app = new pg.Client({ connectionString: database.appUrl });
    await app.connect();
    const { rows } = await app.query('select name from gatelodge.schema_migrations order by name');
    const intrusion = app.query('delete from gatelodge.schema_migrations');
    await expect(intrusion).rejects.toMatchObject({ code: '42501' });
    await app.end();
    expect(rows).toEqual([{ name: '0001_things.sql' }, { name: '0002_more.sql' }]);
  });

  it('takes the migrations of this build', async () => {
    const { applied } = await migrateDatabase({ ownerUrl: database.ownerUrl, log: silentLog });
    expect(applied[0]).toBe('0001_foundation.sql');
    expect((await migrateDatabase({ ownerUrl: database.ownerUrl, log: silentLog })).applied).toEqual([]);
  });
});

describe('an upgrade', () => {
  it('by a newer build does not disturb an older one', async () => {
    await write('0003_newer.sql', 'alter table things add column note text;');
    await migrate();
    await rm(join(migrationsDir, '0003_newer.sql'));
    expect(await migrate()).toEqual({ applied: [] });
  });

  it('refuses a migration that was changed after it had run', async () => {
    await migrate();
    await write('0002_more.sql', 'insert into things values (7);');
    await write('0003_yet_more.sql', 'insert into things values (2);');
    await expect(migrate()).rejects.toThrow(/0002_more\.sql has been changed/);
    expect(await things()).toEqual([1]);
  });

  it('takes other line ends for no change', async () => {
    await write('0001_things.sql', 'create table things\n  (id int);\n');
    await migrate();
    await write('0001_things.sql', 'create table things\r\n  (id int);\r\n');
    expect(await migrate()).toEqual({ applied: [] });
  });

  it('refuses a database with another history', async () => {
    await migrate();
    await rm(join(migrationsDir, '0002_more.sql'));
    await write('0003_other.sql', 'select 1;');
    await expect(migrate()).rejects.toThrow(/it has run 0002_more\.sql/);
  });

  it('refuses to run a migration before one that has run already', async () => {
    await rm(join(migrationsDir, '0002_more.sql'));
    await write('0003_other.sql', 'select 1;');
    await migrate();
    await write('0002_more.sql', 'insert into things values (1);');
    await expect(migrate()).rejects.toThrow(/it has not run 0002_more\.sql/);
  });

  it('undoes a migration that fails, says where it failed, and keeps those before', async () => {
    await write('0003_bad.sql', 'insert into things values (2);\n\nselekt 3;\n');
    await expect(migrate()).rejects.toThrow(/0003_bad\.sql failed at line 3.*\n.*rolled back as a whole/);
    expect(await things()).toEqual([1]);
    await write('0003_bad.sql', 'insert into things values (2);\n\nselect 3;\n');
    expect(await migrate()).toEqual({ applied: ['0003_bad.sql'] });
  });

  it('builds an index concurrently, also after a first attempt that failed half-way', async () => {
    await write(
      '0003_index.sql',
      `-- gatelodge: no transaction
drop index concurrently if exists things_by_half;
-- Writers go on meanwhile.
create unique index concurrently things_by_half
  on things ((id / 2));
`,
    );
    await write('0002_more.sql', 'insert into things values (1), (2), (3);');
    await expect(migrate()).rejects.toThrow(/0003_index\.sql failed.*\n.*run again from its start/);
    await owner.query('delete from gatelodge.things where id = 3');
    expect(await migrate()).toEqual({ applied: ['0003_index.sql'] });
    const { rows } = await owner.query(
      `select indisvalid from pg_index where indexrelid = 'gatelodge.things_by_half'::regclass`,
    );
    expect(rows).toEqual([{ indisvalid: true }]);
  });
});

describe('under traffic', () => {
  // Attack (our own): ALTER TABLE waits behind one long transaction, and every query of that table behind it.
  it('does not make others wait for long behind a table in use, and gets there in the end', async () => {
    await migrate();
    await write('0003_column.sql', 'alter table things add column note text;');
    await owner.query('begin; select * from gatelodge.things');
    const run = migrate();
    const reader = new pg.Client({ connectionString: database.ownerUrl, statement_timeout: 5_000 });
    await reader.connect();
    await expect
      .poll(async () => {
        const { rows } = await reader.query(
          'select count(*)::int as waiting from pg_locks where not granted',
        );
        return rows[0].waiting;
      })
      .toBe(1);
    // Ends although the transaction in front never does: its statement_timeout would end it with an error.
    await reader.query('select * from gatelodge.things');
    await reader.end();
    await owner.query('commit');
    expect(await run).toEqual({ applied: ['0003_column.sql'] });
  });

  it('gives up with a clear message when a table never comes free', async () => {
    await migrate();
    await write('0003_column.sql', 'alter table things add column note text;');
    await owner.query('begin; select * from gatelodge.things');
    await expect(migrate({ lockWaitMs: 1 })).rejects.toMatchObject({
      message: expect.stringMatching(/0003_column\.sql could not get hold of a table/),
      exitCode: exitCodes.unavailable,
    });
    await owner.query('commit');
  });

  it('gives up with a clear message when another process holds the lock', async () => {
    const { rows } = await owner.query(
      `select pg_try_advisory_lock(${0x6761746c}, 1), pg_backend_pid() as pid`,
    );
    await expect(migrate({ lockWaitMs: 300 })).rejects.toThrow(`pid ${rows[0].pid} is still migrating`);
    expect(await contents()).toEqual([]);
  });
});

describe('an unfit database', () => {
  it.each([
    ['a table', 'create table customers (id int)', /holds 1 tables or views, such as public\.customers/],
    [
      'a history of its own kind',
      'create table schema_migrations (version text); create view v as select 1',
      /belongs to something else/,
    ],
    ['tables in our schema', 'create schema gatelodge; create table gatelodge.x ()', /such as gatelodge\.x/],
  ])('of something else, with %s, is refused and not changed', async (_name, setUp, message) => {
    // Since Postgres 15 only the owner of a database may make things in its public schema.
    await owner.query(setUp);
    const before = await contents();
    await expect(migrate()).rejects.toThrow(message);
    expect(await contents()).toEqual(before);
  });

  it('is no database with nothing in it but an extension', async () => {
    const superuser = new pg.Client({ connectionString: database.superuserUrl });
    await superuser.connect();
    await superuser.query('create extension pg_stat_statements');
    await superuser.end();
    expect((await migrate()).applied).toHaveLength(2);
  });

  it.each([
    ['that is not there', (url: string) => url.replace(database.name, 'no_such_database'), /does not exist/],
    [
      'for a user who is not there',
      (url: string) => url.replace('gatelodge_owner', 'nobody_here'),
      /nobody_here/,
    ],
  ])('%s is reported at once, with what to check', async (_name, change, reason) => {
    const attempt = migrate({ ownerUrl: change(database.ownerUrl) });
    await expect(attempt).rejects.toMatchObject({
      message: expect.stringMatching(reason),
      hint: expect.stringContaining('DATABASE_OWNER_URL'),
      exitCode: exitCodes.configuration,
    });
  });

  it('that cannot be reached is reported after the wait, without its password', async () => {
    const ownerUrl = 'postgres://gatelodge_owner:hunter2@localhost:1/gatelodge';
    const error: unknown = await migrate({ ownerUrl, connectWaitMs: 200 }).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ exitCode: exitCodes.unavailable });
    expect(String(error)).toContain('cannot be reached');
    expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain('hunter2');
  });

  it('in which the user may not make a schema is reported with the grant to make', async () => {
    const superuser = new pg.Client({ connectionString: database.superuserUrl });
    await superuser.connect();
    await superuser.query(`alter database ${database.name} owner to gatelodge_root`);
    await superuser.end();
    await expect(migrate()).rejects.toThrow(/grant create on database/);
  });
});

describe('the files', () => {
  it.each([
    ['12_short.sql', /not named/],
    ['0003-dashes.sql', /not named/],
    ['0002_again.sql', /number 0002/],
  ])('may not be called %s', async (name, message) => {
    await write(name, 'select 1;');
    await expect(readMigrationFiles(migrationsDir)).rejects.toThrow(message);
  });

  it('may lie beside others that are no SQL', async () => {
    await write('README.md', 'x');
    expect((await readMigrationFiles(migrationsDir)).map((file) => file.name)).toHaveLength(2);
  });

  it('are split at the ends of their statements', () => {
    const text = `-- gatelodge: no transaction\n\n-- Why.\ndrop index a; -- now\ncreate index b\n  on c (d);  \n-- end\n`;
    expect(splitStatements(text)).toEqual([
      '-- gatelodge: no transaction\n\n-- Why.\ndrop index a; -- now\ncreate index b\n  on c (d)',
    ]);
    expect(splitStatements('a;\nb;\n\n--;\n')).toEqual(['a', 'b']);
  });
});
