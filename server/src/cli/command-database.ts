import { readFile, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import type pg from 'pg';
import { createPool } from '../postgres/pool.ts';
import type { Settings } from '../settings.ts';
import { silentLog } from '../supervisor/log.ts';
import { isPostgresOf } from '../supervisor/orphan.ts';
import { serviceDatabase, serviceRole } from '../supervisor/roles.ts';
import { exitCodes, StartError } from '../supervisor/start-error.ts';

/**
 * Runs `work` with a pool of the service's role on the installation's database: DATABASE_URL, or the embedded
 * Postgres of the server that is running on the data directory.
 *
 * @throws StartError when there is neither.
 */
export async function withCommandPool<T>(
  settings: Pick<Settings, 'dataDir'> & Partial<Pick<Settings, 'databaseUrl'>>,
  work: (pool: pg.Pool) => Promise<T>,
): Promise<T> {
  const connectionString = settings.databaseUrl ?? (await findEmbeddedUrl(settings.dataDir));
  const pool = createPool({ connectionString, max: 2, applicationName: 'gatelodge command', log: silentLog });
  try {
    return await work(pool);
  } finally {
    await pool.end();
  }
}

/** Postgres writes its pid, its port and its socket's directory into lines 1, 4 and 5 of `postmaster.pid`. */
async function findEmbeddedUrl(dataDir: string): Promise<string> {
  try {
    const cluster = await realpath(join(dataDir, 'postgres', 'cluster'));
    const lines = (await readFile(join(cluster, 'postmaster.pid'), 'utf8')).split('\n');
    const [pid, port, socketDirectory] = [lines[0], lines[3], lines[4]];
    if (port && socketDirectory && (await isPostgresOf(Number(pid), cluster))) {
      const query = new URLSearchParams({ host: socketDirectory, port, sslmode: 'disable' });
      return `postgresql://${serviceRole}@/${serviceDatabase}?${query.toString()}`;
    }
    throw notRunning(dataDir);
  } catch (cause) {
    throw cause instanceof StartError ? cause : notRunning(dataDir, cause);
  }
}

function notRunning(dataDir: string, cause?: unknown): StartError {
  return new StartError(`No Gatelodge is running on the data directory ${dataDir}.`, {
    hint: 'Start it (gatelodge start) and run this beside it as the same user, or set DATABASE_URL.',
    exitCode: exitCodes.unavailable,
    cause,
  });
}
