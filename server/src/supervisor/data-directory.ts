import { randomBytes } from 'node:crypto';
import { chmod, link, mkdir, open, readdir, readFile, realpath, stat, unlink } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { exitCodes, StartError, systemErrorCode } from './start-error.ts';

/** An open data directory: it exists, belongs to us, can be written, and has its id. */
export type DataDirectory = {
  /** Absolute, symbolic links resolved. */
  readonly path: string;
  /** 32 hex digits, drawn once and kept in the directory: names the lock and anything kept outside of it. */
  readonly id: string;
};

const idFile = 'installation-id';
const idForm = /^[0-9a-f]{32}$/;

/**
 * Opens the data directory, making it (0700) and its random id where they are missing.
 *
 * The id is random rather than a hash of the path: another user of the machine can't guess it, and a directory that
 * is moved keeps what belongs to it.
 *
 * @throws {StartError} when the path is no directory, belongs to another user, is open to others, or can't be written
 */
export async function openDataDirectory(path: string): Promise<DataDirectory> {
  const wanted = resolve(path);
  try {
    await mkdir(dirname(wanted), { recursive: true });
    await mkdir(wanted, { mode: 0o700 }).catch(ignoring('EEXIST'));
    const real = await realpath(wanted);
    await checkAccess(real);
    const id = (await readId(real)) ?? (await makeId(real));
    await probeWriting(real);
    return { path: real, id };
  } catch (error) {
    throw asStartError(error, wanted);
  }
}

/**
 * The id of a data directory, nothing being made or changed.
 *
 * @returns undefined where there is none
 * @throws {StartError} when what stands there is none
 */
export async function readDataDirectoryId(path: string): Promise<string | undefined> {
  return readId(resolve(path));
}

async function checkAccess(path: string): Promise<void> {
  const found = await stat(path);
  if (!found.isDirectory()) throw notADirectory(path);
  const euid = process.geteuid?.();
  if (euid === undefined) return;
  if (euid !== 0 && found.uid !== euid) {
    throw new StartError(
      `The data directory ${path} belongs to another user (uid ${found.uid}, this is uid ${euid}).`,
      {
        hint: `Start as that user, give the directory to this one (chown -R ${euid} ${path}), or name another one with GATELODGE_DATA_DIR.`,
      },
    );
  }
  await closeToOthers(path, found.mode);
}

/** Group search (0710) is left alone: it is how Postgres' own account reaches its cluster when root runs Gatelodge. */
async function closeToOthers(path: string, mode: number): Promise<void> {
  if ((mode & 0o1067) === 0) return;
  // A mistyped GATELODGE_DATA_DIR such as /tmp must not end in a chmod of it.
  const entries = (await readdir(path)).filter((entry) => entry !== 'lost+found');
  if ((mode & 0o1000) === 0 && (entries.length === 0 || entries.includes(idFile))) {
    await chmod(path, 0o700);
    return;
  }
  if ((mode & 0o1022) === 0) return;
  throw new StartError(`The data directory ${path} is open to other users and already holds other files.`, {
    hint: `Name a directory of Gatelodge's own with GATELODGE_DATA_DIR, or close this one (chmod 700 ${path}).`,
  });
}

async function readId(path: string): Promise<string | undefined> {
  const file = join(path, idFile);
  const text = await readFile(file, 'utf8').catch(ignoring('ENOENT'));
  if (text === undefined) return undefined;
  const id = text.trim();
  // The id becomes part of a path that root works in, so nothing but the exact form is accepted.
  if (idForm.test(id)) return id;
  throw new StartError(`${file} does not hold an installation id.`, {
    hint: 'It should be 32 hexadecimal digits: restore the file from a backup, or start with an empty data directory.',
  });
}

/** Two first starts at once may both come here: link() lets one of them win, and both read the winner's id. */
async function makeId(path: string): Promise<string> {
  const draft = join(path, `${idFile}.${randomBytes(6).toString('hex')}`);
  const handle = await open(draft, 'wx', 0o600);
  try {
    await handle.writeFile(`${randomBytes(16).toString('hex')}\n`);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await link(draft, join(path, idFile)).catch(ignoring('EEXIST'));
  await unlink(draft);
  const id = await readId(path);
  if (id === undefined) throw new Error(`${idFile} vanished from ${path}`);
  return id;
}

/** Permission bits say little (root, read-only mounts, full disks): only a write tells. */
async function probeWriting(path: string): Promise<void> {
  const probe = join(path, `.write-probe-${randomBytes(6).toString('hex')}`);
  const handle = await open(probe, 'wx', 0o600);
  try {
    await handle.write('x');
  } finally {
    await handle.close();
    await unlink(probe);
  }
}

function notADirectory(path: string): StartError {
  return new StartError(`The data directory ${path} is not a directory.`, {
    hint: 'Remove what is there, or name another directory with GATELODGE_DATA_DIR.',
  });
}

function asStartError(error: unknown, path: string): unknown {
  if (error instanceof StartError) return error;
  switch (systemErrorCode(error)) {
    case 'ENOTDIR':
    case 'EEXIST':
      return notADirectory(path);
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new StartError(`The data directory ${path} can't be written.`, {
        hint: `Make it writable for the user that runs Gatelodge (uid ${process.geteuid?.() ?? 'unknown'}), or name another directory with GATELODGE_DATA_DIR.`,
        cause: error,
      });
    case 'ENOSPC':
    case 'EDQUOT':
      return new StartError(`The disk of the data directory ${path} is full.`, {
        hint: 'Make room on it, or name a directory on another disk with GATELODGE_DATA_DIR.',
        exitCode: exitCodes.unavailable,
        cause: error,
      });
    default:
      return error;
  }
}

function ignoring(code: string): (error: unknown) => undefined {
  return (error) => {
    if (systemErrorCode(error) !== code) throw error;
    return undefined;
  };
}
