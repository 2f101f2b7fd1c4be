import { Kysely, type KyselyProps, Transaction as KyselyTransaction, SingleConnectionProvider } from 'kysely';
import type pg from 'pg';
import { idPrefixes, isId } from '../ids/ids.ts';
import { PoolDialect } from './pool-dialect.ts';
import { type OnQuery, PooledConnection } from './pooled-connection.ts';
import type { Schema } from './schema.ts';

/** Kysely bound to the one connection of a transaction in which one account is set. */
export type Transaction = KyselyTransaction<Schema>;

/**
 * The commit was sent and its answer never came: the change may have been made or not. Counts as unavailable
 * (`isUnavailable`); whoever repeats the work has to be able to tell (idempotency key, guarded update).
 */
export class CommitOutcomeUnknownError extends Error {
  override readonly name = 'CommitOutcomeUnknownError';
}

export interface TransactionOptions {
  /** How long each of its statements may take; that of the connection, 10 s, unless given. */
  statementTimeoutMs?: number;
  /**
   * The connection keeps the plans of its statements: for transactions that are run again and again with the same few. With
   * the policies of row-level security a plan takes longer to make than to carry out, so none is made for one call's values.
   */
  isPreparing?: boolean;
}

/** The only way to the tables: a transaction of one account, or the look-up functions outside of any. */
export class Database {
  /**
   * Queries outside of any account and of any transaction. Row-level security shows them no tenant's rows, so only
   * the look-up functions and the installation's own tables answer. A query that takes over 700 ms fails.
   */
  readonly lookups: Kysely<Schema>;

  readonly #pool: pg.Pool;
  readonly #onQuery: OnQuery | undefined;
  readonly #transactionProps: Omit<KyselyProps, 'executor'>;

  /**
   * @param options.pool a pool made by `createPool`; it stays the caller's to end
   * @param options.onQuery told every statement's text (without values; the opening of a transaction without its
   *   account) in the order they are sent, so that tests can compare what two requests ran
   */
  constructor(options: { pool: pg.Pool; onQuery?: OnQuery }) {
    this.#pool = options.pool;
    this.#onQuery = options.onQuery;
    const dialect = new PoolDialect(options.pool, options.onQuery);
    this.lookups = new Kysely<Schema>({ dialect });
    this.#transactionProps = { config: { dialect }, dialect, driver: dialect.createDriver() };
  }

  /**
   * Runs `work` in a transaction that sees one account's rows only, and commits. Opening it takes one round trip.
   *
   * Resolves only when Postgres has acknowledged the commit. When `work` or the commit fails, nothing has changed
   * (but see CommitOutcomeUnknownError) and the error passes through. `tx` is of no use after `work` has settled.
   * Isolation is READ COMMITTED. Whatever has to happen after the commit is the caller's to do.
   *
   * @throws TypeError when `accountId` is not the id of an account; nothing has been sent then
   */
  async withAccount<T>(
    accountId: string,
    work: (tx: Transaction) => Promise<T>,
    { statementTimeoutMs, isPreparing }: TransactionOptions = {},
  ): Promise<T> {
    // The id goes into the text of the statement (the simple protocol has no parameters), so it is checked here,
    // wherever it comes from.
    if (typeof accountId !== 'string' || !isId(idPrefixes.account, accountId)) {
      throw new TypeError('withAccount wants the id of an account.');
    }
    const connection = new PooledConnection(await this.#pool.connect(), {
      onQuery: this.#onQuery,
      isPreparing,
    });
    try {
      await connection.control(
        `begin; set local gatelodge.account_id = '${accountId}'` +
          (statementTimeoutMs === undefined ? '' : `; set local statement_timeout = ${statementTimeoutMs}`) +
          (isPreparing === true ? '; set local plan_cache_mode = force_generic_plan' : ''),
        'begin; set local gatelodge.account_id',
      );
      const result = await work(this.#bind(connection));
      connection.seal();
      await commit(connection);
      return result;
    } catch (error) {
      connection.seal();
      await rollBack(connection);
      throw error;
    } finally {
      connection.release();
    }
  }

  #bind(connection: PooledConnection): Transaction {
    const executor = this.lookups
      .getExecutor()
      .withConnectionProvider(new SingleConnectionProvider(connection));
    return new KyselyTransaction<Schema>({ ...this.#transactionProps, executor });
  }
}

async function commit(connection: PooledConnection): Promise<void> {
  let command: string;
  try {
    command = await connection.control('commit');
  } catch (error) {
    if (!connection.isBroken) throw error;
    throw new CommitOutcomeUnknownError('The connection broke during a commit.', { cause: error });
  }
  // Postgres answers the commit of a failed transaction with success and the tag ROLLBACK.
  if (command !== 'COMMIT') {
    throw new Error(
      'A statement of this transaction failed and its error was swallowed; nothing was committed.',
    );
  }
}

/** Never fails: a connection whose transaction cannot be rolled back is destroyed, which rolls it back. */
async function rollBack(connection: PooledConnection): Promise<void> {
  if (connection.isBroken) return;
  try {
    await connection.control('rollback');
  } catch {
    connection.markBroken();
  }
}
