import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import pg from 'pg';

/** Over the channel: for how long, and how many transactions at a time. */
interface Order {
  seconds: number;
  atOnce: number;
}

/** A table, and a row of it that all that are inserted look like. */
interface Model {
  table: string;
  /** Values as Postgres writes them. */
  row: Record<string, string | null>;
}

/**
 * What signing in can't do without: a transaction of three statements (a code is used up by a conditional UPDATE, a session
 * and a refresh token are inserted, like the rows that the API wrote for the session of this id, less what has to be
 * unique), over a pool as large as the management API's, and one ES256 signature.
 */
const sessionId = process.argv[2]!;
const pool = new pg.Pool({
  connectionString: process.env.DATABASE_URL,
  max: 10,
  min: 2,
  idleTimeoutMillis: 60_000,
});
const session = await readModel('gatelodge.sessions', 'id');
const refreshToken = await readModel('gatelodge.refresh_tokens', 'session_id');
await pool.query('create table if not exists floor_codes (id integer primary key, used_at timestamptz)');
await pool.query('truncate floor_codes');
const codes = 10_000;
await pool.query(`insert into floor_codes select n from generate_series(0, ${codes - 1}) as n`);
await pool.query('vacuum analyze floor_codes');
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const claims = Buffer.from(
  JSON.stringify({ iss: 'x'.repeat(60), sub: 'x'.repeat(29), aud: 'x'.repeat(60), jti: 'x'.repeat(36) }),
);
let made = 0;

process.on('message', ({ seconds, atOnce }: Order) => {
  void signInFor(seconds, atOnce).then((count) => process.send?.(count));
});
process.once('disconnect', () => process.exit(0));
process.send?.(0);

async function signInFor(seconds: number, atOnce: number): Promise<number> {
  const endsAt = performance.now() + seconds * 1000;
  let count = 0;
  const work = async () => {
    while (performance.now() < endsAt) {
      await signInOnce();
      count++;
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  return count;
}

async function signInOnce(): Promise<void> {
  const client = await pool.connect();
  try {
    await client.query('begin');
    const code = made % codes;
    await client.query({
      name: 'use-code',
      // Codes come round again: only the first time is one not used yet.
      text: 'update floor_codes set used_at = now() where id = $1 and (used_at is null or used_at < now())',
      values: [code],
    });
    const id = newId('s_');
    await insert(client, session, { id });
    await insert(client, refreshToken, {
      session_id: id,
      digest: `\\x${randomBytes(32).toString('hex')}`,
    });
    await client.query('commit');
  } finally {
    client.release();
  }
  sign('sha256', claims, { key: privateKey, dsaEncoding: 'ieee-p1363' });
}

/** Rising, as those of the API are: into the right end of the index. */
function newId(prefix: string): string {
  made++;
  return prefix + (BigInt(Date.now()) * 10_000_000n + BigInt(made)).toString(36).padStart(25, '0');
}

async function insert(
  client: pg.PoolClient,
  { table, row }: Model,
  own: Record<string, string>,
): Promise<void> {
  const columns = Object.keys(row);
  await client.query({
    name: table,
    text: `insert into ${table} (${columns.join(', ')}) values (${columns.map((_, index) => `$${index + 1}`).join(', ')})`,
    values: columns.map((column) => own[column] ?? row[column]),
  });
}

async function readModel(table: string, column: string): Promise<Model> {
  const { rows } = await pool.query<Record<string, string | null>>({
    text: `select * from ${table} where ${column} = $1`,
    values: [sessionId],
    types: { getTypeParser: () => (text: string) => text },
  });
  return { table, row: rows[0]! };
}
