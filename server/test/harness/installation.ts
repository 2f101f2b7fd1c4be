import { readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Bootstrap, bootstrapPath } from '../../src/bootstrap/bootstrap.ts';
import { superuserRole } from '../../src/supervisor/cluster.ts';
import type { DataDirectory } from '../../src/supervisor/data-directory.ts';
import { throwAwayDirectory } from '../../src/supervisor/fixtures/throw-away-directory.ts';
import { ApiClient } from './api-client.ts';
import { freePort, GatelodgeProcess, isReady, isRunning, waitFor } from './process.ts';

/** The processes of one installation: npm, what it starts, and what that starts. */
export interface ProcessIds {
  supervisor: number;
  server: number;
  postgres: number;
}

/** An installation on a data directory and a port of its own, started by `npm start` as its users do. */
export class Installation implements AsyncDisposable {
  readonly port: number;
  readonly data: DataDirectory;
  readonly #directory: AsyncDisposable;
  readonly #env: NodeJS.ProcessEnv;
  #running: GatelodgeProcess | undefined;

  /**
   * Makes one, not yet started.
   *
   * @param options.hasCluster whether its first start finds a cluster, made but never migrated, and so skips initdb
   * @param options.env settings beside the ones that each has
   */
  static async make(options: { hasCluster?: boolean; env?: NodeJS.ProcessEnv } = {}): Promise<Installation> {
    const directory = await throwAwayDirectory();
    const data = await (options.hasCluster ? directory.openWithCluster() : directory.open());
    return new Installation(directory, data, await freePort(), options.env ?? {});
  }

  private constructor(directory: AsyncDisposable, data: DataDirectory, port: number, env: NodeJS.ProcessEnv) {
    this.#directory = directory;
    this.data = data;
    this.port = port;
    this.#env = env;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get running(): GatelodgeProcess {
    if (this.#running === undefined) throw new Error('start it first');
    return this.#running;
  }

  /** Starts it and waits until it is ready. @returns how many milliseconds that took */
  async start(): Promise<number> {
    const startedAt = performance.now();
    this.#running = GatelodgeProcess.npmStart({
      env: {
        GATELODGE_PORT: String(this.port),
        GATELODGE_DATA_DIR: this.data.path,
        GATELODGE_LOG_LEVEL: 'error',
        ...this.#env,
      },
    });
    return this.#running.becomesReady(startedAt);
  }

  async bootstrap(): Promise<Bootstrap> {
    return JSON.parse(await readFile(bootstrapPath(this.data.path), 'utf8')) as Bootstrap;
  }

  /** The API as the operator. */
  async operator(): Promise<ApiClient> {
    return new ApiClient(this.url, (await this.bootstrap()).api_key);
  }

  /** Of the processes that run now. */
  async processIds(): Promise<ProcessIds> {
    const server = await this.#pidIn(join(this.data.path, 'server.pid'));
    const status = await readFile(`/proc/${server}/status`, 'utf8');
    return {
      server,
      supervisor: Number(/^PPid:\s+(\d+)$/m.exec(status)?.[1]),
      postgres: await this.#pidIn(join(this.data.path, 'postgres', 'cluster', 'postmaster.pid')),
    };
  }

  /** Waits until a server with another pid than this is ready. */
  async becomesReadyAnew(formerServer: number): Promise<void> {
    await waitFor(async () => {
      const pid = await this.#pidIn(join(this.data.path, 'server.pid'));
      return (pid !== formerServer && (await isReady(this.url))) || null;
    });
  }

  /** Where the socket of its Postgres lies while it runs. */
  get socketDirectory(): string {
    const parent = process.geteuid?.() === 0 ? '/tmp' : tmpdir();
    return join(parent, `gatelodge-${this.data.id.slice(0, 12)}`);
  }

  /** A URL of the database for its superuser, past every rule of ours. */
  get superuserUrl(): string {
    return `postgresql://${superuserRole}@/gatelodge?host=${this.socketDirectory}&port=5432`;
  }

  /** Asks npm to stop it, as a service manager or `docker stop` does, and waits for the end. */
  async stop() {
    this.running.child.kill('SIGTERM');
    return this.running.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#running !== undefined && !this.#running.hasEnded) await this.stop();
    // What a test has killed may leave others that still end.
    const left = await Promise.all(
      ['server.pid', 'postgres/cluster/postmaster.pid'].map((file) =>
        this.#pidIn(join(this.data.path, file)),
      ),
    );
    for (const pid of left) await waitFor(async () => !(await isRunning(pid)) || null);
    await rm(this.socketDirectory, { recursive: true, force: true });
    await this.#directory[Symbol.asyncDispose]();
  }

  async #pidIn(file: string): Promise<number> {
    return Number.parseInt(await readFile(file, 'utf8').catch(() => ''), 10);
  }
}
