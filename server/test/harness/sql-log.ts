import type pg from 'pg';
import type { TestServer } from './server.ts';

/** A query that ran outside of any transaction of the management API. */
export interface Lookup {
  text: string;
  values: readonly unknown[];
}

/** What the background jobs of a server run, whatever its requests do. */
const ofJobs =
  /lookup_deleting_accounts|lookup_deleting_issuers|expire_idempotency_records|lookup_accounts_with_notices|lookup_signing_key_work|lookup_issuers_without_signing_key/;

/**
 * Writes down what a server sends to Postgres: the statements of its transactions, and its look-ups (of keys by
 * digest, of issuers, of tenants) with their values. Without what its background jobs run.
 */
export class SqlLog {
  readonly #server: TestServer;
  readonly #lookups: Lookup[] = [];
  readonly #unwrap: (() => void)[];
  #statementsFrom = 0;

  constructor(server: TestServer) {
    this.#server = server;
    const { pool, lookupPool } = server.running.services;
    this.#unwrap = [pool, lookupPool].map((each) => this.#listenTo(each));
    this.clear();
  }

  /** Forgets what has been written down. */
  clear(): void {
    this.#lookups.length = 0;
    this.#statementsFrom = this.#server.statements.length;
  }

  /** The statements of transactions since `clear`. */
  get statements(): string[] {
    return this.#server.statements.slice(this.#statementsFrom).filter((sql) => !ofJobs.test(sql));
  }

  /** The look-ups since `clear`. */
  get lookups(): readonly Lookup[] {
    return this.#lookups;
  }

  /** Lets the server go on without. */
  close(): void {
    for (const unwrap of this.#unwrap) unwrap();
  }

  #listenTo(pool: pg.Pool): () => void {
    const ask = pool.query;
    pool.query = ((...args: unknown[]) => {
      const query = args[0] as string | { text: string; values?: unknown[] };
      this.#lookups.push(
        typeof query === 'string'
          ? { text: query, values: [] }
          : { text: query.text, values: query.values ?? [] },
      );
      return Reflect.apply(ask, pool, args);
    }) as pg.Pool['query'];
    return () => {
      pool.query = ask;
    };
  }
}
