import { chown, lstat, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Account } from './account.ts';
import type { DataDirectory } from './data-directory.ts';
import { StartError, systemErrorCode } from './start-error.ts';

/** Postgres names its socket after the port, also where it listens on no TCP port. */
export const socketPort = 5432;

/** sun_path holds 108 bytes on Linux and 104 on macOS, the closing zero included. */
const longestSocketPathBytes = process.platform === 'darwin' ? 103 : 107;

/**
 * Makes a 0700 directory for the socket, belonging to Postgres' account, under a short path.
 *
 * The data directory is no place for it: its path may be too long for a socket, and its file system may have none.
 * Another user can't enter the directory, so nobody can put a socket of their own in Postgres' place. Its name follows
 * from the random id of the installation: a restart finds the same one, and a kill leaves at most one behind.
 *
 * The caller holds the lock of the data directory and has ended any Postgres on it.
 *
 * @throws {StartError} when no directory for temporary files can be written
 */
export async function openSocketDirectory(data: DataDirectory, account: Account): Promise<string> {
  // root's own TMPDIR may lie where the account can't reach; every account reaches /tmp.
  const candidates = account.isSelf ? [tmpdir(), '/tmp'] : ['/tmp'];
  let cause: unknown;
  for (const parent of candidates) {
    const directory = join(parent, `gatelodge-${data.id.slice(0, 12)}`);
    if (Buffer.byteLength(join(directory, `.s.PGSQL.${socketPort}.lock`)) > longestSocketPathBytes) continue;
    try {
      return await claim(directory, account);
    } catch (error) {
      cause = error;
    }
  }
  throw new StartError(`No directory for Postgres' socket could be made in ${candidates.join(' or ')}.`, {
    hint: 'Make /tmp writable for the user that runs Gatelodge, or set TMPDIR to a short path that is.',
    cause,
  });
}

/** Removes a socket directory; one that is gone already is fine. */
export async function removeSocketDirectory(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true });
}

async function claim(directory: string, account: Account): Promise<string> {
  try {
    await mkdir(directory, { mode: 0o700 });
    if (!account.isSelf) await chown(directory, account.uid, account.gid);
    return directory;
  } catch (error) {
    if (systemErrorCode(error) !== 'EEXIST') throw error;
  }
  const found = await lstat(directory);
  if (found.isDirectory() && found.uid === account.uid && (found.mode & 0o077) === 0) {
    // A lock file left by a kill names a pid that may be somebody else's by now, and Postgres would refuse.
    for (const name of [`.s.PGSQL.${socketPort}`, `.s.PGSQL.${socketPort}.lock`]) {
      await rm(join(directory, name), { force: true });
    }
    return directory;
  }
  // Somebody else sits on the name: under a fresh one they can do no harm.
  const fresh = await mkdtemp(`${directory.slice(0, -6)}-`);
  if (!account.isSelf) await chown(fresh, account.uid, account.gid);
  return fresh;
}
