import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BenchPostgres } from './postgres.ts';
import { environmentWithoutSettings, Helper, succeeds } from './processes.ts';

const directory = fileURLToPath(new URL('./peers/', import.meta.url));
const database = 'better_auth';

/** As many as verification and the management API of ours have together. */
const poolSize = 16;

/** better-auth with its API-key plugin, on a database of its own on the same Postgres. */
export interface BetterAuth {
  server: Helper;
  /** Of its hot keys. */
  secrets: string[];
}

/** Installs it where it is not yet, fills its database and starts it on the server's core. */
export async function startBetterAuth(
  postgres: BenchPostgres,
  stock: { keys: number; hot: number },
): Promise<BetterAuth> {
  await install();
  await postgres.query(`create database ${database}`);
  const env = { DATABASE_URL: postgres.url(database), POOL_SIZE: String(poolSize) };
  const secrets = await fill(stock, env);
  return { server: await Helper.start('./peers/better-auth-server.js', [], env), secrets };
}

/** The peers are no part of the workspace: nobody but a benchmark needs them. */
async function install(): Promise<void> {
  if (existsSync(join(directory, 'node_modules/better-auth'))) return;
  process.stderr.write('Installing what is compared with: npm ci --prefix bench/peers\n');
  const child = spawn('npm', ['ci', '--prefix', directory], { cwd: directory, stdio: 'inherit' });
  await succeeds(child, 'npm ci --prefix bench/peers');
}

async function fill(stock: { keys: number; hot: number }, env: NodeJS.ProcessEnv): Promise<string[]> {
  process.stderr.write(`Filling better-auth's database with ${stock.keys.toLocaleString('en')} keys\n`);
  const temporary = await mkdtemp(join(tmpdir(), 'gatelodge-bench-peer-'));
  const file = join(temporary, 'secrets');
  try {
    const args = ['better-auth-fill.js', String(stock.keys), String(stock.hot), file];
    const child = spawn(process.execPath, args, {
      cwd: directory,
      env: { ...environmentWithoutSettings(), ...env },
      stdio: ['ignore', 'inherit', 'pipe'],
    });
    await succeeds(child, 'better-auth-fill.js');
    return (await readFile(file, 'utf8')).split('\n').filter(Boolean);
  } finally {
    await rm(temporary, { recursive: true });
  }
}
