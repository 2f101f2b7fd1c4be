import { setTimeout as sleep } from 'node:timers/promises';
import { openBinaries, type PostgresBinaries } from './binaries.ts';
import { openCluster, saysDiskFull, superuserRole } from './cluster.ts';
import { type ClusterHome, openClusterHome } from './cluster-home.ts';
import type { DataDirectory } from './data-directory.ts';
import type { SupervisorLog } from './log.ts';
import { clearOrphan } from './orphan.ts';
import { becomesReady, type PostgresProcess, spawnPostgres } from './postgres-process.ts';
import type { Exit } from './process-exit.ts';
import { ensureRoles, ownerRole, serviceDatabase, serviceRole } from './roles.ts';
import { openSocketDirectory, removeSocketDirectory, socketPort } from './socket-directory.ts';
import { exitCodes, StartError, systemErrorCode } from './start-error.ts';

export type EmbeddedPostgresOptions = {
  dataDirectory: DataDirectory;
  log: SupervisorLog;
  /** Settings of postgresql.conf, such as `{ max_connections: '200' }`; they win over ours. */
  settings?: Record<string, string>;
  /** The socket directory of an earlier start on the same data directory, so that its URLs stay valid. */
  socketDirectory?: string;
  /** Others than the ones that npm has installed. */
  binaries?: PostgresBinaries;
  /** Ends the start (and Postgres with it) while it is under way. */
  signal?: AbortSignal;
};

/** A running embedded Postgres. Its URLs hold no password: the socket asks the kernel who connects. */
export type EmbeddedPostgres = {
  /** Of the role that owns the schema and runs migrations. */
  readonly ownerUrl: string;
  /** Of the role that the service runs as. */
  readonly appUrl: string;
  /** Of the cluster's superuser, on the database `postgres`. */
  readonly superuserUrl: string;
  /** A URL for any database and role of this cluster. */
  databaseUrl(database: string, role: string): string;
  readonly socketDirectory: string;
  readonly pid: number;
  /** Resolves when Postgres ends, for whatever reason. */
  readonly exited: Promise<Exit>;
  /** Fast shutdown; resolves when Postgres has ended and its socket directory is gone. May be called twice. */
  stop(): Promise<void>;
};

/**
 * Starts the embedded Postgres of a data directory, making the cluster, its roles and its database where missing.
 *
 * The caller holds the lock of the data directory (`lockDataDirectory`), or the directory is its own by other means,
 * as in tests: a Postgres already running there is taken for an orphan and stopped. When Postgres ends by itself
 * nothing restarts it here; `exited` tells.
 *
 * @throws {StartError} when it can't run, saying what to do
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const home = await openClusterHome(options.dataDirectory);
  if (!home.directory.startsWith(`${options.dataDirectory.path}/`)) {
    options.log.info(
      { file: home.directory },
      'The database is outside of the data directory: back the two up together',
    );
  }
  const binaries = options.binaries ?? (await openBinaries(home));
  const cluster = await openCluster(home, binaries);
  // Before the socket directory is claimed, which an orphan would still be using.
  await clearOrphan(cluster, options.log);
  const socketDirectory =
    options.socketDirectory ?? (await openSocketDirectory(options.dataDirectory, home.account));
  try {
    const running = await startOn(cluster, home, binaries, socketDirectory, options);
    const embedded = describe(running, socketDirectory);
    await ensureRoles(embedded.superuserUrl).catch(async (error: unknown) => {
      await running.stop();
      throw systemErrorCode(error) === diskFullState ? explain([String(error)], cluster) : error;
    });
    return embedded;
  } catch (error) {
    if (!options.socketDirectory) await removeSocketDirectory(socketDirectory);
    throw error;
  }
}

/** SQLSTATE disk_full. */
const diskFullState = '53100';

async function startOn(
  cluster: string,
  home: ClusterHome,
  binaries: PostgresBinaries,
  socketDirectory: string,
  options: EmbeddedPostgresOptions,
): Promise<PostgresProcess> {
  const { log, settings = {}, signal } = options;
  for (let attempt = 1; ; attempt++) {
    signal?.throwIfAborted();
    const running = await spawnPostgres({
      account: home.account,
      program: binaries.postgres,
      cluster,
      socketDirectory,
      settings,
      log,
    });
    const stop = () => void running.stop();
    signal?.addEventListener('abort', stop, { once: true });
    const isReady = await becomesReady(running, cluster);
    signal?.removeEventListener('abort', stop);
    if (isReady && !signal?.aborted) return running;
    await running.exited;
    signal?.throwIfAborted();
    const said = running.lastLines();
    if (attempt >= 20 || !isPassing(said)) throw explain(said, cluster);
    await sleep(100);
    await clearOrphan(cluster, log);
  }
}

/** After a kill of Postgres itself its last sessions may still be going, and it refuses until they are gone. */
function isPassing(said: readonly string[]): boolean {
  return said.some((line) => /pre-existing shared memory block|lock file ".*" already exists/.test(line));
}

function explain(said: readonly string[], cluster: string): StartError {
  const isDiskFull = said.some(saysDiskFull);
  return new StartError(
    `The embedded Postgres on ${cluster} does not start. It says:\n${said.slice(-8).join('\n')}`,
    {
      hint: isDiskFull
        ? 'Make room on that disk; nothing that was acknowledged is lost.'
        : 'Mend what it complains about, restore the data directory from a backup, or set DATABASE_URL to a Postgres of your own.',
      exitCode: isDiskFull ? exitCodes.unavailable : exitCodes.configuration,
    },
  );
}

function describe(running: PostgresProcess, socketDirectory: string): EmbeddedPostgres {
  const databaseUrl = (database: string, role: string) => {
    // Port and sslmode are spelled out, so that PGPORT or PGSSLMODE of the environment can't change them.
    const query = new URLSearchParams({
      host: socketDirectory,
      port: String(socketPort),
      sslmode: 'disable',
    });
    return `postgresql://${encodeURIComponent(role)}@/${encodeURIComponent(database)}?${query.toString().replaceAll('%2F', '/')}`;
  };
  let stopping: Promise<void> | undefined;
  return {
    ownerUrl: databaseUrl(serviceDatabase, ownerRole),
    appUrl: databaseUrl(serviceDatabase, serviceRole),
    superuserUrl: databaseUrl('postgres', superuserRole),
    databaseUrl,
    socketDirectory,
    pid: running.pid,
    exited: running.exited,
    stop: () => {
      stopping ??= running.stop().then(() => removeSocketDirectory(socketDirectory));
      return stopping;
    },
  };
}
