import pg from 'pg';

/** Owns the schema and runs migrations; may make roles, and databases from templates. */
export const ownerRole = 'gatelodge_owner';
/** The service's role: owns nothing, row-level security applies to it. */
export const serviceRole = 'gatelodge_app';
export const serviceDatabase = 'gatelodge';

/**
 * Makes the roles and the database of an embedded cluster where they are missing.
 *
 * Done at every start rather than once after initdb, so that a kill in between is mended by the next start.
 *
 * @throws what pg throws when the cluster can't be reached
 */
export async function ensureRoles(superuserUrl: string): Promise<void> {
  const client = new pg.Client({ connectionString: superuserUrl });
  client.on('error', () => {});
  await client.connect();
  try {
    const found = await client.query<{ name: string }>(
      `SELECT rolname::text AS name FROM pg_roles WHERE rolname IN ($1, $2)
       UNION ALL SELECT 'database' FROM pg_database WHERE datname = $3`,
      [ownerRole, serviceRole, serviceDatabase],
    );
    const names = new Set(found.rows.map((row) => row.name));
    if (!names.has(ownerRole)) await client.query(`CREATE ROLE ${ownerRole} LOGIN CREATEDB CREATEROLE`);
    if (!names.has(serviceRole)) await client.query(`CREATE ROLE ${serviceRole} LOGIN`);
    if (!names.has('database')) await client.query(`CREATE DATABASE ${serviceDatabase} OWNER ${ownerRole}`);
  } finally {
    await client.end();
  }
}
