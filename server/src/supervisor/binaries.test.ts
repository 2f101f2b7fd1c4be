import { execFile } from 'node:child_process';
import { chmod, lstat, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { type BinariesPackage, findBinariesPackage, openBinaries } from './binaries.ts';
import { type ClusterHome, openClusterHome } from './cluster-home.ts';
import { canBeOtherUser, otherUser } from './fixtures/helper-process.ts';
import { type ThrowAwayDirectory, throwAwayDirectory } from './fixtures/throw-away-directory.ts';
import { runAs } from './run-as.ts';

const run = promisify(execFile);
const isRoot = process.geteuid?.() === 0;
const isOtherUserPossible = await canBeOtherUser();

/** The package as npm leaves it when it runs no post-install script. */
async function packageWithoutLinks(directory: ThrowAwayDirectory): Promise<BinariesPackage> {
  const found = await findBinariesPackage();
  const root = join(directory.path, 'package');
  await run('cp', ['-a', found.root, root]);
  for (const { target } of found.links) await rm(join(root, target), { force: true });
  return { ...found, root };
}

async function versionOf(home: ClusterHome, program: string): Promise<string> {
  return (await runAs(home.account, program, ['--version'])).stdout;
}

describe('binaries without their library links', () => {
  it('get them where they are', async () => {
    await using directory = await throwAwayDirectory();
    const found = await packageWithoutLinks(directory);
    const home = await openClusterHome(await directory.open());
    expect(await versionOf(home, join(found.root, 'native/bin/postgres'))).toBe('');
    const binaries = await openBinaries(home, found);
    expect(binaries.postgres).toBe(join(found.root, 'native/bin/postgres'));
    expect(await versionOf(home, binaries.postgres)).toContain(`(PostgreSQL) ${binaries.major}.`);
    expect((await lstat(join(found.root, 'native/lib/libicui18n.so.60'))).isSymbolicLink()).toBe(true);
  });

  it.skipIf(!isOtherUserPossible)('are copied where node_modules can’t be written', async () => {
    await using directory = await throwAwayDirectory();
    const found = await packageWithoutLinks(directory);
    const data = await directory.open();
    const script = `const { openBinaries } = await import(${JSON.stringify(import.meta.resolve('./binaries.ts'))});
      const account = ${JSON.stringify({ ...otherUser, isSelf: true })};
      const home = { account, directory: '', binariesDirectory: process.argv[1] };
      console.log((await openBinaries(home, ${JSON.stringify(found)})).postgres);`;
    await chmod(directory.path, 0o777);
    const copies = join(directory.path, 'copies');
    const said = await runAs(otherUser, process.execPath, ['--input-type=module', '--eval', script, copies]);
    expect(said.stdout.trim()).toBe(join(copies, found.version, 'native/bin/postgres'));
    expect((await runAs(otherUser, said.stdout.trim(), ['--version'])).stdout).toContain('PostgreSQL');
    expect(await readdir(join(found.root, 'native/lib'))).not.toContain('libicui18n.so.60');
    expect(data.id).toBeTruthy();
  });
});

describe.skipIf(!isRoot)('binaries that Postgres’ account can’t read', () => {
  let previousMask: number;
  beforeAll(() => {
    previousMask = process.umask(0o077);
    return () => {
      process.umask(previousMask);
    };
  });

  it('are copied by root to where the account can read but not write them, under any umask', async () => {
    await using hidden = await throwAwayDirectory(0o700);
    const found = await packageWithoutLinks(hidden);
    const home = await openClusterHome(await hidden.open());
    const binaries = await openBinaries(home, found);
    expect(binaries.postgres.startsWith(home.binariesDirectory)).toBe(true);
    expect(await versionOf(home, binaries.postgres)).toContain('PostgreSQL');
    expect((await stat(binaries.postgres)).uid).toBe(0);
    expect((await stat(binaries.postgres)).mode & 0o022).toBe(0);
    expect(await openBinaries(home, found)).toEqual(binaries);
  });
});
