import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { serverCore, spawnOn } from './cores.ts';
import { BenchPostgres } from './postgres.ts';
import {
  type BenchServer,
  cpuSecondsOf,
  endProcess,
  environmentWithoutSettings,
  freePort,
  succeeds,
} from './processes.ts';

/** What `bootstrap.json` says, as far as benchmarks use it. */
interface Bootstrap {
  account_id: string;
  api_key: { id: string; secret: string };
}

/** A Gatelodge as its users start it, on an empty directory, with its Postgres on the same core. */
export class Gatelodge implements BenchServer, AsyncDisposable {
  readonly port: number;
  readonly postgres: BenchPostgres;
  /** The operator's key, as a request carries it. */
  readonly authorization: string;
  readonly #child: ChildProcess;
  readonly #dataDir: string;
  readonly #pid: number;

  /** @param env settings and Node's own variables, on top of an environment that has none */
  static async start(env: NodeJS.ProcessEnv = {}): Promise<Gatelodge> {
    const dataDir = await mkdtemp(join(tmpdir(), 'gatelodge-bench-'));
    const port = await freePort();
    const main = fileURLToPath(new URL('../server/src/main.ts', import.meta.url));
    const child = spawnOn(serverCore, process.execPath, [main, 'start'], {
      cwd: '/',
      env: {
        ...environmentWithoutSettings(),
        GATELODGE_DATA_DIR: dataDir,
        GATELODGE_PORT: String(port),
        GATELODGE_LOG_LEVEL: 'warn',
        ...env,
      },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    try {
      await becomesReady(`http://127.0.0.1:${port}/readyz`, child);
      const bootstrap = JSON.parse(await readFile(join(dataDir, 'bootstrap.json'), 'utf8')) as Bootstrap;
      const pid = Number(await readFile(join(dataDir, 'server.pid'), 'utf8'));
      return new Gatelodge({
        child,
        dataDir,
        port,
        bootstrap,
        pid,
        postgres: await BenchPostgres.of(dataDir),
      });
    } catch (error) {
      await endProcess(child);
      await rm(dataDir, { recursive: true, force: true });
      throw error;
    }
  }

  private constructor(started: {
    child: ChildProcess;
    dataDir: string;
    port: number;
    bootstrap: Bootstrap;
    pid: number;
    postgres: BenchPostgres;
  }) {
    const { id, secret } = started.bootstrap.api_key;
    this.authorization = `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`;
    this.port = started.port;
    this.postgres = started.postgres;
    this.#child = started.child;
    this.#dataDir = started.dataDir;
    this.#pid = started.pid;
  }

  /** The process that serves. */
  get pid(): number {
    return this.#pid;
  }

  cpuSeconds(): Promise<number> {
    return cpuSecondsOf(this.#pid);
  }

  /** Calls the management API as the operator; answers the body's `data`. */
  async create<T>(path: string, body: unknown): Promise<T> {
    const response = await fetch(`http://127.0.0.1:${this.port}${path}`, {
      method: 'POST',
      headers: { Authorization: this.authorization, 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`POST ${path} answered ${response.status}: ${text}`);
    return (JSON.parse(text) as { data: T }).data;
  }

  /** One figure without labels of `GET /metrics`. */
  async metric(name: string): Promise<number> {
    const token = (await readFile(join(this.#dataDir, 'metrics-token'), 'utf8')).trim();
    const response = await fetch(`http://127.0.0.1:${this.port}/metrics`, {
      headers: { Authorization: `Bearer ${token}` },
    });
    const found = new RegExp(`^${name} (\\S+)$`, 'm').exec(await response.text());
    if (found === null) throw new Error(`/metrics does not tell ${name}`);
    return Number(found[1]);
  }

  /** Runs `scripts/generate-keys.ts` on this installation; answers the secrets of its hot keys. */
  async generateKeys(issuerId: string, keys: number, hot: number): Promise<string[]> {
    const script = fileURLToPath(new URL('../scripts/generate-keys.ts', import.meta.url));
    const file = join(this.#dataDir, `secrets-${issuerId}-${keys}`);
    const args = ['--issuer', issuerId, '--keys', String(keys), '--hot', String(hot), '--secrets', file];
    const child = spawn(process.execPath, [script, ...args, '--scope', 'invoices:read'], {
      cwd: '/',
      env: { ...environmentWithoutSettings(), GATELODGE_DATA_DIR: this.#dataDir },
      stdio: ['ignore', 'inherit', 'pipe'],
    });
    child.stderr?.on('data', (text: Buffer) => void process.stderr.write(text));
    await succeeds(child, script);
    const secrets = (await readFile(file, 'utf8')).split('\n').filter(Boolean);
    await rm(file);
    return secrets;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await endProcess(this.#child);
    await rm(this.#dataDir, { recursive: true, force: true });
  }
}

async function becomesReady(url: string, child: ChildProcess): Promise<void> {
  for (let attempt = 0; attempt < 300; attempt++) {
    if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}`);
    const answer = await fetch(url).catch(() => null);
    await answer?.arrayBuffer();
    if (answer?.status === 200) return;
    await sleep(100);
  }
  throw new Error('the server did not become ready in 30 s');
}
