import { type ChildProcess, spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Account } from './account.ts';
import type { SupervisorLog } from './log.ts';
import type { Exit } from './process-exit.ts';
import { commandEnvironment, credentialsOf, runAs } from './run-as.ts';

/** A running postmaster. */
export type PostgresProcess = {
  readonly pid: number;
  readonly exited: Promise<Exit>;
  /** The last lines that it wrote, oldest first. */
  lastLines(): string[];
  /** Ends it by fast shutdown (sessions are cut, everything committed is on disk), harder when that takes too long. */
  stop(): Promise<void>;
};

export type PostgresStart = {
  account: Account;
  program: string;
  cluster: string;
  socketDirectory: string;
  settings: Record<string, string>;
  log: SupervisorLog;
};

const keptLines = 40;
const lastLinesMs = 200;
const fastShutdownMs = 8000;
const immediateShutdownMs = 3000;

/**
 * Starts Postgres in a session of its own (`detached`), so that Ctrl-C reaches the supervisor and not Postgres, and
 * under `setpriv --pdeathsig INT` where that exists: the kernel then asks Postgres for a fast shutdown when this
 * process dies, whatever killed it. setpriv runs after the change of user, because that change clears the setting.
 */
export async function spawnPostgres(start: PostgresStart): Promise<PostgresProcess> {
  const args = postgresArguments(start);
  const hasSetpriv = (await runAs(start.account, 'setpriv', ['--pdeathsig', 'INT', 'true'])).code === 0;
  const [command, commandArgs] = hasSetpriv
    ? ['setpriv', ['--pdeathsig', 'INT', '--', start.program, ...args]]
    : [start.program, args];
  const child = spawn(command as string, commandArgs as string[], {
    ...credentialsOf(start.account),
    cwd: '/',
    env: commandEnvironment(),
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return watch(child, start.log);
}

function postgresArguments(start: PostgresStart): string[] {
  const settings = {
    listen_addresses: '',
    unix_socket_directories: start.socketDirectory,
    unix_socket_permissions: '0700',
    timezone: 'UTC',
    log_timezone: 'UTC',
    log_line_prefix: '',
    // An ERROR is the caller's to handle, and its text can quote a customer's data, as can the statement.
    log_min_messages: 'log',
    log_min_error_statement: 'panic',
    log_checkpoints: 'off',
    ...start.settings,
  };
  return [
    '-D',
    start.cluster,
    ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ];
}

function watch(child: ChildProcess, log: SupervisorLog): PostgresProcess {
  const { pid } = child;
  const lines: string[] = [];
  const onLine = (line: string) => {
    lines.push(line);
    if (lines.length > keptLines) lines.shift();
    const isGrave = /^(FATAL|PANIC|WARNING):/.test(line);
    if (isGrave) log.warn({ component: 'postgres' }, line);
    else log.debug({ component: 'postgres' }, line);
  };
  for (const stream of [child.stdout, child.stderr] as Readable[]) {
    createInterface({ input: stream }).on('line', onLine);
  }
  // Without setpriv this at least covers a Node that ends by itself; kill -9 is left to clearOrphan.
  const endWithUs = () => child.kill('SIGINT');
  process.once('exit', endWithUs);
  const exited = new Promise<Exit>((resolve) => {
    child.once('error', (error) => {
      lines.push(error.message);
      resolve({ code: null, signal: null });
    });
    // By 'close' the last lines have been read; but sessions that outlive a killed postmaster keep its output open.
    child.once('close', (code, signal) => resolve({ code, signal }));
    child.once('exit', (code, signal) => setTimeout(resolve, lastLinesMs, { code, signal }));
  }).finally(() => process.off('exit', endWithUs));
  return {
    pid: pid ?? -1,
    exited,
    lastLines: () => [...lines],
    stop: async () => {
      const steps: [NodeJS.Signals, number][] = [
        ['SIGINT', fastShutdownMs],
        ['SIGQUIT', immediateShutdownMs],
        ['SIGKILL', immediateShutdownMs],
      ];
      for (const [signal, waitMs] of steps) {
        child.kill(signal);
        if (await endsWithin(exited, waitMs)) return;
        log.warn({ signal }, 'Postgres is still running; stopping it harder');
      }
    },
  };
}

async function endsWithin(exited: Promise<Exit>, waitMs: number): Promise<boolean> {
  const timer = new AbortController();
  const isLate = sleep(waitMs, true, { signal: timer.signal }).catch(() => true);
  const hasEnded = await Promise.race([exited.then(() => true), isLate.then(() => false)]);
  timer.abort();
  return hasEnded;
}

/**
 * Waits until Postgres accepts connections (the last line of its pid file says `ready`, as pg_ctl reads it).
 *
 * False when it ended instead. There is no limit: recovery after a crash takes as long as it takes.
 */
export async function becomesReady(running: PostgresProcess, cluster: string): Promise<boolean> {
  let hasEnded = false;
  void running.exited.then(() => {
    hasEnded = true;
  });
  while (!hasEnded) {
    const lines = (await readFile(join(cluster, 'postmaster.pid'), 'utf8').catch(() => '')).split('\n');
    if (Number(lines[0]) === running.pid && lines[7]?.trim() === 'ready') return true;
    await sleep(5);
  }
  return false;
}
