import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { StartError } from '../supervisor/start-error.ts';
import { lookupRole, serviceRole } from './connection-config.ts';

/**
 * Makes sure that `gatelodge_app` and `gatelodge_lookup` exist, that neither can step around row-level security, and
 * that the present user (the owner of the schema) may hand functions over to `gatelodge_lookup` and act as
 * `gatelodge_app`. Roles that an administrator has made are taken as they are; nothing is written when all is well.
 *
 * Roles belong to the whole server, and migrations of another database may be making them at this moment: losing
 * that race is no error.
 *
 * @throws StartError with the SQL for an administrator, where the user's own rights do not reach
 * @throws MembershipNotSeen when it takes a new session
 */
export async function ensureRoles(client: pg.ClientBase): Promise<void> {
  const version = await readVersion(client);
  for (let attempt = 1; ; attempt++) {
    try {
      await makeRoles(client, version);
      // Looked at only after it was granted, and again after a while: a session can see another one's grant in the
      // catalog a moment before it hears that its own cached memberships are out of date.
      if (await may(client, lookupRole, version)) return;
      if (attempt === 5)
        throw new MembershipNotSeen(notAllowed(`use the rights of ${lookupRole}`, client, version));
    } catch (error) {
      if (!isRoleRace(error) || attempt === 20) throw error;
    }
    await delay(10 + Math.random() * 50 * attempt);
  }
}

/**
 * The membership was granted without complaint, and the session does not see it. It may have filled its cache of
 * memberships while another session was granting them, and nothing more will tell it that the cache is out of date: a
 * new session sees it.
 */
export class MembershipNotSeen extends Error {
  /** What to say where a new session does not see it either. */
  readonly told: StartError;

  constructor(told: StartError) {
    super('a membership was granted and is not seen');
    this.told = told;
  }
}

async function makeRoles(client: pg.ClientBase, version: number): Promise<void> {
  for (const role of [serviceRole, lookupRole]) {
    await makeRole(client, role, version);
    await assertHarmless(client, role);
  }
  // Without this a single DATABASE_URL could not serve. Where there are two it is not needed, so lacking the right
  // to grant it is no error here; `assertServiceRole` says so when it is one.
  await allow(client, serviceRole, version).catch((error: unknown) => {
    if (!isDenied(error)) throw error;
  });
  await allow(client, lookupRole, version).catch((error: unknown) => {
    throw isDenied(error)
      ? notAllowed(`hand functions over to ${lookupRole}`, client, version, error)
      : error;
  });
}

async function makeRole(client: pg.ClientBase, role: string, version: number): Promise<void> {
  const { rowCount } = await client.query('select from pg_roles where rolname = $1', [role]);
  if (rowCount === 1) return;
  try {
    // Without a password and without LOGIN nobody can sign in as it; an administrator can add both.
    await client.query(`create role ${role} nologin`);
  } catch (error) {
    throw isDenied(error) ? notAllowed(`make the role ${role}`, client, version, error) : error;
  }
}

/** CREATEROLE counts as well: on Postgres 15 it can grant itself the owner. */
async function assertHarmless(client: pg.ClientBase, role: string): Promise<void> {
  const { rowCount } = await client.query(
    'select from pg_roles where rolname = $1 and (rolsuper or rolbypassrls or rolcreaterole)',
    [role],
  );
  if (rowCount === 0) return;
  throw new StartError(`The role ${role} has rights with which it can step around row-level security.`, {
    hint: `Run as an administrator: alter role ${role} nosuperuser nobypassrls nocreaterole;`,
  });
}

/** Grants the present user what `may` asks for, unless there already. */
async function allow(client: pg.ClientBase, role: string, version: number): Promise<void> {
  if (await may(client, role, version)) return;
  const grant = () => client.query(`grant ${role} to current_user${grantOptions(version)}`);
  await grant().catch(async (error: unknown) => {
    if (!isDenied(error)) throw error;
    // The role may be so new that our right to grant it has not come through to this session; see `ensureRoles`.
    await delay(30);
    await grant();
  });
}

/**
 * Whether the present user may SET ROLE to it (needed by ALTER FUNCTION … OWNER TO) and inherits its rights (needed
 * to revoke and replace such a function later). A superuser may everything.
 */
async function may(client: pg.ClientBase, role: string, version: number): Promise<boolean> {
  // From Postgres 16 on membership alone no longer lets a user SET ROLE.
  const setPrivilege = version >= 16 ? 'SET' : 'MEMBER';
  const { rows } = await client.query<{ may: boolean }>(
    `select pg_has_role(current_user, $1, '${setPrivilege}') and pg_has_role(current_user, $1, 'USAGE') as may`,
    [role],
  );
  return rows[0]!.may;
}

function grantOptions(version: number): string {
  return version >= 16 ? ' with inherit true, set true' : '';
}

async function readVersion(client: pg.ClientBase): Promise<number> {
  const { rows } = await client.query<{ version: number }>(
    `select current_setting('server_version_num')::integer / 10000 as version`,
  );
  return rows[0]!.version;
}

function notAllowed(what: string, client: pg.ClientBase, version: number, cause?: unknown): StartError {
  const user = client instanceof pg.Client && client.user ? pg.escapeIdentifier(client.user) : '<that user>';
  return new StartError(`The user that runs the migrations, ${user}, may not ${what}.`, {
    hint: [
      'Run as an administrator (leave out what is there already) and start again:',
      `  create role ${serviceRole} nologin;`,
      `  create role ${lookupRole} nologin;`,
      `  grant ${serviceRole}, ${lookupRole} to ${user}${grantOptions(version)};`,
      ...(version >= 16 ? [] : [`  alter role ${user} inherit;`]),
    ].join('\n'),
    cause,
  });
}

function isDenied(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === '42501';
}

/** Two sessions that change the same role or membership: one of them gets a catalog's raw error. */
function isRoleRace(error: unknown): boolean {
  if (!(error instanceof pg.DatabaseError)) return false;
  const isDuplicate = error.code === '42710' || error.code === '23505';
  return isDuplicate || (error.code === 'XX000' && /tuple concurrently/.test(error.message));
}
