import { randomBytes } from 'node:crypto';
import { link, mkdir, open, rename, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { StartError, systemErrorCode } from '../supervisor/start-error.ts';

/** A file that holds a secret cannot be read or written. */
export class SecretFileError extends StartError {}

/**
 * The text of a secret file without its final line break, or undefined where there is no such file.
 *
 * @throws SecretFileError when it cannot be read, is no regular file, or others than its owner may open it.
 */
export async function readSecretFile(path: string): Promise<string | undefined> {
  try {
    await using file = await open(path, 'r');
    const status = await file.stat();
    if (!status.isFile()) {
      throw new SecretFileError(`${path} is not a regular file.`, {
        hint: 'Move it away or restore the file.',
      });
    }
    // Windows has no such bits and reports them all as set.
    if (process.platform !== 'win32' && (status.mode & 0o077) !== 0) {
      throw new SecretFileError(`${path} holds a secret, but others than its owner may open it.`, {
        hint: `Run: chmod 600 ${path}`,
      });
    }
    return (await file.readFile('utf8')).replace(/\r?\n$/, '');
  } catch (cause) {
    if (cause instanceof SecretFileError) throw cause;
    const code = systemErrorCode(cause);
    if (code === 'ENOENT') return undefined;
    throw new SecretFileError(`${path} cannot be read (${code}).`, {
      hint: 'Run as the user that the file belongs to.',
      cause,
    });
  }
}

/**
 * Writes a secret file unless there is one, and returns the text that is there afterwards: of several processes that
 * do this at once one wins and all return its text. The file appears whole or not at all and is on disk when the
 * call returns.
 *
 * @throws SecretFileError when the directory cannot be written, or as `readSecretFile`.
 */
export async function createSecretFile(path: string, text: string): Promise<string> {
  const existing = await readSecretFile(path);
  if (existing !== undefined) return existing;
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await writeAtOnce(path, `${text}\n`);
    return text;
  } catch (cause) {
    const code = systemErrorCode(cause);
    if (code !== 'EEXIST') {
      throw new SecretFileError(`${path} cannot be written (${code}).`, {
        hint: 'Make its directory writable for this user, with room on its disk.',
        cause,
      });
    }
  }
  const winner = await readSecretFile(path);
  if (winner !== undefined) return winner;
  throw new SecretFileError(`${path} disappeared while it was being made.`, { hint: 'Start again.' });
}

/** Puts one file in another's place, durably. False where there is no such file (any more). */
export async function renameSecretFile(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
  } catch (cause) {
    const code = systemErrorCode(cause);
    if (code === 'ENOENT') return false;
    throw new SecretFileError(`${from} cannot be renamed to ${to} (${code}).`, {
      hint: 'Rename it by hand.',
      cause,
    });
  }
  await syncDirectory(dirname(to));
  return true;
}

/** @throws EEXIST when the name is taken */
async function writeAtOnce(path: string, text: string): Promise<void> {
  const draft = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  await using file = await open(draft, 'wx', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
    // A link, unlike a rename, fails where the name is taken.
    await link(draft, path);
  } finally {
    await unlink(draft);
  }
  await syncDirectory(dirname(path));
}

/** A new name survives a power cut only once its directory is on disk too. Windows cannot open directories. */
export async function syncDirectory(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  await using directory = await open(path, 'r');
  await directory.sync();
}
