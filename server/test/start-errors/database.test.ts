import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { generateKeyText } from '../../src/secrets/key-text.ts';
import { FakePostgres } from '../harness/fake-postgres.ts';
import { freePort } from '../harness/process.ts';
import { StoppablePostgres } from '../harness/stoppable-postgres.ts';
import { failsToStart, startsAndStops } from './failed-start.ts';

// A cluster of its own: what these tests change of roles would hold for every other test as well.
let postgres: StoppablePostgres;
let dataDir: string;
let superuser: pg.Client;
let settings: NodeJS.ProcessEnv;

beforeAll(async () => {
  postgres = await StoppablePostgres.start();
  dataDir = await mkdtemp(join(tmpdir(), 'gatelodge-wrong-'));
  superuser = new pg.Client({ connectionString: postgres.superuserUrl });
  await superuser.connect();
  settings = {
    GATELODGE_DATA_DIR: dataDir,
    GATELODGE_PORT: String(await freePort()),
    GATELODGE_MASTER_KEY: generateKeyText(),
  };
});
afterAll(async () => {
  await superuser.end();
  await postgres[Symbol.asyncDispose]();
  await rm(dataDir, { recursive: true, force: true });
});

async function makeDatabase(name: string): Promise<{ DATABASE_URL: string; DATABASE_OWNER_URL: string }> {
  await superuser.query(`create database ${name} owner gatelodge_owner`);
  return {
    DATABASE_URL: postgres.databaseUrl(name, 'gatelodge_app'),
    DATABASE_OWNER_URL: postgres.databaseUrl(name, 'gatelodge_owner'),
  };
}

// Attack: a service that runs with too many rights lets one hole reach every tenant. So it does not run at all.
it('a service role that row-level security would not bind is refused with the SQL to mend it, and then serves', async () => {
  const urls = await makeDatabase('wrong_role');
  const wrong = [
    ['alter role gatelodge_app superuser', 'alter role gatelodge_app nosuperuser'],
    ['alter role gatelodge_app bypassrls', 'alter role gatelodge_app nobypassrls'],
    ['grant gatelodge_owner to gatelodge_app', 'revoke gatelodge_owner from gatelodge_app'],
  ] as const;
  for (const [breakIt, mendIt] of wrong) {
    await superuser.query(breakIt);
    const { stderr } = await failsToStart({ ...settings, ...urls }, { code: 78 });
    expect(stderr).toContain('row-level security');
    expect(stderr).toContain('Run as an administrator: ');
    await superuser.query(mendIt);
  }
  const asOwner = { ...urls, DATABASE_URL: urls.DATABASE_OWNER_URL };
  const { stderr } = await failsToStart({ ...settings, ...asOwner }, { code: 78 });
  expect(stderr).toContain('may not act as gatelodge_app');
  await startsAndStops({ ...settings, ...urls });
});

it('a database in which no migration has run is refused by a server without a supervisor', async () => {
  const { DATABASE_URL } = await makeDatabase('unmigrated');
  const { stderr } = await failsToStart({ ...settings, DATABASE_URL }, { code: 78, command: 'serve' });
  expect(stderr).toContain('migrations');
});

it('a database that another product lives in is left exactly as it is', async () => {
  const urls = await makeDatabase('of_others');
  const other = new pg.Client({ connectionString: urls.DATABASE_OWNER_URL });
  await other.connect();
  await other.query('create table public.customers (id int); insert into public.customers values (1)');
  const { stderr } = await failsToStart({ ...settings, ...urls }, { code: 78 });
  expect(stderr).toContain('public.customers');
  expect(stderr).toContain('create database');
  const { rows } = await other.query(`select nspname from pg_namespace where nspname = 'gatelodge'`);
  expect(rows).toEqual([]);
  expect((await other.query('select * from public.customers')).rows).toEqual([{ id: 1 }]);
  await other.end();
});

it('a database that does not exist is named', async () => {
  const DATABASE_URL = postgres.databaseUrl('nowhere', 'gatelodge_app');
  const { stderr } = await failsToStart({ ...settings, DATABASE_URL }, { code: 78 });
  expect(stderr).toContain('"nowhere" does not exist');
  expect(stderr).toContain('DATABASE_URL');
});

it('a Postgres older than 15 is refused before anything is changed in it', async () => {
  await using old = await FakePostgres.start((sql) => {
    if (sql.includes('pg_try_advisory_lock')) return { is_held: 't' };
    if (sql.includes('server_version_num'))
      return { version: '14', is_replica: 'f', encoding: 'UTF8', database: 'gatelodge' };
    return undefined;
  });
  const { stderr } = await failsToStart({ ...settings, DATABASE_URL: old.url }, { code: 78 });
  expect(stderr).toContain('Postgres 14');
  expect(stderr).toContain('15 or later');
  expect(old.statements.filter((sql) => /\b(create|alter|grant|insert|update|delete)\b/i.test(sql))).toEqual(
    [],
  );
});
