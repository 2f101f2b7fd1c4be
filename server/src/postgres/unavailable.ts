import pg from 'pg';

const socketCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'EHOSTDOWN',
  'ENETUNREACH',
  'ENETDOWN',
  'ENOTFOUND',
  'EAI_AGAIN',
]);

/** The driver gives these no code; `unavailable.test.ts` meets each of them in a real failure. */
const driverMessages = new Set([
  'timeout exceeded when trying to connect',
  'timeout expired',
  'Connection terminated due to connection timeout',
  'Connection terminated unexpectedly',
  'Connection terminated',
  'Client has encountered a connection error and is not queryable',
  'Client was closed and is not queryable',
  'Cannot use a pool after calling end on the pool',
  'Query read timeout',
]);

/**
 * Says whether an error of a query means that Postgres cannot be worked with just now: not reached, starting,
 * stopping, without resources or room for a connection, read-only after a failover, or slower than its timeouts.
 * The same request may succeed later (503); any other error is about the request or about us. Causes are looked at too.
 *
 * Only meant for errors that came out of this folder: the same socket codes from a mail server would say nothing
 * about Postgres.
 */
export function isUnavailable(error: unknown): boolean {
  for (let current = error; current instanceof Error; current = current.cause) {
    if (current instanceof pg.DatabaseError) return isUnavailableState(current.code ?? '');
    if (current instanceof AggregateError && current.errors.some(isUnavailable)) return true;
    if (driverMessages.has(current.message)) return true;
    if ('code' in current && typeof current.code === 'string') {
      if (socketCodes.has(current.code)) return true;
      // The Unix socket of a Postgres that is not there; any other missing file is our own fault.
      if (current.code === 'ENOENT' && 'syscall' in current && current.syscall === 'connect') return true;
    }
  }
  return false;
}

/**
 * Says whether the connection that an error came over must not be used again. True for everything but an error that
 * the server reported and went on after, so also after an error of the driver's own whose state nobody knows.
 */
export function isConnectionBroken(error: unknown): boolean {
  if (!(error instanceof pg.DatabaseError)) return true;
  // The severity is in the server's language, so the codes of sessions that ended are asked first.
  return /^(08|57P|25P03|25P04)/.test(error.code ?? '') || /^(FATAL|PANIC)$/.test(error.severity ?? 'FATAL');
}

/**
 * Says whether Postgres took no connection or ended one, which it tells at once, rather than being slow: stopping, away,
 * starting, or without room for another.
 */
export function isAway(error: unknown): boolean {
  if (!isUnavailable(error) || !isConnectionBroken(error)) return false;
  return error instanceof pg.DatabaseError || !/timeout|ETIMEDOUT/.test(String(error));
}

/** SQLSTATEs: https://www.postgresql.org/docs/current/errcodes-appendix.html */
function isUnavailableState(code: string): boolean {
  return (
    code.startsWith('08') || // connection
    code.startsWith('53') || // resources, among them 53300 too_many_connections
    code.startsWith('57P') || // shutdown, crash, starting, database dropped, idle session ended
    code === '57014' || // statement_timeout
    code === '25P03' || // idle_in_transaction_session_timeout
    code === '25P04' || // transaction_timeout
    code === '25006' // read-only: a primary that has become a standby
  );
}
