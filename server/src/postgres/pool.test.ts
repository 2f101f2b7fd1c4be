import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../test/harness/database.ts';
import { silentLog } from '../supervisor/log.ts';
import { connectionConfig } from './connection-config.ts';
import { assertServiceRole, createPool } from './pool.ts';

let database: TestDatabase;
let pool: pg.Pool;

beforeAll(async () => {
  database = await createTestDatabase();
  pool = makePool(database.appUrl);
});
afterAll(async () => {
  await pool.end();
  await database.drop();
});

function makePool(connectionString: string): pg.Pool {
  return createPool({ connectionString, max: 2, applicationName: 'gatelodge test', log: silentLog });
}

async function selectOne(from: pg.Pool, expression: string): Promise<unknown> {
  const { rows } = await from.query<{ value: unknown }>(`select ${expression} as value`);
  return rows[0]?.value;
}

const settings = `jsonb_build_object(
  'user', current_user, 'schema', current_schema(), 'path', current_setting('search_path'),
  'statement', current_setting('statement_timeout'),
  'idle', current_setting('idle_in_transaction_session_timeout'),
  'rls', current_setting('row_security'), 'zone', current_setting('timezone'),
  'isolation', current_setting('default_transaction_isolation'), 'name', current_setting('application_name'))`;

describe('a connection of the service', () => {
  it('runs as gatelodge_app in our schema, with timeouts', async () => {
    expect(await selectOne(pool, settings)).toEqual({
      user: 'gatelodge_app',
      schema: 'gatelodge',
      path: 'gatelodge,pg_temp',
      statement: '10s',
      idle: '15s',
      rls: 'on',
      zone: 'UTC',
      isolation: 'read committed',
      name: 'gatelodge test',
    });
  });

  it('does so with a URL of another user, and RESET ROLE leads no further', async () => {
    const other = makePool(database.superuserUrl);
    expect(await selectOne(other, 'session_user::text')).toBe('gatelodge_root');
    await assertServiceRole(other);
    await other.query('reset role; reset all');
    expect(await selectOne(other, 'current_user::text')).toBe('gatelodge_app');
    await other.end();
  });

  it('lets options of the URL change timeouts, but nothing that isolation rests on', async () => {
    const options =
      '-c role=gatelodge_root -c search_path=public -c row_security=off -c statement_timeout=7000';
    const other = makePool(`${database.superuserUrl}&options=${encodeURIComponent(options)}`);
    expect(await selectOne(other, settings)).toMatchObject({
      user: 'gatelodge_app',
      schema: 'gatelodge',
      rls: 'on',
      statement: '7s',
    });
    await other.end();
  });

  it('does not repeat a malformed URL with its password', () => {
    const attempt = () => connectionConfig('postgres://user:hunter2@host:port/database', 'test');
    expect(attempt).toThrow();
    try {
      attempt();
    } catch (error) {
      expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain('hunter2');
    }
  });
});

describe('values', () => {
  it.each([
    [`9007199254740991::bigint`, Number.MAX_SAFE_INTEGER],
    [`(-9007199254740991)::bigint`, Number.MIN_SAFE_INTEGER],
    [`array[1, null, 2]::bigint[]`, [1, null, 2]],
    [`count(*) from (values (1), (2)) rows`, 2],
    [`'2026-03-29'::date`, '2026-03-29'],
    [`array['2026-03-29', null]::date[]`, ['2026-03-29', null]],
    [`'2026-03-29T01:30:00.123Z'::timestamptz`, new Date('2026-03-29T01:30:00.123Z')],
    [`'{"a": [1, null]}'::jsonb`, { a: [1, null] }],
    [`'\\x00ff'::bytea`, Buffer.from([0, 255])],
    [`array['a', null]::text[]`, ['a', null]],
    [`1.10::numeric`, '1.10'],
    [`null::bigint`, null],
  ])('%s arrives exactly', async (expression, value) => {
    const [select, from] = expression.split(' from ');
    expect(await selectOne(pool, `${select} as value ${from ? `from ${from}` : ''} --`)).toEqual(value);
  });

  it('fails a bigint that a number cannot hold, rather than round it', async () => {
    await expect(selectOne(pool, `9007199254740992::bigint`)).rejects.toThrow(RangeError);
    expect(await selectOne(pool, '1::bigint')).toBe(1);
  });
});

describe('assertServiceRole', () => {
  it('accepts the role as the migrations leave it', async () => {
    await assertServiceRole(pool);
  });

  it('refuses a database in which the migrations have not run', async () => {
    const empty = await createTestDatabase({ isEmpty: true });
    const other = makePool(empty.appUrl);
    await expect(assertServiceRole(other)).rejects.toThrow(/database that the migrations ran in/);
    await other.end();
    await empty.drop();
  });
});
