import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export const repositoryRoot = fileURLToPath(new URL('../../..', import.meta.url));
const mainFile = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

export interface ProcessOptions {
  /** Settings, on top of an environment that has none. */
  env: NodeJS.ProcessEnv;
  cwd?: string;
}

/** How a process ended, and what it said on the way. */
export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

/** A Gatelodge as a process of its own. Killed hard at the end of the test, unless it has ended before. */
export class GatelodgeProcess implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly url: string;
  readonly ended: Promise<Ended>;
  #stdout = '';
  #stderr = '';

  /** `gatelodge <args>`, by the Node that runs the tests. */
  static run(args: readonly string[], options: ProcessOptions): GatelodgeProcess {
    return new GatelodgeProcess(process.execPath, [mainFile, ...args], options);
  }

  /** `npm start`, as the README says it, in a process group of its own as a terminal makes one. */
  static npmStart(options: ProcessOptions): GatelodgeProcess {
    return new GatelodgeProcess('npm', ['start'], { ...options, cwd: repositoryRoot });
  }

  private constructor(command: string, args: readonly string[], { env, cwd = '/' }: ProcessOptions) {
    this.url = `http://127.0.0.1:${env.GATELODGE_PORT}`;
    this.child = spawn(command, args, {
      cwd,
      env: { ...environmentWithoutSettings(), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    this.child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout += text;
    });
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
    });
    this.ended = this.#end();
  }

  get pid(): number {
    return this.child.pid!;
  }

  get hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  get stderr(): string {
    return this.#stderr;
  }

  /**
   * Waits until it says that it is ready.
   *
   * @returns milliseconds since `since`, by default the moment of this call
   */
  async becomesReady(since = performance.now()): Promise<number> {
    await waitFor(async () => {
      if (this.hasEnded) throw new Error(`it ended before it was ready: ${this.#stderr}`);
      return (await isReady(this.url)) || null;
    });
    return performance.now() - since;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.hasEnded) this.child.kill('SIGKILL');
    await this.ended;
  }

  async #end(): Promise<Ended> {
    // Not 'close': what it leaves running may hold its output open.
    const [code, signal] = (await once(this.child, 'exit')) as [number | null, NodeJS.Signals | null];
    await sleep(20);
    return { code, signal, stdout: this.#stdout, stderr: this.#stderr };
  }
}

export async function isReady(url: string): Promise<boolean> {
  const answer = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(2_000) }).catch(() => undefined);
  await answer?.arrayBuffer().catch(() => {});
  return answer?.status === 200;
}

/** Asks every few milliseconds until there is an answer, for 30 s at most. */
export async function waitFor<T>(
  ask: () => Promise<T | null | undefined> | T | null | undefined,
): Promise<T> {
  const deadline = performance.now() + 30_000;
  for (;;) {
    const answer = await ask();
    if (answer !== null && answer !== undefined) return answer;
    if (performance.now() > deadline) throw new Error(`not within 30 s: ${String(ask)}`);
    await sleep(10);
  }
}

/** A port of 127.0.0.1 that nobody listens on at this moment. */
export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}

/** Whether a process of this pid runs; one that has ended and waits for its parent to notice does not. */
export async function isRunning(pid: number): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return status !== '' && !/^State:\s+Z/m.test(status);
}

/** The processes that this one has started and that have not ended. */
export async function childrenOf(pid: number): Promise<number[]> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  return children.split(' ').filter(Boolean).map(Number);
}

function environmentWithoutSettings(): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(GATELODGE_|DATABASE_|REDIS_|SMTP_|MAIL_|PG)/.test(name),
  );
  return Object.fromEntries(inherited);
}
