import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { describe, expect, it } from 'vitest';
import type { DataDirectory } from './data-directory.ts';
import { throwAwayDirectory } from './fixtures/throw-away-directory.ts';
import { lockDataDirectory } from './lock.ts';
import { runAs } from './run-as.ts';
import { exitCodes, StartError } from './start-error.ts';

const self = { name: '', uid: 0, gid: 0, isSelf: true };
const canUnshare =
  process.platform === 'linux' &&
  (await runAs(self, 'unshare', ['--net', 'true'])).code === 0 &&
  (await runAs(self, 'flock', ['--version'])).code === 0;

/** A process that takes the lock, says so or why not, and holds it until it is killed. */
async function holder(directory: DataDirectory, prefix: readonly string[] = []) {
  const script = `const { lockDataDirectory } = await import(${JSON.stringify(import.meta.resolve('./lock.ts'))});
    await lockDataDirectory(${JSON.stringify(directory)}).then(() => console.log('held'), (e) => console.log(e.message));
    setInterval(() => {}, 1000);`;
  // A shell in between takes any command before node, and becomes it.
  const child = spawn(
    '/bin/sh',
    ['-c', 'exec "$@"', 'sh', ...prefix, process.execPath, '--input-type=module', '--eval', script],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const [said] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  return {
    said,
    kill: async () => {
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

describe('the lock of a data directory', () => {
  it('is held by one process at a time, and the second is told', async () => {
    await using directory = await throwAwayDirectory();
    const data = await directory.open();
    const lock = await lockDataDirectory(data);
    const failure = await lockDataDirectory(data).catch((error) => error);
    expect(failure).toBeInstanceOf(StartError);
    expect(failure.exitCode).toBe(exitCodes.unavailable);
    expect(failure.message).toContain(data.path);
    await lock.release();
    await (await lockDataDirectory(data)).release();
  });

  it('is free at once after a kill -9 of its holder', async () => {
    await using directory = await throwAwayDirectory();
    const data = await directory.open();
    const other = await holder(data);
    expect(other.said).toBe('held');
    await expect(lockDataDirectory(data)).rejects.toBeInstanceOf(StartError);
    await other.kill();
    await (await lockDataDirectory(data)).release();
  });

  it('leaves other data directories alone', async () => {
    await using directory = await throwAwayDirectory();
    const one = await lockDataDirectory(await directory.open('one'));
    const two = await lockDataDirectory(await directory.open('two'));
    await one.release();
    await two.release();
  });

  // Two containers on one volume see none of each other's abstract sockets and pids; only the file keeps them apart.
  it.skipIf(!canUnshare)('holds against a process in another network namespace', async () => {
    await using directory = await throwAwayDirectory();
    const data = await directory.open();
    const lock = await lockDataDirectory(data);
    const other = await holder(data, ['unshare', '--net']);
    expect(other.said).toContain('Another Gatelodge runs');
    await other.kill();
    await lock.release();
  });
});
