import { randomBytes } from 'node:crypto';
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
 * Plain transactions, over a pool as large as the management API's, of two INSERTs: a key and its event, like the rows
 * that the API wrote when it made the key of this id, less what has to be unique.
 */
const keyId = process.argv[2]!;
const pool = new pg.Pool({
  connectionString: process.env.DATABASE_URL,
  max: 10,
  min: 2,
  idleTimeoutMillis: 60_000,
});
const keyModel = await readModel('gatelodge.api_keys', 'id');
const eventModel = await readModel('gatelodge.events', 'subject_id');
let made = 0;

process.on('message', ({ seconds, atOnce }: Order) => {
  void insertFor(seconds, atOnce).then((count) => process.send?.(count));
});
process.once('disconnect', () => process.exit(0));
process.send?.(0);

async function insertFor(seconds: number, atOnce: number): Promise<number> {
  const endsAt = performance.now() + seconds * 1000;
  let count = 0;
  const work = async () => {
    while (performance.now() < endsAt) {
      await insertOne();
      count++;
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  return count;
}

async function insertOne(): Promise<void> {
  const client = await pool.connect();
  try {
    await client.query('begin');
    const id = newId('key_');
    await insert(client, keyModel, { id, digest: `\\x${randomBytes(32).toString('hex')}` });
    await insert(client, eventModel, { id: newId('evt_'), subject_id: id });
    await client.query('commit');
  } finally {
    client.release();
  }
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
    values: [keyId],
    types: { getTypeParser: () => (text: string) => text },
  });
  return { table, row: rows[0]! };
}
