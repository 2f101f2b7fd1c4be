import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../test/harness/database.ts';
import { Rows } from '../../test/harness/rows.ts';
import { startTestServer } from '../../test/harness/server.ts';
import { silentLog } from '../supervisor/log.ts';
import { StartError } from '../supervisor/start-error.ts';
import { assertMigrated } from './migrated.ts';
import { createPool } from './pool.ts';

let database: TestDatabase;
let rows: Rows;
let directory: string;
beforeAll(async () => {
  database = await createTestDatabase();
  rows = await Rows.open(database);
  directory = await mkdtemp(join(tmpdir(), 'gatelodge-migrations-'));
});
afterAll(async () => {
  await rows.close();
  await database.drop();
  await rm(directory, { recursive: true, force: true });
});

test('the service itself sees what its database lacks, and that a newer build has run more', async () => {
  const pool = createPool({
    connectionString: database.appUrl,
    max: 1,
    applicationName: 'test',
    log: silentLog,
  });
  try {
    await assertMigrated(pool);
    await writeFile(join(directory, '0001_foundation.sql'), '');
    await assertMigrated(pool, directory);
    await writeFile(join(directory, '9998_later.sql'), '');
    const refused = assertMigrated(pool, directory);
    await expect(refused).rejects.toThrow(StartError);
    await expect(refused).rejects.toThrow(/9998_later\.sql[\s\S]*gatelodge migrate/);
    await rows.query(
      `insert into schema_migrations (name, checksum) values ('9998_later.sql', ''), ('9999_newer.sql', '')`,
    );
    await assertMigrated(pool, directory);
  } finally {
    await pool.end();
  }
});

test('a server does not start on a database that is older than it', async () => {
  await rows.query(`delete from schema_migrations where name = '0001_foundation.sql'`);
  await expect(startTestServer({ database })).rejects.toThrow(/0001_foundation\.sql[\s\S]*gatelodge migrate/);
});
