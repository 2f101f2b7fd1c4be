import { fileURLToPath } from 'node:url';
import type pg from 'pg';
import { StartError } from '../supervisor/start-error.ts';
import { schemaName } from './connection-config.ts';
import { readMigrationNames } from './migration-files.ts';

/** Where the migrations of this build lie. */
export const migrationsDirectory = fileURLToPath(new URL('../../migrations', import.meta.url));

/**
 * Makes sure that the database has run every migration of this build; one that has run more is fit, for a newer build
 * leaves it so that older ones work. Else requests would fail one by one, by whatever is missing.
 *
 * @throws StartError that names what is missing and says what to do
 */
export async function assertMigrated(pool: pg.Pool, directory = migrationsDirectory): Promise<void> {
  const { rows } = await pool.query<{ name: string }>(`select name from ${schemaName}.schema_migrations`);
  const applied = new Set(rows.map(({ name }) => name));
  const missing = (await readMigrationNames(directory)).filter((name) => !applied.has(name));
  if (missing.length === 0) return;
  throw new StartError(`The database is older than this build: it has not run ${missing.join(', ')}.`, {
    hint: 'Run gatelodge migrate (as the owner, DATABASE_OWNER_URL), then start again.',
  });
}
