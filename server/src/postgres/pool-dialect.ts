import {
  type DatabaseConnection,
  type DatabaseIntrospector,
  type Dialect,
  type Driver,
  type Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
} from 'kysely';
import type pg from 'pg';
import { lookupTimeoutMs } from './lookup.ts';
import { type OnQuery, PooledConnection } from './pooled-connection.ts';

/**
 * Kysely over our pool, for queries outside of any account. Unlike Kysely's own dialect it destroys connections that
 * broke, gives up on one that answers nothing after 700 ms, and opens no transactions: those belong to an account.
 */
export class PoolDialect implements Dialect {
  readonly #pool: pg.Pool;
  readonly #onQuery: OnQuery | undefined;

  constructor(pool: pg.Pool, onQuery: OnQuery | undefined) {
    this.#pool = pool;
    this.#onQuery = onQuery;
  }

  createAdapter(): PostgresAdapter {
    return new PostgresAdapter();
  }

  createQueryCompiler(): PostgresQueryCompiler {
    return new PostgresQueryCompiler();
  }

  createIntrospector(db: Kysely<unknown>): DatabaseIntrospector {
    return new PostgresIntrospector(db);
  }

  createDriver(): Driver {
    return new PoolDriver(this.#pool, this.#onQuery);
  }
}

class PoolDriver implements Driver {
  readonly #pool: pg.Pool;
  readonly #onQuery: OnQuery | undefined;

  constructor(pool: pg.Pool, onQuery: OnQuery | undefined) {
    this.#pool = pool;
    this.#onQuery = onQuery;
  }

  async init(): Promise<void> {}

  async acquireConnection(): Promise<DatabaseConnection> {
    const client = await this.#pool.connect();
    return new PooledConnection(client, { onQuery: this.#onQuery, timeoutMs: lookupTimeoutMs });
  }

  async releaseConnection(connection: DatabaseConnection): Promise<void> {
    (connection as PooledConnection).release();
  }

  beginTransaction(): never {
    throw new Error('A transaction belongs to an account: use withAccount.');
  }

  commitTransaction(): never {
    throw new Error('A transaction belongs to an account: use withAccount.');
  }

  rollbackTransaction(): never {
    throw new Error('A transaction belongs to an account: use withAccount.');
  }

  /** Whoever made the pool ends it. */
  async destroy(): Promise<void> {}
}
