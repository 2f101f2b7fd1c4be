import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Bootstrap, bootstrapPath } from '../../src/bootstrap/bootstrap.ts';
import { ApiClient } from './api-client.ts';
import { freePort, GatelodgeProcess } from './process.ts';

/** A server process of its own on a database that is there and migrated, as one of several nodes. */
export class NodeProcess implements AsyncDisposable {
  readonly process: GatelodgeProcess;
  readonly #dataDir: string;

  /** Starts it and waits until it is ready. */
  static async start(env: NodeJS.ProcessEnv): Promise<NodeProcess> {
    const dataDir = await mkdtemp(join(tmpdir(), 'gatelodge-node-'));
    const settings = {
      GATELODGE_PORT: String(await freePort()),
      GATELODGE_DATA_DIR: dataDir,
      GATELODGE_LOG_LEVEL: 'error',
    };
    const node = new NodeProcess(GatelodgeProcess.run(['serve'], { env: { ...settings, ...env } }), dataDir);
    await node.process.becomesReady();
    return node;
  }

  private constructor(process: GatelodgeProcess, dataDir: string) {
    this.process = process;
    this.#dataDir = dataDir;
  }

  get url(): string {
    return this.process.url;
  }

  /** What it wrote at its first start; only the node that made the first account has it. */
  async bootstrap(): Promise<Bootstrap> {
    return JSON.parse(await readFile(bootstrapPath(this.#dataDir), 'utf8')) as Bootstrap;
  }

  /** The API of this node as the operator of that bootstrap. */
  api({ api_key }: Bootstrap): ApiClient {
    return new ApiClient(this.url, api_key);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process[Symbol.asyncDispose]();
    await rm(this.#dataDir, { recursive: true, force: true });
  }
}
