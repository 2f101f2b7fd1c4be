import type pg from 'pg';
import { idPrefixes, newId } from '../ids/ids.ts';

/**
 * The id of the installation that a database belongs to, made by the first node that asks. It goes with the database: a
 * copy has the same.
 */
export async function readInstallationId(pool: Pick<pg.Pool, 'query'>): Promise<string> {
  const read = async () => (await pool.query<{ id: string }>('select id from installation')).rows[0]?.id;
  const known = await read();
  if (known !== undefined) return known;
  await pool.query('insert into installation (id) values ($1) on conflict do nothing', [
    newId(idPrefixes.installation),
  ]);
  return (await read())!;
}
