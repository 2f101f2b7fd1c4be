import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { removeClusterHome } from '../supervisor/cluster-home.ts';
import { type DataDirectory, openDataDirectory } from '../supervisor/data-directory.ts';
import { startEmbeddedPostgres } from '../supervisor/embedded-postgres.ts';
import { silentLog } from '../supervisor/log.ts';
import { exitCodes } from '../supervisor/start-error.ts';
import { withCommandPool } from './command-database.ts';

let dataDirectory: DataDirectory;

beforeEach(async () => {
  dataDirectory = await openDataDirectory(await mkdtemp(join(tmpdir(), 'gatelodge-command-')));
});
afterEach(async () => {
  await removeClusterHome(dataDirectory);
  await rm(dataDirectory.path, { recursive: true, force: true });
});

test('a command finds the embedded Postgres of a running server, and only while it runs', async () => {
  const settings = { dataDir: dataDirectory.path };
  const ask = () => withCommandPool(settings, (pool) => pool.query('select current_user as "user"'));
  await expect(ask()).rejects.toMatchObject({ exitCode: exitCodes.unavailable });
  const postgres = await startEmbeddedPostgres({ dataDirectory, log: silentLog });
  try {
    expect((await ask()).rows).toEqual([{ user: 'gatelodge_app' }]);
  } finally {
    await postgres.stop();
  }
  await expect(ask()).rejects.toMatchObject({ exitCode: exitCodes.unavailable });
});
