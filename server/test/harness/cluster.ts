import { mkdtemp, rm } from 'node:fs/promises';
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
 * Starts a Postgres on an empty directory, with the settings that it has in production. Takes about a second.
 *
 * Tests share the run's one (`createTestDatabase`); this is for those that change what belongs to a whole server
 * (roles) or stop it.
 */
export async function startTestCluster(
  settings: Record<string, string> = {},
  binaries?: PostgresBinaries,
): Promise<TestCluster> {
  const dataDirectory = await openDataDirectory(await mkdtemp(join(tmpdir(), 'gatelodge-test-')));
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
