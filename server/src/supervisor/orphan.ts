import { readdir, readFile, readlink, unlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { accountOfThisProcess } from './account.ts';
import type { SupervisorLog } from './log.ts';
import { runAs } from './run-as.ts';

/**
 * Ends what an earlier, killed Gatelodge left running on a cluster, and clears a pid file that would stop Postgres.
 *
 * kill -9 of Node leaves Postgres behind. It is recognised by what /proc says of the pid in `postmaster.pid`: the
 * program is `postgres` and its working directory is the cluster. It is stopped rather than adopted, because only a
 * child can be watched. Any other process that now has that pid is left alone, and only the pid file is removed:
 * Postgres itself refuses to start when a process of the same user has it.
 *
 * The caller holds the lock of the data directory; without it this would end somebody's living Postgres.
 */
export async function clearOrphan(cluster: string, log: SupervisorLog): Promise<void> {
  const pidFile = join(cluster, 'postmaster.pid');
  const text = await readFile(pidFile, 'utf8').catch(() => undefined);
  if (text === undefined) return;
  const pid = Number.parseInt(text, 10);
  if (Number.isInteger(pid) && pid > 0 && (await isPostgresOf(pid, cluster))) {
    log.warn({ pid }, 'Stopping a Postgres that a killed Gatelodge left running');
    await end(pid, cluster, ['SIGINT', 'SIGQUIT', 'SIGKILL']);
  } else if (isAlive(pid)) {
    log.warn({ pid }, 'Removing a pid file of Postgres whose process is gone or another one now');
    await unlink(pidFile).catch(() => {});
  }
  // Servers of a session whose postmaster was killed live on until they notice, and Postgres waits for them.
  for (const child of await postgresProcessesOf(cluster)) await end(child, cluster, ['SIGQUIT', 'SIGKILL']);
}

/** Fast shutdown first; each harder signal after the time that a healthy Postgres needs for the softer one. */
async function end(pid: number, cluster: string, signals: readonly NodeJS.Signals[]): Promise<void> {
  for (const signal of signals) {
    try {
      process.kill(pid, signal);
    } catch {
      return;
    }
    const deadline = Date.now() + 2500;
    while (Date.now() < deadline) {
      if (!(await isPostgresOf(pid, cluster))) return;
      await sleep(10);
    }
  }
}

/** Whether `pid` is a Postgres process whose working directory is this cluster. */
export async function isPostgresOf(pid: number, cluster: string): Promise<boolean> {
  if (process.platform !== 'linux') return isPostgresByCommandLine(pid, cluster);
  try {
    // The link reads "… (deleted)" once an upgrade has replaced the file.
    const program = basename((await readlink(`/proc/${pid}/exe`)).replace(/ \(deleted\)$/, ''));
    return program === 'postgres' && (await readlink(`/proc/${pid}/cwd`)) === cluster;
  } catch {
    return false;
  }
}

async function postgresProcessesOf(cluster: string): Promise<number[]> {
  if (process.platform !== 'linux') return [];
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const owned = await Promise.all(pids.map((pid) => isPostgresOf(pid, cluster)));
  return pids.filter((_, index) => owned[index]);
}

async function isPostgresByCommandLine(pid: number, cluster: string): Promise<boolean> {
  const asked = await runAs(accountOfThisProcess(), 'ps', ['-ww', '-o', 'command=', '-p', String(pid)]);
  return asked.stdout.includes('postgres') && asked.stdout.includes(`-D ${cluster}`);
}

function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
