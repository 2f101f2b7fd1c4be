import type pg from 'pg';
import type { SecretPurpose } from './secret-purpose.ts';

/** A connection, in a transaction or not. */
export type Connection = pg.Pool | pg.PoolClient;

/** One row of `installation_secrets`. */
export interface SecretRow {
  purpose: string;
  generation: number;
  wrapped: Buffer;
  createdAt: Date;
  retiredAt: Date | null;
  /** By the database's clock, so that nodes whose clocks differ agree. */
  ageSeconds: number;
}

/** The number after the highest that a purpose has ever had; numbers are never used twice. */
export function nextGeneration(rows: readonly SecretRow[], purpose: SecretPurpose): number {
  return 1 + Math.max(0, ...rows.filter((row) => row.purpose === purpose).map((row) => row.generation));
}

/** Says whether what was made with this generation is still accepted. */
export function isLive(row: SecretRow): boolean {
  return row.retiredAt === null;
}

/** All secrets, retired ones too, oldest generation first. */
export async function readSecrets(connection: Connection): Promise<SecretRow[]> {
  const { rows } = await connection.query<SecretRow>(
    `select purpose, generation, wrapped, created_at as "createdAt", retired_at as "retiredAt",
       extract(epoch from clock_timestamp() - created_at)::float8 as "ageSeconds"
     from installation_secrets order by purpose, generation`,
  );
  return rows;
}

/** Adds a generation; does nothing where it exists. */
export async function insertSecret(
  connection: Connection,
  purpose: SecretPurpose,
  generation: number,
  wrapped: Buffer,
): Promise<void> {
  await connection.query(
    `insert into installation_secrets (purpose, generation, wrapped) values ($1, $2, $3)
     on conflict (purpose, generation) do nothing`,
    [purpose, generation, wrapped],
  );
}

/** Replaces the wrapping of a generation. */
export async function updateWrapped(
  connection: Connection,
  purpose: string,
  generation: number,
  wrapped: Buffer,
): Promise<void> {
  await connection.query(
    'update installation_secrets set wrapped = $3 where purpose = $1 and generation = $2',
    [purpose, generation, wrapped],
  );
}

/** What is made with one of these generations and may still be needed: keys, and mails that wait. */
const needing =
  'lookup_keys_of_generation($1, $2) + lookup_mails_of_generation($1, $2) + lookup_oidc_of_generation($1, $2)';

/** Retires a generation unless something needs it, it is the newest or it is retired already; says whether it did. */
export async function retireSecret(
  connection: Connection,
  purpose: SecretPurpose,
  generation: number,
): Promise<boolean> {
  const { rowCount } = await connection.query(
    `update installation_secrets s set retired_at = now()
     where s.purpose = $1 and s.generation = $2 and s.retired_at is null and ${needing} = 0
       and exists (select from installation_secrets newer
         where newer.purpose = $1 and newer.generation > $2 and newer.retired_at is null)`,
    [purpose, generation],
  );
  return rowCount === 1;
}

/** How many API keys that are not revoked, or mails that wait, need a generation. */
export async function countKeysOfGeneration(
  connection: Connection,
  purpose: string,
  generation: number,
): Promise<number> {
  const { rows } = await connection.query<{ count: string }>(`select ${needing} as count`, [
    purpose,
    generation,
  ]);
  return Number(rows[0]?.count);
}

/** Until the transaction ends, nobody else adds a generation or changes a wrapping. */
export async function lockSecrets(connection: pg.PoolClient): Promise<void> {
  await connection.query(`select pg_advisory_xact_lock(hashtextextended('installation_secrets', 0))`);
}

/**
 * Waits for the transactions that are making API keys under this purpose and keeps new ones from committing until
 * this one ends. The other side is the trigger `live_secret_generations` on `api_keys`, which takes the same lock
 * shared and then refuses keys of a retired generation.
 */
export async function lockUseOfPurpose(connection: pg.PoolClient, purpose: SecretPurpose): Promise<void> {
  await connection.query(`select pg_advisory_xact_lock(hashtextextended('installation_secret:' || $1, 0))`, [
    purpose,
  ]);
}

/** Tells every node, when the transaction commits, that the secrets have changed. */
export async function notifySecretsChanged(connection: pg.PoolClient): Promise<void> {
  await connection.query(`select pg_notify('gatelodge_change', '{"kind":"secrets"}')`);
}

/**
 * Runs `work` in one transaction. Read committed on purpose: each statement after a lock has to see what those who
 * held the lock before have committed.
 */
export async function inTransaction<T>(
  pool: pg.Pool,
  work: (client: pg.PoolClient) => Promise<T>,
): Promise<T> {
  const client = await pool.connect();
  try {
    await client.query('begin isolation level read committed');
    const result = await work(client);
    await client.query('commit');
    client.release();
    return result;
  } catch (error) {
    // A connection whose rollback fails is in an unknown state and must not go back into the pool.
    await client.query('rollback').then(
      () => client.release(),
      (broken: Error) => client.release(broken),
    );
    throw error;
  }
}
