import { spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DataDirectory } from './data-directory.ts';
import type { SupervisorLog } from './log.ts';
import type { Exit } from './process-exit.ts';

/** A server process under its supervisor. */
export type ServerProcess = {
  readonly pid: number | undefined;
  readonly exited: Promise<Exit>;
  /** Whether it has said that it accepts requests. */
  isReady(): boolean;
  /** Asks it to drain (SIGTERM) and ends it hard when that takes longer than it may. */
  stop(): Promise<void>;
};

/** What the server sends over the channel to its supervisor once it accepts requests. */
export const readyMessage = 'ready';

/** The server gives itself 10 s to drain; past that and some room it hangs. */
const drainMs = 11_000;
/** How long the server of a killed supervisor may take to drain before it is ended, so that a restart is quick. */
const orphanDrainMs = 2000;
/** Marks a server as one of this installation; not `GATELODGE_…`, because it is no setting. */
const markVariable = '_GATELODGE_SERVER_OF';

/**
 * Starts the server with a channel to us: its end (`disconnect`) tells the server that its supervisor is gone.
 *
 * The environment gets the service's database URL and loses the owner's, which the server has no use for: so that one
 * does not get out with a dump of the environment or of the settings. It is no wall: the server runs as the same user
 * as we do, and whoever takes it over can read what that user can, our environment and the data directory included.
 */
export async function spawnServer(options: {
  command: readonly string[];
  databaseUrl: string;
  dataDirectory: DataDirectory;
}): Promise<ServerProcess> {
  const environment: NodeJS.ProcessEnv = {
    ...process.env,
    DATABASE_URL: options.databaseUrl,
    [markVariable]: options.dataDirectory.id,
  };
  delete environment.DATABASE_OWNER_URL;
  const child = spawn(process.execPath, [...options.command], {
    env: environment,
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  let isReady = false;
  child.on('message', (message) => {
    if (message === readyMessage) isReady = true;
  });
  const exited = new Promise<Exit>((resolve) => {
    child.once('error', () => resolve({ code: null, signal: null }));
    child.once('exit', (code, signal) => resolve({ code, signal }));
  });
  // For the next start, in case we are killed and the server outlives us for a moment. A full disk is no reason not to
  // run the server.
  await writeFile(pidFile(options.dataDirectory), `${child.pid}\n`, { mode: 0o600 }).catch(() => {});
  return {
    pid: child.pid,
    exited,
    isReady: () => isReady,
    stop: async () => {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), drainMs);
      await exited;
      clearTimeout(timer);
    },
  };
}

/**
 * Waits for the server that a killed supervisor left behind: it still holds the port and writes its ledger while it
 * drains. After 2 s it is ended.
 */
export async function clearOrphanServer(data: DataDirectory, log: SupervisorLog): Promise<void> {
  const pid = Number(await readFile(pidFile(data), 'utf8').catch(() => ''));
  if (!Number.isInteger(pid) || pid <= 0 || !(await isServerOf(pid, data))) return;
  log.warn({ pid }, 'Waiting for the server that a killed supervisor left behind');
  const deadline = Date.now() + orphanDrainMs;
  while (await isServerOf(pid, data)) {
    if (Date.now() > deadline) kill(pid);
    await sleep(20);
  }
}

/** The mark in its environment rules out a server of another installation that has the pid now. Linux only. */
async function isServerOf(pid: number, data: DataDirectory): Promise<boolean> {
  const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
  return environment.split('\0').includes(`${markVariable}=${data.id}`);
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended in this moment.
  }
}

function pidFile(data: DataDirectory): string {
  return join(data.path, 'server.pid');
}
