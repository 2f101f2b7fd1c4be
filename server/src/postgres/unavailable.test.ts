import { readFile } from 'node:fs/promises';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { asSuperuser, createTestDatabase, type TestDatabase } from '../../test/harness/database.ts';
import { PostgresProxy } from '../../test/harness/postgres-proxy.ts';
import { silentLog } from '../supervisor/log.ts';
import { createPool } from './pool.ts';
import { isUnavailable } from './unavailable.ts';

let database: TestDatabase;
let proxy: PostgresProxy;
const pools: pg.Pool[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  proxy = await PostgresProxy.start(database.appUrl);
});
afterEach(async () => {
  await Promise.all(pools.splice(0).map((pool) => pool.end()));
});
afterAll(async () => {
  await proxy.close();
  await database.drop();
});

function makePool(url = proxy.url(database.appUrl)): pg.Pool {
  const pool = createPool({ connectionString: url, max: 1, applicationName: 'test', log: silentLog });
  pools.push(pool);
  return pool;
}

async function errorOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => expect.unreachable('it should have failed'),
    (error: unknown) => error,
  );
}

describe('is unavailability', () => {
  it('when nothing listens on the socket', async () => {
    await proxy.refuse();
    const error = await errorOf(makePool().query('select 1'));
    await proxy.open();
    expect(isUnavailable(error)).toBe(true);
  });

  it('when nothing listens on the port', async () => {
    const url = 'postgres://gatelodge_app:x@localhost:1/gatelodge';
    expect(isUnavailable(await errorOf(makePool(url).query('select 1')))).toBe(true);
  });

  it('when the name of the host cannot be resolved', async () => {
    const url = 'postgres://gatelodge_app:x@postgres.invalid/gatelodge';
    expect(isUnavailable(await errorOf(makePool(url).query('select 1')))).toBe(true);
  });

  it('when the server takes the connection and says nothing', async () => {
    proxy.freeze();
    const error = await errorOf(makePool().query('select 1'));
    proxy.thaw();
    expect(isUnavailable(error)).toBe(true);
  });

  it('when every connection of the pool is in use', async () => {
    const pool = makePool();
    const client = await pool.connect();
    const error = await errorOf(pool.query('select 1'));
    client.release();
    expect(isUnavailable(error)).toBe(true);
  });

  it('when the connection is cut under a query', async () => {
    const pool = makePool();
    const query = errorOf(pool.query('select pg_sleep(10)'));
    await expect.poll(() => proxy.connections).toBe(1);
    setTimeout(() => proxy.cut(), 100);
    expect(isUnavailable(await query)).toBe(true);
  });

  it('when a query is sent over a connection that was cut before', async () => {
    const client = await makePool().connect();
    proxy.cut();
    await expect.poll(() => proxy.connections).toBe(0);
    const first = await errorOf(client.query('select 1'));
    const second = await errorOf(client.query('select 1'));
    client.release(true);
    expect(isUnavailable(first)).toBe(true);
    expect(isUnavailable(second)).toBe(true);
  });

  it('when an administrator ends the session', async () => {
    const error = await errorOf(makePool().query('select pg_terminate_backend(pg_backend_pid())'));
    expect(isUnavailable(error)).toBe(true);
  });

  it('when a statement takes longer than statement_timeout', async () => {
    const error = await errorOf(makePool().query(`set statement_timeout = 20; select pg_sleep(10)`));
    expect(isUnavailable(error)).toBe(true);
  });

  it('when Postgres has no connection left', async () => {
    const full = await createTestDatabase();
    await asSuperuser(`alter database ${full.name} connection limit 0`);
    const error = await errorOf(makePool(full.appUrl).query('select 1'));
    await full.drop();
    expect(error).toMatchObject({ code: '53300' });
    expect(isUnavailable(error)).toBe(true);
  });

  it('when the primary has become read-only', async () => {
    const error = await errorOf(makePool().query('begin read only; create table nowhere (); commit'));
    expect(isUnavailable(error)).toBe(true);
  });

  it('when the pool has been ended', async () => {
    const pool = makePool();
    pools.pop();
    await pool.end();
    expect(isUnavailable(await errorOf(pool.query('select 1')))).toBe(true);
  });

  it('when an error has such a cause', async () => {
    const error = await errorOf(makePool('postgres://localhost:1/x').query('select 1'));
    expect(isUnavailable(new Error('outer', { cause: error }))).toBe(true);
  });
});

describe('is not unavailability', () => {
  it.each([
    ['a violated constraint', 'insert into accounts (id, name, status) values (null, null, null)'],
    ['a mistake in the statement', 'selekt 1'],
    ['a right that is missing', 'select * from pg_authid'],
    ['a deadlock that can be tried again at once', `do $$ begin raise sqlstate '40P01'; end $$`],
  ])('%s', async (_name, statement) => {
    expect(isUnavailable(await errorOf(makePool().query(statement)))).toBe(false);
  });

  it('a wrong user, which waiting does not mend', async () => {
    const url = database.appUrl.replace('gatelodge_app', 'nobody_of_that_name');
    expect(isUnavailable(await errorOf(makePool(url).query('select 1')))).toBe(false);
  });

  it('a missing file, an error of ours, something that is no error', async () => {
    expect(isUnavailable(await errorOf(readFile('/nowhere/at/all')))).toBe(false);
    expect(isUnavailable(new TypeError('x'))).toBe(false);
    expect(isUnavailable('timeout expired')).toBe(false);
    expect(isUnavailable(undefined)).toBe(false);
  });
});
