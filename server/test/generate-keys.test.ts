import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Rows } from './harness/rows.ts';
import { scaled } from './harness/scale.ts';
import { startTestServer, type TestServer } from './harness/server.ts';
import { TestIssuer } from './harness/test-issuer.ts';

const script = fileURLToPath(new URL('../../scripts/generate-keys.ts', import.meta.url));

let server: TestServer;
let directory: string;
beforeAll(async () => {
  server = await startTestServer();
  directory = await mkdtemp(join(tmpdir(), 'gatelodge-generate-'));
});
afterAll(async () => {
  await rm(directory, { recursive: true, force: true });
  await server.close();
});

async function generate(...args: string[]): Promise<{ code: number | null; stderr: string }> {
  const child = spawn(process.execPath, [script, ...args], {
    env: {
      DATABASE_URL: server.database.appUrl,
      GATELODGE_MASTER_KEY: server.masterKey,
      GATELODGE_DATA_DIR: server.dataDir,
    },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const ended = new Promise<number | null>((resolve) => {
    child.once('close', (code) => resolve(code));
  });
  const [stderr, code] = await Promise.all([text(child.stderr), ended]);
  return { code, stderr };
}

const verified = async (key: string) =>
  (await server.operator.api.post('/v1/keys/verify', { key, scopes: ['invoices:read'] })).body;

test('generated keys are verified like others and stand in turn in each tenant', async () => {
  const issuer = await TestIssuer.create(server, { preset: 'tenant-header' });
  const tenants = [(await issuer.createOrganization()).id, (await issuer.createOrganization()).id];
  const file = join(directory, 'secrets');
  const keys = String(scaled(2_001, 1_000_000));
  const args = ['--issuer', issuer.id, '--keys', keys, '--hot', '4', '--secrets', file];
  expect(await generate(...args, '--scope', 'invoices:read')).toMatchObject({ code: 0 });

  const secrets = (await readFile(file, 'utf8')).trim().split('\n');
  expect(secrets).toHaveLength(4);
  for (const [index, secret] of secrets.entries()) {
    expect(secret).toMatch(/^sk_live_/);
    const tenant = tenants[index % 2]!;
    expect((await server.operator.api.post('/v1/keys/verify', { key: secret, tenant })).body).toMatchObject({
      valid: true,
      organization: { id: tenant },
    });
  }
  const rows = await Rows.open(server.database);
  const counted = await rows.query('select count(*) from api_keys where issuer_id = $1', [issuer.id]);
  await rows.close();
  expect(counted).toEqual([{ count: keys }]);
});

test('keys of an issuer without organizations are its own', async () => {
  const issuer = await TestIssuer.create(server);
  const file = join(directory, 'secrets of an issuer');
  const args = ['--issuer', issuer.id, '--keys', '1', '--hot', '1', '--secrets', file];
  expect(await generate(...args, '--scope', 'invoices:read')).toMatchObject({ code: 0 });
  expect(await verified((await readFile(file, 'utf8')).trim())).toMatchObject({
    valid: true,
    issuer_id: issuer.id,
    organization: null,
    scopes: ['invoices:read'],
  });
});

// Attack: secrets of keys lie about in a file that others may read, or take the place of one that matters.
test('only their owner may read the file of secrets, and no file is overwritten', async () => {
  const issuer = await TestIssuer.create(server);
  const file = join(directory, 'kept');
  const args = ['--issuer', issuer.id, '--keys', '1', '--hot', '1', '--secrets', file];
  expect(await generate(...args)).toMatchObject({ code: 0 });
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  const written = await readFile(file, 'utf8');
  const again = await generate(...args);
  expect(again.code).not.toBe(0);
  expect(await readFile(file, 'utf8')).toBe(written);
  expect(again.stderr).not.toContain(written.trim());
});
