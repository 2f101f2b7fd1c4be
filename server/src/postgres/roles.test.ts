import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { inNoNeedOfTheDisk, startTestCluster, type TestCluster } from '../../test/harness/cluster.ts';
import { scaled } from '../../test/harness/scale.ts';
import { silentLog } from '../supervisor/log.ts';
import type { StartError } from '../supervisor/start-error.ts';
import { migrateDatabase } from './migrate.ts';
import { assertServiceRole, createPool } from './pool.ts';

let cluster: TestCluster;
let superuser: pg.Client;
let databases: string[];

beforeAll(async () => {
  cluster = await startTestCluster(inNoNeedOfTheDisk);
  superuser = new pg.Client({ connectionString: cluster.postgres.superuserUrl });
  await superuser.connect();
  await run(
    'create role plain_owner login',
    'create role creating_owner login createrole',
    'create role service_user login',
  );
});
afterAll(async () => {
  await superuser.end();
  await cluster.remove();
});
beforeEach(() => {
  databases = [];
});
afterEach(async () => {
  for (const name of databases) await run(`drop database ${name} with (force)`);
  await run('drop role if exists gatelodge_app', 'drop role if exists gatelodge_lookup');
});

async function run(...statements: string[]): Promise<void> {
  for (const statement of statements) await superuser.query(statement);
}

/** Runs the lines of a hint that are SQL, as an administrator would, past what is there already. */
async function followHint(error: StartError): Promise<void> {
  const statements = error.hint.match(/\b(create role|grant|alter role|revoke)\b[^;]*;/g) ?? [];
  expect(statements).not.toEqual([]);
  for (const statement of statements) {
    await superuser.query(statement).catch((reason: pg.DatabaseError) => {
      if (reason.code !== '42710') throw reason;
    });
  }
}

async function makeDatabase(owner: string): Promise<string> {
  const name = `roles_${databases.length}_${process.hrtime.bigint()}`;
  databases.push(name);
  await run(`create database ${name} owner ${owner}`);
  return name;
}

function migrate(database: string, user: string): Promise<unknown> {
  return migrateDatabase({ ownerUrl: cluster.postgres.databaseUrl(database, user), log: silentLog });
}

async function assertRole(database: string, user: string): Promise<void> {
  const connectionString = cluster.postgres.databaseUrl(database, user);
  const pool = createPool({ connectionString, max: 1, applicationName: 'test', log: silentLog });
  try {
    await assertServiceRole(pool);
  } finally {
    await pool.end();
  }
}

function errorOf(work: Promise<unknown>): Promise<StartError> {
  return work.then(
    () => expect.unreachable('it should have failed'),
    (error: StartError) => error,
  );
}

describe('migrations make the roles', () => {
  beforeEach(() => run('drop role if exists gatelodge_app'));

  it.each(['creating_owner', 'gatelodge_root'])('as %s, and one URL serves for both', async (owner) => {
    const database = await makeDatabase(owner);
    await migrate(database, owner);
    const { rows } = await superuser.query(
      `select rolname, rolcanlogin, rolsuper, rolbypassrls from pg_roles
       where rolname in ('gatelodge_app', 'gatelodge_lookup') order by 1`,
    );
    const harmless = { rolcanlogin: false, rolsuper: false, rolbypassrls: false };
    expect(rows).toEqual([
      { rolname: 'gatelodge_app', ...harmless },
      { rolname: 'gatelodge_lookup', ...harmless },
    ]);
    await assertRole(database, owner);
  });

  it('where several databases of one server are migrated at the same moment', async () => {
    for (let round = 0; round < scaled(2, 5); round++) {
      const names: string[] = [];
      for (let i = 0; i < 5; i++) names.push(await makeDatabase('creating_owner'));
      await Promise.all(names.map((name) => migrate(name, 'creating_owner')));
      for (const name of databases.splice(0)) await run(`drop database ${name} with (force)`);
      await run('drop role gatelodge_app', 'drop role gatelodge_lookup');
    }
  });

  it('not without the right to, and give the SQL that an administrator needs', async () => {
    const database = await makeDatabase('plain_owner');
    const error = await errorOf(migrate(database, 'plain_owner'));
    expect(error.name).toBe('StartError');
    expect(error.message).toContain('plain_owner');
    await followHint(error);
    await migrate(database, 'plain_owner');
    await assertRole(database, 'plain_owner');
  });
});

describe('roles that an administrator has made', () => {
  beforeEach(() =>
    run(
      'drop role if exists gatelodge_app',
      'create role gatelodge_app login',
      'create role gatelodge_lookup nologin',
    ),
  );

  it('are enough for an owner who may make none, with a URL of its own for the service', async () => {
    await run('grant gatelodge_lookup to plain_owner');
    const database = await makeDatabase('plain_owner');
    await migrate(database, 'plain_owner');
    await assertRole(database, 'gatelodge_app');
  });

  it('have to be granted to the owner; the message says how', async () => {
    const database = await makeDatabase('creating_owner');
    const error = await errorOf(migrate(database, 'creating_owner'));
    await followHint(error);
    await migrate(database, 'creating_owner');
    await assertRole(database, 'creating_owner');
  });

  it.each(['superuser', 'bypassrls', 'createrole'])('may not have %s', async (attribute) => {
    await run(`alter role gatelodge_lookup ${attribute}`);
    const database = await makeDatabase('gatelodge_root');
    const error = await errorOf(migrate(database, 'gatelodge_root'));
    await followHint(error);
    await migrate(database, 'gatelodge_root');
  });
});

describe('assertServiceRole', () => {
  let database: string;
  beforeEach(async () => {
    await run('drop role if exists gatelodge_app', 'create role gatelodge_app login');
    database = await makeDatabase('gatelodge_owner');
    await migrate(database, 'gatelodge_owner');
    await assertRole(database, 'gatelodge_app');
  });

  // Attack on ourselves: the service runs with a role that row-level security does not bind, and all goes well until
  // somebody finds another tenant's rows.
  it.each(['superuser', 'bypassrls'])('refuses a role with %s, and says what to run', async (attribute) => {
    await run(`alter role gatelodge_app ${attribute}`);
    const error = await errorOf(assertRole(database, 'gatelodge_app'));
    await followHint(error);
    await assertRole(database, 'gatelodge_app');
  });

  it.each(['gatelodge_owner', 'gatelodge_lookup'])('refuses a role that is a member of %s', async (other) => {
    await run(`grant ${other} to gatelodge_app`);
    await expect(assertRole(database, 'gatelodge_app')).rejects.toThrow(/does not bind/);
    await run(`revoke ${other} from gatelodge_app`, `grant ${other} to gatelodge_app with inherit false`);
    await expect(assertRole(database, 'gatelodge_app')).rejects.toThrow(/does not bind/);
    await run(`revoke ${other} from gatelodge_app`);
    await assertRole(database, 'gatelodge_app');
  });

  it('refuses a role that owns one of our tables', async () => {
    const inside = new pg.Client({
      connectionString: cluster.postgres.databaseUrl(database, 'gatelodge_root'),
    });
    await inside.connect();
    await inside.query('alter table gatelodge.accounts owner to gatelodge_app');
    await inside.end();
    await expect(assertRole(database, 'gatelodge_app')).rejects.toThrow(/owner of its tables/);
  });

  it('refuses a user who may not act as the role, and says what to run', async () => {
    const error = await errorOf(assertRole(database, 'service_user'));
    expect(error.hint).toContain('grant gatelodge_app to');
    await run('grant gatelodge_app to service_user');
    await assertRole(database, 'service_user');
  });
});
