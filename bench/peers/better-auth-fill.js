/**
 * Migrates the database and fills it with keys:
 *
 *     node better-auth-fill.js KEYS HOT FILE
 *
 * One key is made by the plugin; the others are rows like it, with ids and hashes of their own. The secrets of the first
 * HOT go to FILE (0600), one a line.
 */
import { writeFile } from 'node:fs/promises';
import { defaultKeyHasher } from '@better-auth/api-key';
import { generateRandomString } from 'better-auth/crypto';
import { getMigrations } from 'better-auth/db/migration';
import { auth, pool } from './better-auth.js';

const [keys, hot] = process.argv.slice(2, 4).map(Number);
const file = process.argv[4];

const { runMigrations } = await getMigrations(auth.options);
await runMigrations();
const { internalAdapter } = await auth.$context;
const user = await internalAdapter.createUser({ email: 'owner@example.com', name: 'Owner' });
const model = await auth.api.createApiKey({ body: { userId: user.id } });

const secrets = Array.from({ length: hot }, () => generateRandomString(model.key.length, 'a-z', 'A-Z'));
await insertLikeModel(
  `select row_number() over () as n, key from unnest($2::text[]) as key`,
  await Promise.all(secrets.map(defaultKeyHasher)),
);
// As long as a hash is in the plugin's encoding; nobody knows whose hashes these would be.
await insertLikeModel(
  `select $3::integer + n as n, translate(rtrim(encode(sha256(('unknown ' || n)::bytea), 'base64'), '='), '+/', '-_') as key
   from generate_series(1, $2::integer) as n`,
  keys - hot,
  hot,
);
await pool.query('vacuum analyze');
await pool.end();
await writeFile(file, secrets.map((secret) => `${secret}\n`).join(''), { mode: 0o600, flag: 'wx' });

/** @param made a query of numbers `n` and hashes `key`, in which $1 is taken and `values` are $2 and on */
async function insertLikeModel(made, ...values) {
  const { rows } = await pool.query(
    `select string_agg(quote_ident(column_name), ', ') as columns from information_schema.columns
     where table_schema = current_schema() and table_name = 'apikey' and column_name not in ('id', 'key')`,
  );
  const { columns } = rows[0];
  await pool.query(
    `insert into apikey (id, key, ${columns})
     select md5('id ' || made.n), made.key, ${columns} from (${made}) as made, apikey as model where model.id = $1`,
    [model.id, ...values],
  );
}
