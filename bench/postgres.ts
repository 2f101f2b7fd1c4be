import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { moveTo } from './cores.ts';
import { childrenOf, cpuSecondsOf } from './processes.ts';

/** The database of Gatelodge and the cluster's superuser, to whom no row is hidden. */
const gatelodgeDatabase = 'gatelodge';
const superuser = 'gatelodge_root';

/** The embedded Postgres of a running Gatelodge, past every rule of its. */
export class BenchPostgres {
  readonly #postmaster: number;
  readonly #socketDirectory: string;
  readonly #port: string;

  /** Postgres writes its pid, its port and its socket's directory into lines 1, 4 and 5 of `postmaster.pid`. */
  static async of(dataDir: string): Promise<BenchPostgres> {
    const lines = (await readFile(join(dataDir, 'postgres/cluster/postmaster.pid'), 'utf8')).split('\n');
    return new BenchPostgres(Number(lines[0]), lines[4]!, lines[3]!);
  }

  private constructor(postmaster: number, socketDirectory: string, port: string) {
    this.#postmaster = postmaster;
    this.#socketDirectory = socketDirectory;
    this.#port = port;
  }

  /** Of the superuser, whom row-level security does not bind. */
  url(database = gatelodgeDatabase): string {
    const query = new URLSearchParams({ host: this.#socketDirectory, port: this.#port, sslmode: 'disable' });
    // Triggers of ours leave the schema out, as the service's connections let them.
    if (database === gatelodgeDatabase) query.set('options', '-c search_path=gatelodge,pg_temp');
    return `postgresql://${superuser}@/${database}?${query.toString().replaceAll('+', '%20')}`;
  }

  /** Runs one statement on a connection of its own. */
  async query<Row extends pg.QueryResultRow>(
    sql: string,
    values: unknown[] = [],
    database = gatelodgeDatabase,
  ): Promise<Row[]> {
    const client = new pg.Client({ connectionString: this.url(database) });
    await client.connect();
    try {
      const { rows } = await client.query<Row>(sql, values);
      return rows;
    } finally {
      await client.end();
    }
  }

  /** Lets it run on these cores, sessions that are open and those to come. */
  async useCores(cores: string): Promise<void> {
    moveTo(cores, [this.#postmaster, ...(await childrenOf(this.#postmaster))]);
  }

  /** Seconds of processor time of its sessions and workers so far. */
  async cpuSeconds(): Promise<number> {
    const running = await childrenOf(this.#postmaster);
    const seconds = await Promise.all([
      cpuSecondsOf(this.#postmaster, { withEnded: true }),
      // One that ends at this moment is counted with the postmaster's next time.
      ...running.map((pid) => cpuSecondsOf(pid).catch(() => 0)),
    ]);
    return seconds.reduce((sum, each) => sum + each, 0);
  }

  /** Transactions that have ended in the database of Gatelodge; each statement outside of one counts as its own. */
  async transactions(): Promise<number> {
    const [row] = await this.query<{ ended: string }>(
      'select xact_commit + xact_rollback as ended from pg_stat_database where datname = $1',
      [gatelodgeDatabase],
    );
    return Number(row!.ended);
  }
}
