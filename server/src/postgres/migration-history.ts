import pg from 'pg';
import { StartError } from '../supervisor/start-error.ts';
import { lookupRole, schemaName, serviceRole } from './connection-config.ts';
import type { MigrationFile } from './migration-files.ts';

const oldestPostgres = 15;

/**
 * Looks, without changing anything, whether this database can be ours: Postgres 15 or later, a primary, and either
 * ours already or empty.
 *
 * @throws StartError
 */
export async function assertMigratable(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query<{
    version: number;
    is_replica: boolean;
    encoding: string;
    database: string;
  }>(
    `select current_setting('server_version_num')::integer / 10000 as version, pg_is_in_recovery() as is_replica,
       current_setting('server_encoding') as encoding, current_database()::text as database`,
  );
  const server = rows[0]!;
  if (server.version < oldestPostgres) {
    throw new StartError(`This is Postgres ${server.version}; Gatelodge needs ${oldestPostgres} or later.`, {
      hint: 'Upgrade the server, or leave DATABASE_URL unset to use the embedded Postgres.',
    });
  }
  if (server.is_replica) {
    throw new StartError('The database is a read-only replica.', { hint: 'Migrations need the primary.' });
  }
  if (server.encoding !== 'UTF8') {
    throw new StartError(`The database ${server.database} has the encoding ${server.encoding}.`, {
      hint: `Make one with: create database gatelodge encoding 'UTF8' template template0;`,
    });
  }
  await assertOursOrEmpty(client, server.database);
}

/**
 * The files that have not run yet, in order.
 *
 * @throws StartError when the database's history and the files contradict each other
 */
export async function findPending(
  client: pg.ClientBase,
  files: readonly MigrationFile[],
): Promise<MigrationFile[]> {
  const applied = await readApplied(client);
  const lastApplied = [...applied.keys()].sort().at(-1) ?? '';
  const lastFile = files.at(-1)?.name ?? '';
  for (const name of applied.keys()) {
    // A newer build's migrations come after all of ours; anything else is another history.
    if (name < lastFile && !files.some((file) => file.name === name))
      throw otherHistory(`it has run ${name}`);
  }
  for (const file of files) {
    const checksum = applied.get(file.name);
    if (checksum === undefined && file.name < lastApplied) throw otherHistory(`it has not run ${file.name}`);
    if (checksum === undefined || checksum === file.checksum) continue;
    throw new StartError(`The migration ${file.name} has been changed since this database ran it.`, {
      hint: 'A migration that has run anywhere is never edited: restore the file and put the change into a new one.',
    });
  }
  return files.filter((file) => !applied.has(file.name));
}

/** Makes the schema and the table of what has run, unless they are there. Call `ensureRoles` first. */
export async function prepareSchema(client: pg.ClientBase): Promise<void> {
  if (await hasHistory(client)) return;
  try {
    await client.query(`
      begin;
      create schema if not exists ${schemaName};
      grant usage on schema ${schemaName} to ${serviceRole}, ${lookupRole};
      create table ${schemaName}.schema_migrations (
        name       text collate "C" primary key,
        checksum   text not null,
        applied_at timestamptz not null default now()
      );
      grant select on ${schemaName}.schema_migrations to ${serviceRole};
      commit`);
  } catch (cause) {
    await client.query('rollback');
    if (!(cause instanceof pg.DatabaseError) || cause.code !== '42501') throw cause;
    throw new StartError('The user that runs the migrations may not make a schema in this database.', {
      hint: 'Run as an administrator: grant create on database <the database> to <that user>;',
      cause,
    });
  }
}

async function assertOursOrEmpty(client: pg.ClientBase, database: string): Promise<void> {
  if (await hasHistory(client)) return;
  // Tables of extensions do not count: managed servers put them into every database.
  const { rows } = await client.query<{ table: string; count: number }>(
    `select format('%s.%s', n.nspname, c.relname) as table, count(*) over ()::integer as count
     from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
       and not exists (select from pg_depend d
         where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
     order by 1 limit 1`,
  );
  const found = rows[0];
  if (found === undefined) return;
  throw new StartError(
    `The database ${database} belongs to something else: it holds ${found.count} tables or views, such as ` +
      `${found.table}, and none of them is Gatelodge's. Nothing has been changed.`,
    { hint: 'Give Gatelodge a database of its own: create database gatelodge;' },
  );
}

async function hasHistory(client: pg.ClientBase): Promise<boolean> {
  const { rows } = await client.query<{ columns: string[] | null }>(
    `select array_agg(attname::text) as columns from pg_attribute
     where attrelid = to_regclass('${schemaName}.schema_migrations') and attnum > 0 and not attisdropped`,
  );
  const columns = rows[0]?.columns;
  return ['name', 'checksum', 'applied_at'].every((column) => columns?.includes(column));
}

async function readApplied(client: pg.ClientBase): Promise<Map<string, string>> {
  if (!(await hasHistory(client))) return new Map();
  const { rows } = await client.query<{ name: string; checksum: string }>(
    `select name, checksum from ${schemaName}.schema_migrations`,
  );
  return new Map(rows.map((row) => [row.name, row.checksum]));
}

function otherHistory(what: string): StartError {
  return new StartError(
    `This database was migrated by a build with other migrations than this one: ${what}.`,
    {
      hint: 'Start the build that made the database, or a release later than it.',
    },
  );
}
