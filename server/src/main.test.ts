import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { exists } from './supervisor/fixtures/helper-process.ts';
import { throwAwayDirectory } from './supervisor/fixtures/throw-away-directory.ts';

const main = fileURLToPath(new URL('./main.ts', import.meta.url));

type Outcome = { code: number | null; stdout: string; stderr: string };

/** Runs the command line in a directory of its own, with the environment of this process less our own settings. */
function gatelodge(args: readonly string[], cwd: string, settings: NodeJS.ProcessEnv = {}): Promise<Outcome> {
  const inherited = Object.entries(process.env).filter(([name]) => !/^(GATELODGE_|DATABASE_)/.test(name));
  const env = { ...Object.fromEntries(inherited), ...settings };
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [main, ...args], { cwd, env }, (_error, stdout, stderr) => {
      resolve({ code: child.exitCode, stdout, stderr });
    });
  });
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
