import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Bootstrap, bootstrapPath } from '../../src/bootstrap/bootstrap.ts';
import { createLog } from '../../src/logs/log.ts';
import { generateKeyText } from '../../src/secrets/key-text.ts';
import { type RunningServer, type ServeOptions, serve } from '../../src/serve.ts';
import type { Clock } from '../../src/services.ts';
import { loadSettings } from '../../src/settings.ts';
import { ApiClient } from './api-client.ts';
import { createTestDatabase, type TestDatabase } from './database.ts';

/** A clock that stands still until a test moves it. */
export class TestClock implements Clock {
  #nowMs: number;

  constructor(start = '2026-11-21T12:00:00.000Z') {
    this.#nowMs = Date.parse(start);
  }

  now = () => new Date(this.#nowMs);
  nowMs = () => this.#nowMs;
  advance(seconds: number): void {
    this.#nowMs += seconds * 1000;
  }
}

export interface TestServer {
  readonly url: string;
  readonly running: RunningServer;
  readonly database: TestDatabase;
  readonly dataDir: string;
  readonly masterKey: string;
  /** The operator's account: its id, its first key, and a client that uses it. */
  readonly operator: { accountId: string; key: { id: string; secret: string }; api: ApiClient };
  /** The issuer `demo` of the first start. */
  readonly demo: { issuerId: string; key: { id: string; secret: string } };
  /** What the server has logged so far, one JSON line an entry. */
  readonly logLines: string[];
  /** The statements that transactions of the management API have run so far. */
  readonly statements: string[];
  close(): Promise<void>;
}

export interface TestServerOptions {
  clock?: Clock;
  /** Environment variables of the server, on top of the ones every test needs. */
  env?: Record<string, string>;
  /** Another node on the database (and with the master key) of this server. */
  nodeOf?: TestServer;
  /** A migrated database to run on instead of a fresh one; whoever gave it drops it. */
  database?: TestDatabase;
  demo?: boolean;
  /** Which DNS servers and certificates its outbound calls trust. */
  outbound?: ServeOptions['outbound'];
}

/** Runs the real server in this process on a database of its own and a free port of 127.0.0.1. */
export async function startTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  const { nodeOf } = options;
  const database = nodeOf?.database ?? options.database ?? (await createTestDatabase());
  const dataDir = nodeOf?.dataDir ?? (await mkdtemp(join(tmpdir(), 'gatelodge-data-')));
  const masterKey = nodeOf?.masterKey ?? generateKeyText();
  const logLines: string[] = [];
  const statements: string[] = [];
  const settings = loadSettings({
    GATELODGE_PORT: '0',
    GATELODGE_PUBLIC_URL: 'http://localhost:4600',
    GATELODGE_DATA_DIR: dataDir,
    GATELODGE_MASTER_KEY: masterKey,
    GATELODGE_METRICS_TOKEN: 'metrics-token-of-the-tests-0123456789',
    DATABASE_URL: database.appUrl,
    // The memory for the default of 100,000 is taken at the start, and hundreds of servers start in a worker.
    GATELODGE_CACHE_KEYS: '10000',
    ...options.env,
  });
  const running = await serve(settings, {
    demo: options.demo ?? false,
    announce: () => {},
    log: createLog('debug', { write: (line: string) => void logLines.push(line) }),
    onQuery: (sql) => statements.push(sql),
    ...(options.clock && { clock: options.clock }),
    ...(options.outbound && { outbound: options.outbound }),
  });
  const bootstrap = JSON.parse(await readFile(bootstrapPath(dataDir), 'utf8')) as Bootstrap;
  const server: TestServer = {
    url: running.url,
    running,
    database,
    dataDir,
    masterKey,
    operator: {
      accountId: bootstrap.account_id,
      key: bootstrap.api_key,
      api: new ApiClient(running.url, bootstrap.api_key),
    },
    demo: { issuerId: bootstrap.demo.issuer_id, key: bootstrap.demo.api_key },
    logLines,
    statements,
    close: async () => {
      // The clients of these tests keep connections that nothing will come over any more.
      await running.close({ lingerMs: 0 });
      letGo(server);
      if (nodeOf !== undefined) return;
      if (options.database === undefined) await database.drop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
  return server;
}

/**
 * Takes from a server that is closed what it holds but its log. The runner keeps the variables of every file until the worker ends, and
 * with hundreds of servers among them it would do little but collect garbage.
 */
function letGo(server: TestServer): void {
  const services = server.running.services as Partial<TestServer['running']['services']>;
  for (const name of Object.keys(services)) delete services[name as keyof typeof services];
  delete (server as { running?: TestServer['running'] }).running;
}
