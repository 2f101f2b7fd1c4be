import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../test/harness/database.ts';
import { createPool } from '../postgres/pool.ts';
import { type InstallationSecrets, loadInstallationSecrets } from '../secrets/installation-secrets.ts';
import { generateKeyText } from '../secrets/key-text.ts';
import { resolveMasterKey } from '../secrets/master-key.ts';
import { secretPurposes } from '../secrets/secret-purpose.ts';
import { silentLog } from '../supervisor/log.ts';
import { exitCodes } from '../supervisor/start-error.ts';

const main = fileURLToPath(new URL('../main.ts', import.meta.url));
const kills = process.env.GATELODGE_TEST_SCALE === 'soak' ? 50 : 5;

let database: TestDatabase;
let pool: pg.Pool;
let dataDir: string;

beforeAll(async () => {
  database = await createTestDatabase();
  pool = createPool({ connectionString: database.appUrl, max: 2, applicationName: 'test', log: silentLog });
});
afterAll(async () => {
  await pool.end();
  await database.drop();
});
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'gatelodge-cli-'));
  await asOwner('delete from installation_secrets');
});
afterEach(() => rm(dataDir, { recursive: true, force: true }));

async function asOwner(sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: database.ownerUrl, options: '-c search_path=gatelodge' });
  await client.connect();
  await client.query(sql);
  await client.end();
}

