import { fileURLToPath } from 'node:url';
import type { Settings } from '../settings.ts';
import { openDataDirectory } from './data-directory.ts';
import { lockDataDirectory } from './lock.ts';
import type { SupervisorLog } from './log.ts';
import { probePort } from './port-probe.ts';
import { keepPostgres } from './postgres-keeper.ts';
import { keepServer } from './server-keeper.ts';
import { clearOrphanServer, spawnServer } from './server-process.ts';

export type SupervisorSettings = Pick<
  Settings,
  'host' | 'port' | 'dataDir' | 'databaseUrl' | 'databaseOwnerUrl'
>;

export type SupervisorOptions = {
  demo: boolean;
  log: SupervisorLog;
  /** Aborting it stops everything, in order. */
  signal: AbortSignal;
  /** Arguments of node that run the server; the tests put a small one in its place. */
  serverCommand?: readonly string[];
  /** Brings the schema up to date; the tests leave it out. */
  migrate?: (ownerUrl: string) => Promise<void>;
};

type DatabaseUrls = { ownerUrl: string; appUrl: string };

/**
 * Runs Gatelodge on this machine until `signal` aborts: data directory, lock, port, database, migrations, server.
 *
 * Stops in the opposite order: the server drains (10 s at most), then Postgres by fast shutdown, then the lock. The
 * promise holds the exit code: 0 after a stop, or that of a server whose first start failed for good.
 *
 * @throws {StartError} when something that the operator can mend is in the way; nothing is left running then
 */
export async function runSupervisor(
  settings: SupervisorSettings,
  options: SupervisorOptions,
): Promise<number> {
  const { log, signal } = options;
  await using cleanup = new AsyncDisposableStack();
  const dataDirectory = await openDataDirectory(settings.dataDir);
  const lock = await lockDataDirectory(dataDirectory);
  cleanup.defer(() => lock.release());
  await clearOrphanServer(dataDirectory, log);
  await probePort(settings.host, settings.port);
  try {
    const urls = await openDatabase();
    await unlessAborted(signal, migrate(urls.ownerUrl));
    return await keepServer({
      start: () => spawnServer({ command: serverCommand(), databaseUrl: urls.appUrl, dataDirectory }),
      log,
      signal,
    });
  } catch (error) {
    if (signal.aborted) return 0;
    throw error;
  }

  async function openDatabase(): Promise<DatabaseUrls> {
    if (settings.databaseUrl !== undefined) {
      return { ownerUrl: settings.databaseOwnerUrl ?? settings.databaseUrl, appUrl: settings.databaseUrl };
    }
    const postgres = await keepPostgres({ dataDirectory, log, signal });
    cleanup.defer(() => postgres.stop());
    return postgres;
  }

  async function migrate(ownerUrl: string): Promise<void> {
    if (options.migrate) return options.migrate(ownerUrl);
    const { migrateDatabase } = await import('../postgres/migrate.ts');
    await migrateDatabase({ ownerUrl, log });
  }

  function serverCommand(): readonly string[] {
    const main = fileURLToPath(new URL('../main.ts', import.meta.url));
    return options.serverCommand ?? [main, 'serve', ...(options.demo ? ['--demo'] : [])];
  }
}

/** A stop does not wait for a migration: cut off with its connection, it is rolled back and runs at the next start. */
async function unlessAborted(signal: AbortSignal, work: Promise<void>): Promise<void> {
  let onAbort: () => void = () => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
  });
  aborted.catch(() => {});
  work.catch(() => {});
  try {
    signal.throwIfAborted();
    await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
