import { mkdtemp, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PostgresBinaries } from '../../src/supervisor/binaries.ts';
import { removeClusterHome } from '../../src/supervisor/cluster-home.ts';
import { openDataDirectory } from '../../src/supervisor/data-directory.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/supervisor/embedded-postgres.ts';
import { silentLog } from '../../src/supervisor/log.ts';

/** An embedded Postgres of its own, on a directory that goes with it. */
export type TestCluster = {
  readonly postgres: EmbeddedPostgres;
  readonly remove: () => Promise<void>;
};

/** Of a cluster that does not crash, and so need not wait for the disk. */
export const inNoNeedOfTheDisk = { fsync: 'off', full_page_writes: 'off' };

/**
 * Where the files of such a cluster are best: in memory where there is enough of it. Each copied database is a thousand
 * files, which on a disk took longer than most test files' tests.
 */
export async function directoryInMemory(): Promise<string> {
  const shared = '/dev/shm';
  const { bavail, bsize } = await statfs(shared).catch(() => ({ bavail: 0, bsize: 0 }));
  return bavail * bsize >= 4 * 1024 ** 3 ? shared : tmpdir();
}

/**
 * Starts a Postgres on an empty directory, with the settings that it has in production. Takes about a second.
 *
 * Tests share the run's one (`createTestDatabase`); this is for those that change what belongs to a whole server
 * (roles) or stop it.
 *
 * @param parent the directory that its files are to be below
 */
export async function startTestCluster(
  settings: Record<string, string> = {},
  binaries?: PostgresBinaries,
  parent = tmpdir(),
): Promise<TestCluster> {
  const dataDirectory = await openDataDirectory(await mkdtemp(join(parent, 'gatelodge-test-')));
  const removeFiles = async () => {
    await removeClusterHome(dataDirectory);
    await rm(dataDirectory.path, { recursive: true, force: true });
  };
  try {
    const postgres = await startEmbeddedPostgres({
      dataDirectory,
      log: silentLog,
      settings,
      ...(binaries && { binaries }),
    });
    return {
      postgres,
      remove: async () => {
        await postgres.stop();
        await removeFiles();
      },
    };
  } catch (error) {
    await removeFiles();
    throw error;
  }
}
