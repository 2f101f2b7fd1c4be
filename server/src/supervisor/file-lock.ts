import { spawn } from 'node:child_process';
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { systemErrorCode } from './start-error.ts';

/** open(2) of macOS: take an exclusive flock(2) with the open; Node has no name for it. */
const O_EXLOCK = 0x20;

/**
 * Takes an exclusive lock on a file, which the kernel frees when this process ends.
 *
 * Node has no flock(2). macOS takes one while opening; on Linux the `flock` command does it on a descriptor that it
 * inherits from us: the lock belongs to the open file, so it stays when the command ends. Where neither is to be had
 * (no such command, a file system without locks) nothing is locked.
 */
export async function lockFile(path: string): Promise<'taken' | { release(): Promise<void> }> {
  if (process.platform === 'darwin') return lockWhileOpening(path);
  const file = await open(path, 'a', 0o600);
  if ((await flock(file)) === 'taken') {
    await file.close();
    return 'taken';
  }
  return { release: () => file.close() };
}

async function lockWhileOpening(path: string): Promise<'taken' | { release(): Promise<void> }> {
  const { O_RDWR, O_CREAT, O_NONBLOCK } = constants;
  try {
    const file = await open(path, O_RDWR | O_CREAT | O_NONBLOCK | O_EXLOCK, 0o600);
    return { release: () => file.close() };
  } catch (error) {
    if (systemErrorCode(error) === 'EAGAIN') return 'taken';
    throw error;
  }
}

function flock(file: FileHandle): Promise<'taken' | 'done'> {
  return new Promise((resolve) => {
    const child = spawn('flock', ['--nonblock', '--conflict-exit-code', '9', '3'], {
      stdio: ['ignore', 'ignore', 'ignore', file.fd],
    });
    child.on('error', () => resolve('done'));
    child.on('close', (code) => resolve(code === 9 ? 'taken' : 'done'));
  });
}
