import pg from 'pg';
import { StartError } from '../supervisor/start-error.ts';
import { connectionConfig, lookupRole, schemaName, serviceRole } from './connection-config.ts';
import type { DatabaseLog } from './log.ts';
import { valueParsers } from './value-parsers.ts';

/**
 * The service's pool: every connection runs as `gatelodge_app` in the schema `gatelodge` (see `connectionConfig`
 * for its timeouts). Connecting and waiting for a free connection each end with an error after 2 s.
 *
 * No breaking connection ends the process: idle ones are dropped and logged, one that breaks in somebody's hands
 * fails that one's next query.
 *
 * @param max connections, at least 1
 * @param statementTimeoutMs 10,000 unless given
 */
export function createPool(options: {
  connectionString: string;
  max: number;
  applicationName: string;
  log: DatabaseLog;
  statementTimeoutMs?: number;
}): pg.Pool {
  const pool = new pg.Pool({
    ...connectionConfig(options.connectionString, options.applicationName, options.statementTimeoutMs),
    types: valueParsers,
    max: options.max,
    // A quiet node keeps two warm, for the first request after the quiet.
    min: Math.min(2, options.max),
    idleTimeoutMillis: 60_000,
  });
  // Not the error itself: the driver hangs its client on it, and with it the values of the last queries.
  pool.on('error', (error) => {
    options.log.warn({ reason: error.message }, 'an idle connection to Postgres broke');
  });
  // The pool listens for errors of idle clients only. One that is checked out and breaks between two queries would
  // otherwise raise an unhandled 'error' event, which ends the process.
  pool.on('connect', (client) => {
    client.on('error', (error) => {
      options.log.debug({ reason: error.message }, 'a connection to Postgres broke');
    });
  });
  return pool;
}

/**
 * Makes sure that row-level security binds the service: its role is no superuser, has no BYPASSRLS, neither owns our
 * tables nor can become their owner or the look-up role, and `row_security` is on. Also that the startup options
 * arrived and that this is no read-only replica. Call it after the migrations and before the first request.
 *
 * @throws StartError that says what to do
 */
export async function assertServiceRole(pool: pg.Pool): Promise<void> {
  const found = await readRole(pool);
  if (found.is_superuser || found.bypasses_rls) {
    throw new StartError(
      `Row-level security does not bind ${found.role}, the role the service would run as.`,
      {
        hint: `Run as an administrator: alter role ${pg.escapeIdentifier(found.role)} nosuperuser nobypassrls;`,
      },
    );
  }
  if (found.schema !== schemaName || found.role !== serviceRole) {
    throw new StartError(
      `The connection runs as ${found.role} in schema ${found.schema ?? '(none)'}, not as ${serviceRole} in ` +
        `${schemaName}: its startup options did not arrive, or the schema is not there.`,
      {
        hint:
          'DATABASE_URL has to lead to Postgres directly or through a pooler in session mode that passes "options" ' +
          'on, and to the database that the migrations ran in.',
      },
    );
  }
  if (found.is_owner || found.is_lookup) {
    const other = found.is_owner ? 'the owner of its tables' : lookupRole;
    throw new StartError(
      `${serviceRole} is or may become ${other}, so row-level security does not bind it.`,
      {
        hint:
          `Run as an administrator: revoke ${found.is_owner ? '<the owner>' : lookupRole} from ${serviceRole}; ` +
          '(the owner of the tables has to be another role).',
      },
    );
  }
  if (!found.has_row_security) {
    throw new StartError('row_security is off for the connections of the service.', {
      hint: 'Take it out of the options of DATABASE_URL.',
    });
  }
  if (found.is_replica) {
    throw new StartError('DATABASE_URL leads to a read-only replica.', {
      hint: 'It has to lead to the primary.',
    });
  }
}

type FoundRole = {
  role: string;
  schema: string | null;
  is_superuser: boolean;
  bypasses_rls: boolean;
  is_owner: boolean;
  is_lookup: boolean;
  has_row_security: boolean;
  is_replica: boolean;
};

async function readRole(pool: pg.Pool): Promise<FoundRole> {
  try {
    // MEMBER, not USAGE: what a role may become by SET ROLE counts as well, and what it inherits lifts row-level
    // security right away.
    const { rows } = await pool.query<FoundRole>(
      `select current_user::text as role, current_schema()::text as schema,
         r.rolsuper as is_superuser, r.rolbypassrls as bypasses_rls,
         exists (select from pg_class c where c.relnamespace = to_regnamespace('${schemaName}')
           and c.relkind in ('r', 'p') and pg_has_role(current_user, c.relowner, 'MEMBER')) as is_owner,
         exists (select from pg_roles l where l.rolname = '${lookupRole}'
           and pg_has_role(current_user, l.oid, 'MEMBER')) as is_lookup,
         current_setting('row_security') = 'on' as has_row_security,
         pg_is_in_recovery() as is_replica
       from pg_roles r where r.rolname = current_user`,
    );
    return rows[0]!;
  } catch (error) {
    if (error instanceof pg.DatabaseError && (error.code === '42501' || error.code === '22023')) {
      throw new StartError(`The user of DATABASE_URL may not act as ${serviceRole}.`, {
        hint: `Run the migrations, then as an administrator: grant ${serviceRole} to <that user>;`,
        cause: error,
      });
    }
    throw error;
  }
}
