import { type ChildProcess, fork, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/** A server under test, in a process of its own. */
export interface BenchServer {
  port: number;
  /** Seconds of processor time that the serving process has used so far, user and system. */
  cpuSeconds(): Promise<number>;
  stop(): Promise<void>;
}

/** What `bootstrap.json` says, as far as benchmarks use it. */
export interface Bootstrap {
  account_id: string;
  api_key: { id: string; secret: string };
  demo: { issuer_id: string; api_key: { id: string; secret: string } };
}

/** Pins a child to one core, so that client and server do not share one; without taskset it runs where it likes. */
const serverCore = '1';

/** Starts Gatelodge the way its users do, on an empty directory. */
export async function startGatelodge(): Promise<BenchServer & { bootstrap: Bootstrap }> {
  const dataDir = await mkdtemp(join(tmpdir(), 'gatelodge-bench-'));
  const port = await freePort();
  const main = fileURLToPath(new URL('../server/src/main.ts', import.meta.url));
  const child = spawn('taskset', ['-c', serverCore, process.execPath, main, 'start'], {
    env: {
      ...process.env,
      GATELODGE_DATA_DIR: dataDir,
      GATELODGE_PORT: String(port),
      GATELODGE_LOG_LEVEL: 'warn',
    },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  await ready(`http://127.0.0.1:${port}/readyz`, child);
  const bootstrap = JSON.parse(await readFile(join(dataDir, 'bootstrap.json'), 'utf8')) as Bootstrap;
  const stop = async () => {
    await ended(child, 'SIGTERM');
    await rm(dataDir, { recursive: true, force: true });
  };
  const pid = await servingProcess(child.pid!);
  return { port, bootstrap, cpuSeconds: () => cpuSecondsOf(pid), stop };
}

/** Starts the bare server that answers these bytes. */
export async function startFloor(headers: string[], body: string): Promise<BenchServer> {
  const script = fileURLToPath(new URL('./floor-server.ts', import.meta.url));
  const child = fork(script, [JSON.stringify(headers), body], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  spawn('taskset', ['-acp', serverCore, String(child.pid)], { stdio: 'ignore' });
  const port = await new Promise<number>((resolve) =>
    child.once('message', (message) => resolve(Number(message))),
  );
  return { port, cpuSeconds: () => cpuSecondsOf(child.pid!), stop: () => ended(child, 'SIGTERM') };
}

/** The supervisor's child that serves: the one whose command line says so. */
async function servingProcess(supervisor: number): Promise<number> {
  const children = await readFile(`/proc/${supervisor}/task/${supervisor}/children`, 'utf8');
  for (const pid of children.trim().split(' ')) {
    const commandLine = await readFile(`/proc/${pid}/cmdline`, 'utf8');
    if (commandLine.split('\0').includes('serve')) return Number(pid);
  }
  throw new Error('the supervisor has no serving process');
}

/** From /proc/PID/stat, whose fields 14 and 15 count in hundredths of a second. */
async function cpuSecondsOf(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

async function ready(url: string, child: ChildProcess): Promise<void> {
  for (let attempt = 0; attempt < 300; attempt++) {
    if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}`);
    const answer = await fetch(url).catch(() => null);
    if (answer?.status === 200) return;
    await sleep(100);
  }
  throw new Error('the server did not become ready in 30 s');
}

function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  return new Promise((resolve) => {
    child.once('exit', () => resolve());
    child.kill(signal);
  });
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer();
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
