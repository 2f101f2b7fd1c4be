import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Bootstrap } from '../src/bootstrap/bootstrap.ts';
import { generateKeyText } from '../src/secrets/key-text.ts';
import { throwAwayDirectory } from '../src/supervisor/fixtures/throw-away-directory.ts';
import { ApiClient } from './harness/api-client.ts';
import { freePort, GatelodgeProcess } from './harness/process.ts';
import { StoppablePostgres } from './harness/stoppable-postgres.ts';

// A server of its own, with roles as an administrator makes them: these names are nobody else's.
let postgres: StoppablePostgres;
let superuser: pg.Client;

beforeAll(async () => {
  postgres = await StoppablePostgres.start();
  superuser = new pg.Client({ connectionString: postgres.superuserUrl });
  await superuser.connect();
});
afterAll(async () => {
  await superuser.end();
  await postgres[Symbol.asyncDispose]();
});

/** Starts `gatelodge start` on data directories of their own, all at the same moment, and waits until all are ready. */
async function startNodes(
  count: number,
  env: NodeJS.ProcessEnv,
): Promise<AsyncDisposable & { nodes: Node[] }> {
  const stack = new AsyncDisposableStack();
  const prepared = await Promise.all(
    Array.from({ length: count }, async () => {
      const directory = stack.use(await throwAwayDirectory());
      return { dataDir: join(directory.path, 'data'), port: String(await freePort()) };
    }),
  );
  const nodes = prepared.map(({ dataDir, port }) => ({
    dataDir,
    process: stack.use(
      GatelodgeProcess.run(['start'], {
        env: { GATELODGE_DATA_DIR: dataDir, GATELODGE_PORT: port, GATELODGE_LOG_LEVEL: 'error', ...env },
      }),
    ),
  }));
  await Promise.all(nodes.map(({ process }) => process.becomesReady()));
  return { nodes, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

type Node = { dataDir: string; process: GatelodgeProcess };

async function bootstrapOf({ dataDir }: Node): Promise<Bootstrap | null> {
  const text = await readFile(join(dataDir, 'bootstrap.json'), 'utf8').catch(() => null);
  return text === null ? null : (JSON.parse(text) as Bootstrap);
}

async function inDatabase(name: string, sql: string) {
  const client = new pg.Client({
    connectionString: postgres.databaseUrl(name, 'gatelodge_root'),
    options: '-c search_path=gatelodge',
  });
  await client.connect();
  const { rows } = await client.query(sql);
  await client.end();
  return rows;
}

it('five nodes that start at once on an empty database with two roles make one operator’s account, known to all', async () => {
  await superuser.query('create database two_roles owner gatelodge_owner');
  await using started = await startNodes(5, {
    DATABASE_URL: postgres.databaseUrl('two_roles', 'gatelodge_app'),
    DATABASE_OWNER_URL: postgres.databaseUrl('two_roles', 'gatelodge_owner'),
    GATELODGE_MASTER_KEY: generateKeyText(),
  });
  const { nodes } = started;
  const bootstraps = (await Promise.all(nodes.map(bootstrapOf))).filter((found) => found !== null);
  expect(bootstraps).toHaveLength(1);
  const [{ account_id, api_key, demo }] = bootstraps as [Bootstrap];
  expect(await inDatabase('two_roles', 'select id, is_operator from accounts')).toEqual([
    { id: account_id, is_operator: true },
  ]);
  expect(await inDatabase('two_roles', 'select count(*)::int as keys from api_keys')).toEqual([{ keys: 2 }]);
  expect(await inDatabase('two_roles', 'select count(*)::int as issuers from issuers')).toEqual([
    { issuers: 1 },
  ]);
  for (const { process } of nodes) {
    const api = new ApiClient(process.url, api_key);
    expect((await api.get('/v1/me')).body.data.account_id).toBe(account_id);
    expect((await api.post('/v1/keys/verify', { key: demo.api_key.secret })).body.code).toBe('VALID');
  }
  // The tables are the owner's, and whoever takes over the service cannot become it.
  expect(
    await inDatabase(
      'two_roles',
      `select distinct tableowner::text as owner, pg_has_role('gatelodge_app', tableowner, 'MEMBER') as may
       from pg_tables where schemaname = 'gatelodge'`,
    ),
  ).toEqual([{ owner: 'gatelodge_owner', may: false }]);
  for (const { process } of nodes) process.child.kill('SIGTERM');
  const ended = await Promise.all(nodes.map(({ process }) => process.ended));
  expect(ended.map(({ code }) => code)).toEqual([0, 0, 0, 0, 0]);
});

it('one URL serves for both where its user may SET ROLE, and the service then runs as gatelodge_app', async () => {
  await superuser.query('create role only_user login');
  await superuser.query('grant gatelodge_app, gatelodge_lookup to only_user with inherit true, set true');
  await superuser.query('create database one_url owner only_user');
  const env = {
    DATABASE_URL: postgres.databaseUrl('one_url', 'only_user'),
    GATELODGE_MASTER_KEY: generateKeyText(),
  };
  await using started = await startNodes(1, env);
  const [node] = started.nodes as [Node];
  const { api_key, account_id } = (await bootstrapOf(node))!;
  const api = new ApiClient(node.process.url, api_key);
  expect((await api.get('/v1/account')).body.data.id).toBe(account_id);
  await api.create('/v1/issuers', { name: 'made' });
  const backends = await superuser.query(
    `select distinct usename::text as signed_in from pg_stat_activity where datname = 'one_url'`,
  );
  expect(backends.rows).toEqual([{ signed_in: 'only_user' }]);
  // What it may see without an account in its transaction is what row-level security lets gatelodge_app see: nothing.
  const asService = new pg.Client({ connectionString: env.DATABASE_URL, options: '-c role=gatelodge_app' });
  await asService.connect();
  expect((await asService.query('select * from gatelodge.api_keys')).rows).toEqual([]);
  await asService.end();
});
