import { migrateDatabase } from '../../src/postgres/migrate.ts';
import type { DataDirectory } from '../../src/supervisor/data-directory.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/supervisor/embedded-postgres.ts';
import { throwAwayDirectory } from '../../src/supervisor/fixtures/throw-away-directory.ts';
import { silentLog } from '../../src/supervisor/log.ts';
import { removeSocketDirectory } from '../../src/supervisor/socket-directory.ts';

/** A Postgres of a test's own, with a migrated database, that is stopped and started again under its clients. */
export class StoppablePostgres implements AsyncDisposable {
  readonly #directory: AsyncDisposable;
  readonly #data: DataDirectory;
  #running: EmbeddedPostgres;

  static async start(): Promise<StoppablePostgres> {
    const directory = await throwAwayDirectory();
    const data = await directory.open();
    const running = await startEmbeddedPostgres({ dataDirectory: data, log: silentLog });
    await migrateDatabase({ ownerUrl: running.ownerUrl, log: silentLog });
    return new StoppablePostgres(directory, data, running);
  }

  private constructor(directory: AsyncDisposable, data: DataDirectory, running: EmbeddedPostgres) {
    this.#directory = directory;
    this.#data = data;
    this.#running = running;
  }

  /** Stays the same over a stop and a start. */
  get appUrl(): string {
    return this.#running.appUrl;
  }

  get superuserUrl(): string {
    return this.#running.superuserUrl;
  }

  /** A URL for any database and role of it. */
  databaseUrl(database: string, role: string): string {
    return this.#running.databaseUrl(database, role);
  }

  /** Ends it, by fast shutdown or harder, and resolves when it is gone. */
  async stop(signal: 'SIGINT' | 'SIGQUIT' | 'SIGKILL' = 'SIGINT'): Promise<void> {
    process.kill(this.#running.pid, signal);
    await this.#running.exited;
  }

  /** Starts it on the same socket; resolves when it accepts connections. */
  async startAgain(): Promise<void> {
    const { socketDirectory } = this.#running;
    this.#running = await startEmbeddedPostgres({
      dataDirectory: this.#data,
      log: silentLog,
      socketDirectory,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#running.stop();
    await removeSocketDirectory(this.#running.socketDirectory);
    await this.#directory[Symbol.asyncDispose]();
  }
}
