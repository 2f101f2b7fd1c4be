import type { ChildProcess } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { serverCore, spawnOn } from './cores.ts';

/** A server under test, in a process of its own. */
export interface BenchServer {
  port: number;
  /** Seconds of processor time that the serving process has used so far, user and system. */
  cpuSeconds(): Promise<number>;
}

/** Past this a process that was asked to end is ended. */
const endsWithinMs = 30_000;

/** A program beside this file, on the server's core, which says over the channel on which port it listens. */
export class Helper implements BenchServer, AsyncDisposable {
  /** 0 where it listens on none. */
  readonly port: number;
  readonly #child: ChildProcess;

  /** @param script path beside this file */
  static async start(
    script: string,
    args: readonly string[] = [],
    env: NodeJS.ProcessEnv = {},
  ): Promise<Helper> {
    const file = fileURLToPath(new URL(script, import.meta.url));
    const child = spawnOn(serverCore, process.execPath, [file, ...args], {
      env: { ...environmentWithoutSettings(), NODE_ENV: 'production', ...env },
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    return new Helper(child, Number(await nextMessage(child)));
  }

  private constructor(child: ChildProcess, port: number) {
    this.#child = child;
    this.port = port;
  }

  /** Sends it a message and answers the one that comes back. */
  async ask<T>(message: object): Promise<T> {
    const answer = nextMessage(this.#child);
    this.#child.send(message);
    return (await answer) as T;
  }

  cpuSeconds(): Promise<number> {
    return cpuSecondsOf(this.#child.pid!);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return endProcess(this.#child);
  }
}

function nextMessage(child: ChildProcess): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const ended = (code: number | null) => reject(new Error(`a helper ended with ${code}`));
    child.once('exit', ended);
    child.once('message', (message) => {
      child.off('exit', ended);
      resolve(message);
    });
  });
}

/** Resolves with 0, or rejects with the last of what the process has said on standard error. */
export function succeeds(child: ChildProcess, name: string): Promise<void> {
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-2_000);
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) resolve();
      else reject(new Error(`${name} ended with ${code}: ${said}`));
    });
  });
}

/** Asks a process to end and waits for it. */
export async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
  });
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), endsWithinMs);
  await ended;
  clearTimeout(timer);
}

/**
 * From /proc/PID/stat, whose fields 14 and 15 count in hundredths of a second, and 16 and 17 do so for the process'
 * children that have ended.
 */
export async function cpuSecondsOf(pid: number, options: { withEnded?: boolean } = {}): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [user, system, endedUser, endedSystem] = fields.slice(11, 15).map(Number) as [
    number,
    number,
    number,
    number,
  ];
  return (user + system + (options.withEnded ? endedUser + endedSystem : 0)) / 100;
}

/** The processes that this one has started and that have not ended. */
export async function childrenOf(pid: number): Promise<number[]> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8');
  return children.trim().split(' ').filter(Boolean).map(Number);
}

/** What this process was given, less what would configure a server or a database. */
export function environmentWithoutSettings(): NodeJS.ProcessEnv {
  const isSetting = /^(GATELODGE_|DATABASE_|REDIS_|SMTP_|MAIL_|PG|NODE_OPTIONS$)/;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !isSetting.test(name)));
}

export function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer();
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
