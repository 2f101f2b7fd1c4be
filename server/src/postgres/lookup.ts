import type pg from 'pg';

/**
 * How long a look-up may take, from sending it until its rows are here. Together with what follows it stays below
 * the second within which a revocation holds on every node: rows say what was true when they were read, and an
 * answer that hung in the network for longer must not be believed any more.
 */
export const lookupTimeoutMs = 700;

/**
 * For the connections that look-ups have: Postgres gives up soon after we have, so that nobody's slow look-ups go on there
 * by themselves, as many at once as are sent.
 */
export const lookupStatementTimeoutMs = 1_000;

/**
 * Calls one of the look-up functions, outside of any account. Prepared once a connection.
 *
 * @throws Error that `isUnavailable` recognizes when no answer is there after 700 ms; the connection is destroyed
 */
export async function callLookup<Row extends pg.QueryResultRow>(
  pool: pg.Pool,
  name: string,
  values: unknown[],
): Promise<Row[]> {
  const parameters = values.map((_, index) => `$${index + 1}`).join(', ');
  // `query_timeout` is the driver's, though its types do not list it for a single query.
  const query: pg.QueryConfig & { query_timeout: number } = {
    name,
    text: `select * from ${name}(${parameters})`,
    values,
    query_timeout: lookupTimeoutMs,
  };
  const { rows } = await pool.query<Row>(query);
  return rows;
}
