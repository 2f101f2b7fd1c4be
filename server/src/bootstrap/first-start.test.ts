import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ApiClient } from '../../test/harness/api-client.ts';
import { createTestDatabase, type TestDatabase } from '../../test/harness/database.ts';
import { Rows } from '../../test/harness/rows.ts';
import { createLog } from '../logs/log.ts';
import { generateKeyText } from '../secrets/key-text.ts';
import { type RunningServer, serve } from '../serve.ts';
import { loadSettings } from '../settings.ts';
import { type Bootstrap, bootstrapPath } from './bootstrap.ts';

const masterKey = generateKeyText();
const directories: string[] = [];
const lines: string[] = [];
let database: TestDatabase;
let rows: Rows;
let running: RunningServer[] = [];

beforeEach(async () => {
  database = await createTestDatabase();
  rows = await Rows.open(database);
});
afterEach(async () => {
  for (const server of running) await server.close({ lingerMs: 0 });
  running = [];
  lines.length = 0;
  await rows.close();
  await database.drop();
});
afterAll(async () => {
  for (const directory of directories) await rm(directory, { recursive: true, force: true });
});

async function makeDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'gatelodge-data-'));
  directories.push(directory);
  return directory;
}

async function start(dataDir: string, env: Record<string, string> = {}): Promise<RunningServer> {
  const server = await serve(
    loadSettings({
      GATELODGE_PORT: '0',
      GATELODGE_PUBLIC_URL: 'http://localhost:4600',
      GATELODGE_DATA_DIR: dataDir,
      GATELODGE_MASTER_KEY: masterKey,
      DATABASE_URL: database.appUrl,
      ...env,
    }),
    {
      demo: false,
      announce: (text) => void lines.push(text),
      log: createLog('debug', { write: (line: string) => void lines.push(line) }),
    },
  );
  running.push(server);
  return server;
}

const readBootstrap = async (dataDir: string): Promise<Bootstrap> =>
  JSON.parse(await readFile(bootstrapPath(dataDir), 'utf8'));

describe('the first start on an empty database', () => {
  test('writes how to begin into a file that only its owner can read, and its secrets nowhere else', async () => {
    const dataDir = await makeDirectory();
    const { url } = await start(dataDir, { GATELODGE_BOOTSTRAP_EMAIL: 'ops@acme.test' });
    expect((await stat(bootstrapPath(dataDir))).mode & 0o777).toBe(0o600);
    const bootstrap = await readBootstrap(dataDir);
    expect(bootstrap).toEqual({
      base_url: 'http://localhost:4600',
      account_id: expect.stringMatching(/^acc_/),
      api_key: { id: expect.stringMatching(/^key_/), secret: expect.stringMatching(/^gl_live_sk_/) },
      demo: {
        issuer_id: expect.stringMatching(/^i_/),
        api_key: { id: expect.stringMatching(/^key_/), secret: expect.stringMatching(/^gl_live_sk_/) },
      },
      dashboard_url: null,
    });

    const api = new ApiClient(url, bootstrap.api_key);
    expect((await api.get('/v1/me')).body.data).toMatchObject({ account_id: bootstrap.account_id });
    expect((await api.get('/v1/account')).body.data).toMatchObject({
      operator: true,
      plan: 'unlimited',
      members: [{ email: 'ops@acme.test', role: 'owner' }],
    });
    expect((await api.post('/v1/keys/verify', { key: bootstrap.demo.api_key.secret })).body).toMatchObject({
      valid: true,
      issuer_id: bootstrap.demo.issuer_id,
      scopes: ['invoices:read'],
    });
    const told = (await api.get('/v1/events')).body.data.filter(
      ({ type }: { type: string }) => type !== 'api-key.verified',
    );
    expect(told.map(({ type }: { type: string }) => type).sort()).toEqual([
      'account.created',
      'api-key.created',
      'issuer.created',
    ]);
    for (const { actor } of told)
      expect(actor).toMatchObject({ type: 'system', id: 'first-start', ip: null });
    for (const secret of [bootstrap.api_key.secret, bootstrap.demo.api_key.secret])
      expect(lines.join('\n')).not.toContain(secret.slice(-44));
  });

  test('made by two nodes at once it is one account, and one of them has the file', async () => {
    const dataDirs = [await makeDirectory(), await makeDirectory(), await makeDirectory()];
    await Promise.all(dataDirs.map((dataDir) => start(dataDir)));
    expect(await rows.count('accounts')).toBe(1);
    expect(await rows.count('issuers')).toBe(1);
    expect(await rows.count('events')).toBe(3);
    const written = await Promise.allSettled(dataDirs.map(readBootstrap));
    const found = written.filter((result) => result.status === 'fulfilled');
    expect(found.length).toBe(1);
    for (const { url } of running)
      expect((await new ApiClient(url, found[0]!.value.api_key).get('/v1/me')).status).toBe(200);
  });

  test('puts what another database has left in the directory aside', async () => {
    const dataDir = await makeDirectory();
    const stale = { account_id: 'acc_0000000000000000000000000', api_key: { id: 'x', secret: 'y' } };
    await writeFile(bootstrapPath(dataDir), JSON.stringify(stale), { mode: 0o644 });
    const { url } = await start(dataDir);
    expect((await stat(bootstrapPath(dataDir))).mode & 0o777).toBe(0o600);
    const { api_key } = await readBootstrap(dataDir);
    expect((await new ApiClient(url, api_key).get('/v1/me')).status).toBe(200);
  });
});

describe('a later start', () => {
  test('makes nothing and leaves the file as it is', async () => {
    const dataDir = await makeDirectory();
    await start(dataDir);
    const file = await readFile(bootstrapPath(dataDir));
    const before = await rows.snapshot();
    await start(dataDir);
    await start(await makeDirectory());
    expect(await rows.snapshot()).toEqual(before);
    expect(await readFile(bootstrapPath(dataDir))).toEqual(file);
  });

  test('does not bring back what has been revoked or deleted since', async () => {
    // The attack: restarting the server to be given the first key again.
    const dataDir = await makeDirectory();
    const { url } = await start(dataDir);
    const { api_key, demo } = await readBootstrap(dataDir);
    const api = new ApiClient(url, api_key);
    await api.delete(`/v1/issuers/${demo.issuer_id}`);
    await api.post(`/v1/api-keys/${api_key.id}/revoke`);
    // A job takes away what is left of it.
    await expect.poll(() => rows.count('issuers'), { timeout: 20_000 }).toBe(0);
    const before = await rows.snapshot();
    const again = await start(dataDir);
    expect(await rows.snapshot()).toEqual(before);
    expect((await new ApiClient(again.url, api_key).get('/v1/me')).status).toBe(401);
  });
});
