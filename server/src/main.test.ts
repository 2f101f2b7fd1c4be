import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { eventually, exists, isRunning } from './supervisor/fixtures/helper-process.ts';
import { throwAwayDirectory } from './supervisor/fixtures/throw-away-directory.ts';

const main = fileURLToPath(new URL('./main.ts', import.meta.url));

type Outcome = { code: number | null; stdout: string; stderr: string };

/** The environment of this process less our own settings. */
function environment(settings: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([name]) => !/^(GATELODGE_|DATABASE_)/.test(name));
  return { ...Object.fromEntries(inherited), ...settings };
}

/** Runs the command line in a directory of its own to its end. */
function gatelodge(args: readonly string[], cwd: string, settings: NodeJS.ProcessEnv = {}): Promise<Outcome> {
  return new Promise((resolve) => {
    const options = { cwd, env: environment(settings) };
    const child = execFile(process.execPath, [main, ...args], options, (_error, stdout, stderr) => {
      resolve({ code: child.exitCode, stdout, stderr });
    });
  });
}

/** `gatelodge start` as a process of its own, once it is ready. */
async function start(cwd: string) {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  const env = environment({ GATELODGE_PORT: String(port), GATELODGE_LOG_LEVEL: 'silent' });
  const child = spawn(process.execPath, [main, 'start'], {
    cwd,
    env,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const ended = once(child, 'exit');
  await eventually(async () => {
    expect(child.exitCode).toBeNull();
    return (await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined))?.status === 200;
  });
  const pids = await Promise.all(
    ['data/server.pid', 'data/postgres/cluster/postmaster.pid'].map(async (file) =>
      Number.parseInt(await readFile(join(cwd, file), 'utf8'), 10),
    ),
  );
  return { child, ended, pids };
}

describe('the command line', () => {
  it('tells its version and its commands', async () => {
    await using directory = await throwAwayDirectory();
    const description = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8'));
    expect((await gatelodge(['--version'], directory.path)).stdout.trim()).toBe(description.version);
    const help = await gatelodge(['--help'], directory.path);
    expect(help.code).toBe(0);
    for (const command of ['start', 'migrate', 'openapi']) expect(help.stdout).toContain(`  ${command}`);
    expect(help.stdout).not.toContain('  serve');
  });

  it('refuses a malformed setting with 78, in words and without a stack', async () => {
    await using directory = await throwAwayDirectory();
    const refused = await gatelodge(['start'], directory.path, { GATELODGE_PORT: 'many' });
    expect(refused.code).toBe(78);
    expect(refused.stderr).toContain('GATELODGE_PORT');
    expect(refused.stderr).not.toContain('    at ');
    expect(await exists(join(directory.path, 'data'))).toBe(false);
  });

  it('reads .env of the working directory, over which the environment wins', async () => {
    await using directory = await throwAwayDirectory();
    const holder = createServer().listen(0, '127.0.0.1');
    await once(holder, 'listening');
    const { port } = holder.address() as AddressInfo;
    await writeFile(join(directory.path, '.env'), `GATELODGE_PORT=${port}\nGATELODGE_DATA_DIR=./elsewhere\n`);
    const fromFile = await gatelodge(['start'], directory.path);
    expect(fromFile.code).toBe(69);
    expect(fromFile.stderr).toContain(`Port ${port}`);
    expect(await exists(join(directory.path, 'elsewhere'))).toBe(true);
    const fromBoth = await gatelodge(['start'], directory.path, { GATELODGE_PORT: 'many' });
    expect(fromBoth.code).toBe(78);
    holder.close();
  });

  it('refuses a data directory that is a file with 78', async () => {
    await using directory = await throwAwayDirectory();
    await writeFile(join(directory.path, 'data'), '');
    const refused = await gatelodge(['start'], directory.path);
    expect(refused.code).toBe(78);
    expect(refused.stderr).toContain('GATELODGE_DATA_DIR');
  });
});

describe('gatelodge start', () => {
  it('serves until SIGTERM, which ends server and Postgres as well', async () => {
    await using directory = await throwAwayDirectory();
    await directory.openWithCluster();
    const { child, ended, pids } = await start(directory.path);
    expect(pids.map(isRunning)).toEqual([true, true]);
    child.kill('SIGTERM');
    expect(await ended).toEqual([0, null]);
    expect(pids.map(isRunning)).toEqual([false, false]);
  });

  it('killed with -9 takes its server along', async () => {
    await using directory = await throwAwayDirectory();
    await directory.openWithCluster();
    const { child, ended, pids } = await start(directory.path);
    child.kill('SIGKILL');
    await ended;
    await eventually(() => !isRunning(pids[0]!));
    // What becomes of Postgres is the business of embedded-postgres.test.ts; it must not outlive this test.
    if (isRunning(pids[1]!)) process.kill(pids[1]!, 'SIGINT');
    await eventually(() => !isRunning(pids[1]!));
  });
});

describe('gatelodge migrate', () => {
  it('migrates the embedded database and leaves nothing running', async () => {
    await using directory = await throwAwayDirectory();
    const data = await directory.openWithCluster();
    const done = await gatelodge(['migrate'], directory.path);
    expect([done.code, done.stderr]).toEqual([0, expect.stringContaining('ran a migration')]);
    expect(await exists(join(data.path, 'postgres', 'cluster', 'postmaster.pid'))).toBe(false);
    expect((await gatelodge(['migrate'], directory.path)).stderr).not.toContain('ran a migration');
  });
});
