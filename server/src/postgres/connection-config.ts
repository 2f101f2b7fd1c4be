import type { ClientConfig } from 'pg';
import { parseIntoClientConfig } from 'pg-connection-string';

/** The schema that holds every object of ours. */
export const schemaName = 'gatelodge';

/** The role that every statement of the service runs as, whoever its connection signed in as. */
export const serviceRole = 'gatelodge_app';

/** The role that owns the look-up functions; nobody signs in as it. */
export const lookupRole = 'gatelodge_lookup';

const connectTimeoutMs = 2_000;
const usualStatementTimeoutMs = 10_000;

/**
 * The configuration of a connection of the service: role, schema and timeouts are set by the startup message, so
 * that no statement can run before them and no round trip is spent on them.
 *
 * Startup options rather than `ALTER ROLE … SET`: with somebody else's database we may alter no role, and a template
 * copy of a database does not take per-database settings along. What an operator writes into `options=` of the URL
 * wins over our timeouts, but not over what isolation of tenants and correctness rest on.
 *
 * Times: 2 s to connect, 10 s a statement unless given, 15 s idle within a transaction. The client gives up 2 s after the server
 * should have, for a server that answers nothing at all.
 *
 * @param connectionString a `postgres://` URL; a Unix socket as `postgres://user@/database?host=/directory`
 * @throws TypeError when the URL cannot be parsed; its message does not repeat the URL
 */
export function connectionConfig(
  connectionString: string,
  applicationName: string,
  statementTimeoutMs = usualStatementTimeoutMs,
): ClientConfig {
  const url = parseIntoClientConfig(connectionString);
  return {
    ...url,
    application_name: applicationName,
    connectionTimeoutMillis: connectTimeoutMs,
    query_timeout: statementTimeoutMs + 2_000,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    options: [
      `-c statement_timeout=${statementTimeoutMs}`,
      '-c idle_in_transaction_session_timeout=15000',
      url.options ?? '',
      // Always, also for a user who is that role: one rule, and RESET ROLE does not lead out of it.
      `-c role=${serviceRole}`,
      // pg_temp last: named nowhere, it would be searched first, and temporary tables could shadow ours.
      `-c search_path=${schemaName},pg_temp`,
      '-c row_security=on',
      // Every statement here is short. What a deletion forbids the planner looks dear enough to be compiled to Postgres before
      // 18, row by row.
      '-c jit=off',
      // A guarded UPDATE counts on seeing the row as it is now, and a cache fill on a snapshot of its own.
      '-c default_transaction_isolation=read\\ committed',
      // What our parsers of times expect.
      '-c datestyle=ISO,YMD',
      '-c timezone=UTC',
    ].join(' '),
  };
}
