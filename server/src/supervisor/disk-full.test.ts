import { execFile } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { accountOfThisProcess } from './account.ts';
import { openDataDirectory } from './data-directory.ts';
import { startEmbeddedPostgres } from './embedded-postgres.ts';
import { throwAwayDirectory } from './fixtures/throw-away-directory.ts';
import { silentLog } from './log.ts';
import { runAs } from './run-as.ts';
import { exitCodes } from './start-error.ts';

const run = promisify(execFile);
const isRoot = process.geteuid?.() === 0;
const canMount = isRoot && (await runAs(accountOfThisProcess(), 'unshare', ['--mount', 'true'])).code === 0;

/** Mounts a small disk for one test. */
async function smallDisk(path: string, size: string): Promise<AsyncDisposable> {
  await run('mount', ['-t', 'tmpfs', '-o', `size=${size},mode=755`, 'tmpfs', path]);
  return {
    [Symbol.asyncDispose]: async () => {
      await run('umount', [path]);
    },
  };
}

it.skipIf(!canMount)('a disk too small for the database is told, and nothing half-made stays', async () => {
  await using directory = await throwAwayDirectory();
  await using _disk = await smallDisk(directory.path, '20m');
  const dataDirectory = await directory.open();
  const failure = await startEmbeddedPostgres({ dataDirectory, log: silentLog }).catch((error) => error);
  expect(failure).toMatchObject({ name: 'StartError', exitCode: exitCodes.unavailable });
  expect(failure.message).toContain('Make room');
  expect((await run('ls', [join(dataDirectory.path, 'postgres')])).stdout).toBe('');
});

it.skipIf(!canMount)(
  'a disk that is full is told, and a start after room was made has everything',
  async () => {
    await using directory = await throwAwayDirectory();
    await using _disk = await smallDisk(directory.path, '200m');
    const dataDirectory = await directory.openWithCluster();
    const filler = join(directory.path, 'filler');
    await writeFile(filler, Buffer.alloc(200 * 1024 * 1024)).catch(() => {});
    await expect(openDataDirectory(dataDirectory.path)).rejects.toMatchObject({
      name: 'StartError',
      exitCode: exitCodes.unavailable,
    });
    await rm(filler);
    await (await startEmbeddedPostgres({ dataDirectory, log: silentLog })).stop();
  },
);
