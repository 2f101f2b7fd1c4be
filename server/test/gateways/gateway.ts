import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type GatewayPrograms, installGatewayPrograms } from '../harness/gateway-programs.ts';
import { freePort, repositoryRoot, waitFor } from '../harness/process.ts';

/** What takes the place of the sample values in an example. */
export interface GatewayOptions {
  /** Host and port of Gatelodge, and of the API behind the gateway. */
  gatelodge: string;
  upstream: string;
  issuerId: string;
  /** Demands of the check, such as `scope=invoices:read`. */
  demands?: string;
  /** The key header of the issuer's profile; the examples have `X-API-Key`. */
  keyHeader?: string;
}

/** How one of the examples is started. */
export interface GatewayKind {
  readonly name: string;
  /** The files below examples/proxies that the sample values stand in. */
  readonly files: readonly string[];
  /** Whether its example passes WebSockets on. */
  readonly passesWebSockets?: boolean;
  /** Whether it removes the identity headers that exist, one by one, and not all that look like them. */
  readonly stripsByName?: boolean;
  /** Whether it asks with `?status=nginx`. */
  readonly asksForNginx?: boolean;
  /** Writes what else it needs into `directory`, where its files are already, and says what to run. */
  prepare(
    directory: string,
    programs: GatewayPrograms,
  ): Promise<{ command: string; args: string[]; env?: NodeJS.ProcessEnv }>;
}

/** An example, running as a process of its own. */
export class Gateway {
  readonly url: string;
  readonly #child: ChildProcess;
  readonly #directory: string;
  #output = '';

  static async start(kind: GatewayKind, options: GatewayOptions): Promise<Gateway> {
    const programs = await installGatewayPrograms();
    const directory = await mkdtemp(join(tmpdir(), `gatelodge-${kind.name}-`));
    // Started as root, some turn into another user, who has to read this.
    await chmod(directory, 0o755);
    const port = await freePort();
    for (const file of kind.files) {
      const text = await readFile(join(repositoryRoot, 'examples/proxies', kind.name, file), 'utf8');
      await writeFile(join(directory, file), render(text, port, directory, options));
    }
    const { command, args, env } = await kind.prepare(directory, programs);
    const child = spawn(command, args, {
      cwd: directory,
      env: { ...programs.env, HOME: directory, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const gateway = new Gateway(`http://127.0.0.1:${port}`, child, directory);
    try {
      await gateway.#listens(port);
    } catch (error) {
      await gateway.stop();
      throw error;
    }
    return gateway;
  }

  private constructor(url: string, child: ChildProcess, directory: string) {
    this.url = url;
    this.#child = child;
    this.#directory = directory;
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.#output += text;
      });
    }
  }

  /** What it has said so far. */
  get output(): string {
    return this.#output;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const ended = once(this.#child, 'exit');
      this.#child.kill('SIGKILL');
      await ended;
    }
    await rm(this.#directory, { recursive: true, force: true });
  }

  async #listens(port: number): Promise<void> {
    await waitFor(async () => {
      if (this.#child.exitCode !== null) throw new Error(`it ended before it listened: ${this.#output}`);
      return (await accepts(port)) || null;
    });
  }
}

/** Puts this run's values where the example has its samples. */
function render(text: string, port: number, directory: string, options: GatewayOptions): string {
  const { gatelodge, upstream, issuerId, demands, keyHeader } = options;
  const issuer = demands === undefined ? issuerId : `${issuerId}?${demands}`;
  return text
    .replaceAll('127.0.0.1:4600', gatelodge)
    .replaceAll('127.0.0.1:8080', upstream)
    .replaceAll(/\/etc\/(haproxy|apache2)(?=\/)/g, directory)
    .replaceAll(/(?<=[ :-])8088\b/g, String(port))
    .replaceAll('i_yourissuer?', demands === undefined ? `${issuerId}?` : `${issuer}&`)
    .replaceAll('i_yourissuer', issuer)
    .replaceAll(/x-api-key/gi, (name) => keyHeader ?? name);
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}
