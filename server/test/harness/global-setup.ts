import { chmod, mkdtemp, rm } from 'node:fs/promises';
import pg from 'pg';
import type { TestProject } from 'vitest/node';
import { migrateDatabase } from '../../src/postgres/migrate.ts';
import type { EmbeddedPostgres } from '../../src/supervisor/embedded-postgres.ts';
import { silentLog } from '../../src/supervisor/log.ts';
import { directoryInMemory, inNoNeedOfTheDisk, startTestCluster, type TestCluster } from './cluster.ts';
import { openPostgres15 } from './postgres-15.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** URLs of the run's Postgres by role, with `databasePlaceholder` where the name of the database goes. */
    postgres: { superuserUrl: string; ownerUrl: string; appUrl: string };
    /** For what the files of a worker share. It goes at the end of the run. */
    runDirectory: string;
  }
}

/** Stands for the name of a database in the URLs that the tests are given. */
export const databasePlaceholder = 'test_database';

/** Database that every test database is a copy of. */
export const templateDatabase = 'gatelodge_template';

/**
 * One embedded Postgres for the whole run, and in it a migrated database to copy. Everything is removed at the end,
 * also when the set-up fails half-way.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const settings = { max_connections: '300', ...inNoNeedOfTheDisk };
  // The account that runs Postgres passes through it.
  const runDirectory = await mkdtemp('/tmp/gatelodge-run-');
  await chmod(runDirectory, 0o755);
  const removeDirectory = () => rm(runDirectory, { recursive: true, force: true });
  const { postgres, remove: removeCluster } = await startCluster(runDirectory, settings).catch(
    async (error: unknown) => {
      await removeDirectory();
      throw error;
    },
  );
  const remove = async () => {
    await removeCluster();
    await removeDirectory();
  };
  try {
    project.provide('runDirectory', runDirectory);
    await makeTemplate(postgres);
    project.provide('postgres', {
      superuserUrl: postgres.databaseUrl(databasePlaceholder, 'gatelodge_root'),
      ownerUrl: postgres.databaseUrl(databasePlaceholder, 'gatelodge_owner'),
      appUrl: postgres.databaseUrl(databasePlaceholder, 'gatelodge_app'),
    });
  } catch (error) {
    await remove();
    throw error;
  }
  return remove;
}

/** Of the Postgres that comes with Gatelodge, or of version 15 where GATELODGE_TEST_POSTGRES says so. */
async function startCluster(directory: string, settings: Record<string, string>): Promise<TestCluster> {
  const version = process.env.GATELODGE_TEST_POSTGRES ?? '';
  if (version !== '' && version !== '15')
    throw new Error(`GATELODGE_TEST_POSTGRES may be 15 or empty, not ${version}`);
  const parent = await directoryInMemory();
  if (version === '') return startTestCluster(settings, undefined, parent);
  const older = await openPostgres15(directory);
  return startTestCluster({ ...settings, ...older.settings }, older.binaries, parent);
}

async function makeTemplate(postgres: EmbeddedPostgres): Promise<void> {
  const superuser = new pg.Client({ connectionString: postgres.superuserUrl });
  await superuser.connect();
  try {
    await superuser.query(`create database ${templateDatabase} owner gatelodge_owner`);
    await migrateDatabase({
      ownerUrl: postgres.databaseUrl(templateDatabase, 'gatelodge_owner'),
      log: silentLog,
    });
    // A database that somebody is connected to cannot be copied.
    await superuser.query(`alter database ${templateDatabase} is_template true allow_connections false`);
  } finally {
    await superuser.end();
  }
}