/** Starts the command line as an operator would, with nothing of our own environment but what it needs. */
function start(args: string[], env: Record<string, string> = {}): ChildProcess {
  return spawn(process.execPath, [main, ...args], {
    cwd: dataDir,
    env: { PATH: process.env.PATH, DATABASE_URL: database.appUrl, GATELODGE_DATA_DIR: dataDir, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

async function run(args: string[], env?: Record<string, string>) {
  const child = start(args, env);
  const [stdout, stderr] = await Promise.all([text(child.stdout!), text(child.stderr!)]);
  const code = child.exitCode ?? (await new Promise((resolve) => child.once('exit', resolve)));
  return { code, stdout, stderr };
}

async function text(stream: NodeJS.ReadableStream): Promise<string> {
  let all = '';
  for await (const chunk of stream) all += chunk;
  return all;
}

/** What a server does at its start. */
async function startServer(env: { masterKey?: string } = {}): Promise<InstallationSecrets> {
  return loadInstallationSecrets(pool, await resolveMasterKey({ mode: 'development', dataDir, ...env }));
}

describe('master-key generate', () => {
  test('prints one key and needs nothing', async () => {
    const { code, stdout } = await run(['master-key', 'generate'], { DATABASE_URL: '' });
    expect(code).toBe(0);
    expect(stdout).toMatch(/^[A-Za-z0-9_-]{43}\n$/);
  });
});

describe('master-key rotate', () => {
  test('changes the key of a data directory and prints neither key', async () => {
    const before = await startServer();
    const oldText = (await readFile(join(dataDir, 'master-key'), 'utf8')).trim();
    const { code, stdout, stderr } = await run(['master-key', 'rotate']);
    expect(stderr).toBe('');
    expect(code).toBe(0);
    const newText = (await readFile(join(dataDir, 'master-key'), 'utf8')).trim();
    expect(newText).not.toBe(oldText);
    expect(stdout).not.toContain(oldText);
    expect(stdout).not.toContain(newText);
    expect((await startServer()).hexKey('cursor', 1)).toBe(before.hexKey('cursor', 1));
  });

  test('changes the key of the environment to the new one, and run again says that it is done', async () => {
    const keys = { GATELODGE_MASTER_KEY: generateKeyText(), GATELODGE_NEW_MASTER_KEY: generateKeyText() };
    const before = await startServer({ masterKey: keys.GATELODGE_MASTER_KEY });
    const wrapped = new RegExp(`^${secretPurposes.length} secrets are wrapped`);
    expect((await run(['master-key', 'rotate'], keys)).stdout).toMatch(wrapped);
    expect((await run(['master-key', 'rotate'], keys)).stdout).toMatch(/^Nothing was left to wrap/);
    const after = await startServer({ masterKey: keys.GATELODGE_NEW_MASTER_KEY });
    expect(after.hexKey('cursor', 1)).toBe(before.hexKey('cursor', 1));
  });

  test('of the environment needs a new key', async () => {
    const { code, stderr } = await run(['master-key', 'rotate'], { GATELODGE_MASTER_KEY: generateKeyText() });
    expect(code).toBe(exitCodes.configuration);
    expect(stderr).toContain('GATELODGE_NEW_MASTER_KEY');
  });

  test('makes no key where the file is missing', async () => {
    await startServer({ masterKey: generateKeyText() });
    const { code, stderr } = await run(['master-key', 'rotate']);
    expect(code).toBe(exitCodes.configuration);
    expect(stderr).toContain(join(dataDir, 'master-key'));
  });

  // A kill at the wrong moment must never leave a database that no key on disk opens.
  test(`killed at ${kills} moments loses nothing`, async () => {
    const secret = (await startServer()).hexKey('cursor', 1);
    const began = performance.now();
    await run(['master-key', 'rotate']);
    const wholeMs = performance.now() - began;
    for (let kill = 0; kill < kills; kill++) {
      const child = start(['master-key', 'rotate']);
      const ended = new Promise((resolve) => child.once('exit', resolve));
      // The last half of its life, when it is past loading its code.
      await sleep(wholeMs * (0.5 + (0.5 * kill) / kills));
      child.kill('SIGKILL');
      await ended;
      expect((await startServer()).hexKey('cursor', 1)).toBe(secret);
    }
  });
});

describe('secrets', () => {
  test('are listed, rotated and retired, and never printed', async () => {
    const secrets = await startServer();
    const rotated = await run(['secrets', 'rotate', 'api-key-digest']);
    expect(rotated).toMatchObject({ code: 0, stderr: '' });
    const refused = await run(['secrets', 'retire', 'api-key-digest', '1']);
    expect(refused.code).toBe(1);
    await asOwner(`update installation_secrets set created_at = created_at - interval '1 hour'`);
    const retired = await run(['secrets', 'retire', 'api-key-digest', '1']);
    expect(retired).toMatchObject({ code: 0, stderr: '' });

    const listed = await run(['secrets', 'list', '--json']);
    const others = secretPurposes.filter((purpose) => !purpose.startsWith('api-key-')).sort();
    expect(JSON.parse(listed.stdout)).toMatchObject([
      { purpose: 'api-key-check', generation: 1, status: 'current', api_keys: 0 },
      { purpose: 'api-key-digest', generation: 1, status: 'retired' },
      { purpose: 'api-key-digest', generation: 2, status: 'current' },
      ...others.map((purpose) => ({ purpose, generation: 1, status: 'current' })),
    ]);
    const table = await run(['secrets', 'list']);
    // A heading, a line for each, one more of the purpose that was rotated, and the end of the last.
    expect(table.stdout.split('\n')).toHaveLength(secretPurposes.length + 3);

    await secrets.reload();
    const printed = [rotated, refused, retired, listed, table]
      .map(({ stdout, stderr }) => stdout + stderr)
      .join('\n');
    for (const { key } of secrets.generations('api-key-digest')) {
      expect(printed).not.toContain(key.toString('hex'));
      expect(printed).not.toContain(key.toString('base64url'));
    }
  });

  test('of another master key are not rotated', async () => {
    await startServer({ masterKey: generateKeyText() });
    const { code, stderr } = await run(['secrets', 'rotate', 'cursor'], {
      GATELODGE_MASTER_KEY: generateKeyText(),
    });
    expect(code).toBe(exitCodes.configuration);
    expect(stderr).toContain('another master key');
  });

  test.each([
    ['an unknown purpose', ['secrets', 'rotate', 'password']],
    ['a generation that is no number', ['secrets', 'retire', 'cursor', '0x1']],
  ])('refuses %s', async (_name, args) => {
    expect((await run(args)).code).toBe(1);
  });
});

test('without DATABASE_URL and without a running server the command says so', async () => {
  const { code, stderr } = await run(['secrets', 'list'], { DATABASE_URL: '' });
  expect(code).toBe(exitCodes.unavailable);
  expect(stderr).toContain('No Gatelodge is running');
});
