import { copyFile, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { migrateDatabase } from '../src/postgres/migrate.ts';
import { noTransactionMarker } from '../src/postgres/migration-files.ts';
import { silentLog } from '../src/supervisor/log.ts';
import { checkAll, checkTouched } from './crash/check-load.ts';
import { MixedLoad } from './crash/mixed-load.ts';
import { waitFor } from './harness/process.ts';
import { isSoak, scaled } from './harness/scale.ts';
import { startTestServer, type TestServer } from './harness/server.ts';

const ourMigrations = fileURLToPath(new URL('../migrations', import.meta.url));

/** What a release after this one may well bring: columns, a table, an index over many rows, a changed function. */
const nextMigrations = {
  '9001_key_notes.sql': `
    alter table api_keys add column note text not null default 'none';
    create table key_notes (account_id text not null references accounts (id) on delete cascade, note text);
    alter table key_notes enable row level security;
    create policy own_account on key_notes to gatelodge_app
      using (account_id = current_account()) with check (account_id = current_account());
    grant select, insert on key_notes to gatelodge_app;`,
  '9002_key_notes_index.sql': `${noTransactionMarker}
    drop index concurrently if exists api_keys_note;
    create index concurrently api_keys_note on api_keys (note, id);`,
  '9003_backfill.sql': `
    update api_keys set note = 'filled' where id in (select id from api_keys where note = 'none' order by id limit 500);
    alter table api_keys add constraint api_keys_note_length check (length(note) < 1000) not valid;`,
};

let server: TestServer;
let owner: pg.Client;
let migrationsDir: string;
const rows = scaled(3_000, 200_000);

beforeAll(async () => {
  server = await startTestServer();
  owner = new pg.Client({ connectionString: server.database.ownerUrl, options: '-c search_path=gatelodge' });
  await owner.connect();
  migrationsDir = await mkdtemp(join(tmpdir(), 'gatelodge-migrations-'));
  for (const name of await readdir(ourMigrations)) {
    await copyFile(join(ourMigrations, name), join(migrationsDir, name));
  }
  for (const [name, sql] of Object.entries(nextMigrations)) await writeFile(join(migrationsDir, name), sql);
});
afterAll(async () => {
  await owner.end();
  await server.close();
  await rm(migrationsDir, { recursive: true, force: true });
});

/** Keys beside those of the traffic, so that a migration that rewrites or locks a table has something to do. */
async function fillDatabase(): Promise<void> {
  await owner.query(
    `insert into api_keys (id, account_id, issuer_id, name, kind, environment, hint, digest, digest_generation,
       check_generation, scopes, created_by)
     select 'key_' || lpad(n::text, 25, '0'), $1, $2, 'filler ' || n, 'secret', 'live', 'gl…', sha256(n::text::bytea), 1, 1,
       '{}', '{}' from generate_series(1, $3::int) n`,
    [server.operator.accountId, (await server.operator.api.create('/v1/issuers', { name: 'full' })).id, rows],
  );
}

it('the next release’s migrations run on a database with data while this release serves, and it goes on serving', async () => {
  await fillDatabase();
  const load = new MixedLoad(server.operator.api, server.demo.issuerId);
  load.start(6);
  await waitFor(() => (load.acknowledged > 30 ? true : null));
  const before = load.acknowledged;
  const startedAt = performance.now();
  const { applied } = await migrateDatabase({
    ownerUrl: server.database.ownerUrl,
    migrationsDir,
    log: silentLog,
  });
  const migratedMs = performance.now() - startedAt;
  const during = load.acknowledged - before;
  expect(applied).toEqual(Object.keys(nextMigrations));

  // An older build that starts now finds a newer schema, changes nothing of it, and serves beside the other.
  const old = await migrateDatabase({ ownerUrl: server.database.ownerUrl, log: silentLog });
  expect(old.applied).toEqual([]);
  const older = await startTestServer({ nodeOf: server });
  const made = await older.operator.api.create(`/v1/issuers/${server.demo.issuerId}/api-keys`, {});
  expect((await server.operator.api.post('/v1/keys/verify', { key: made.secret_plain })).body.code).toBe(
    'VALID',
  );
  await older.close();

  await waitFor(() => load.keys.some(({ revocation }) => revocation === 'acknowledged') || null);
  await load.stop();
  await checkTouched(load);
  await checkAll(load);
  expect(load.unexpected).toEqual([]);
  // Not even a 503: every statement of the migrations lets the traffic through.
  expect(load.unanswered).toBe(0);
  const { rows: counted } = await owner.query(
    `select count(*)::int as n from api_keys where name like 'filler %'`,
  );
  expect(counted[0].n).toBe(rows);
  const { rows: filled } = await owner.query(`select count(*)::int as n from api_keys where note = 'filled'`);
  expect(filled[0].n).toBe(500);
  if (isSoak) {
    console.log(
      `SOAK migrations under traffic: ${applied.length} on ${rows} keys in ${Math.round(migratedMs)} ms, ` +
        `${during} requests acknowledged meanwhile, 0 failed`,
    );
  }
});
