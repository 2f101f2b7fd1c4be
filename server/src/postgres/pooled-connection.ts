import type { CompiledQuery, DatabaseConnection, QueryResult } from 'kysely';
import type pg from 'pg';
import { preparedNameOf } from './prepared-name.ts';
import { isConnectionBroken } from './unavailable.ts';

/** Told the text of each statement just before it is sent; never its values. */
export type OnQuery = (sql: string) => void;

/**
 * One connection out of the pool, as Kysely wants it. It remembers whether it may go back: a connection that failed
 * in any way but a plain SQL error is destroyed on release.
 */
export class PooledConnection implements DatabaseConnection {
  readonly #client: pg.PoolClient;
  readonly #onQuery: OnQuery | undefined;
  readonly #timeoutMs: number | undefined;
  readonly #isPreparing: boolean;
  #isSealed = false;
  #isBroken = false;

  /**
   * @param options.timeoutMs how long each query may take before the client gives up; the pool's own by default
   * @param options.isPreparing keeps the plans of its statements with the connection
   */
  constructor(
    client: pg.PoolClient,
    options: { onQuery?: OnQuery | undefined; timeoutMs?: number; isPreparing?: boolean | undefined },
  ) {
    this.#client = client;
    this.#onQuery = options.onQuery;
    this.#timeoutMs = options.timeoutMs;
    this.#isPreparing = options.isPreparing === true;
  }

  /** The connection's state is unknown or it is gone; it will be destroyed. */
  get isBroken(): boolean {
    return this.#isBroken;
  }

  async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    if (this.#isSealed) {
      // The connection may already serve another account; a forgotten `await` must not reach into it.
      throw new Error('A query was started after its transaction had ended. An await is missing somewhere.');
    }
    const { command, rowCount, rows } = await this.#send(query.sql, query.parameters);
    const isWrite =
      command === 'INSERT' || command === 'UPDATE' || command === 'DELETE' || command === 'MERGE';
    return isWrite ? { rows, numAffectedRows: BigInt(rowCount ?? 0) } : { rows };
  }

  streamQuery(): never {
    throw new Error('Streaming a query is not supported; read in pages.');
  }

  /**
   * Runs a statement that controls the transaction, also on a sealed connection.
   *
   * @param shownAs what `onQuery` is told in its place
   * @returns the command that the server says it has completed, in the last statement where there are several
   */
  async control(sql: string, shownAs: string = sql): Promise<string> {
    const result: pg.QueryResult | pg.QueryResult[] = await this.#send(sql, undefined, shownAs);
    return (Array.isArray(result) ? result.at(-1)! : result).command;
  }

  /** Has the connection destroyed on release. */
  markBroken(): void {
    this.#isBroken = true;
  }

  /** Refuses further queries but `control`. */
  seal(): void {
    this.#isSealed = true;
  }

  /** Gives the connection back, or destroys it when it is broken. Call it once. */
  release(): void {
    this.#isSealed = true;
    this.#client.release(this.#isBroken);
  }

  async #send(text: string, values?: readonly unknown[], shownAs = text): Promise<pg.QueryResult> {
    this.#onQuery?.(shownAs);
    // `query_timeout` is the driver's, though its types do not list it for a single query.
    const query: pg.QueryConfig & { query_timeout?: number } = { text };
    if (values !== undefined) {
      query.values = values as unknown[];
      const name = this.#isPreparing ? preparedNameOf(text) : undefined;
      if (name !== undefined) query.name = name;
    }
    if (this.#timeoutMs !== undefined) query.query_timeout = this.#timeoutMs;
    try {
      return await this.#client.query(query);
    } catch (error) {
      if (isConnectionBroken(error)) this.#isBroken = true;
      throw error;
    }
  }
}
