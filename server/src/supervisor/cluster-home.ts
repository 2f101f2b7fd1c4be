import { chmod, chown, lstat, mkdir, realpath, rename, rm, rmdir, stat, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Account, accountForPostgres } from './account.ts';
import type { DataDirectory } from './data-directory.ts';
import { runAs } from './run-as.ts';
import { StartError, systemErrorCode } from './start-error.ts';

/** Where the embedded Postgres lives and as whom. */
export type ClusterHome = {
  readonly account: Account;
  /** Belongs to the account, 0700; holds the cluster. */
  readonly directory: string;
  /** Belongs to us, never to another account; holds copies of the binaries where the package's own can't be used. */
  readonly binariesDirectory: string;
};

/** Where root keeps what another account must reach and can't reach in the data directory. */
export const machineDirectory = '/var/lib/gatelodge';

/**
 * Finds the home of the cluster that belongs to a data directory, or makes it.
 *
 * It is `<data directory>/postgres`. When root runs Gatelodge and Postgres' account can't pass through the directories
 * above (a 0700 home), it is `/var/lib/gatelodge/<id>/postgres`, and `<data directory>/postgres` is a symbolic link to
 * it. The link is written last and believed from then on: if what it points to is gone, the start fails instead of
 * beginning with an empty database.
 *
 * @throws {StartError} when the home is missing, belongs to somebody else, or can't be made
 */
export async function openClusterHome(data: DataDirectory): Promise<ClusterHome> {
  const entry = join(data.path, 'postgres');
  const directory = (await existingHome(entry)) ?? (await makeHome(data, entry));
  const account = await accountForPostgres((await stat(directory)).uid);
  if (!account.isSelf) await checkReach(data, directory, account);
  return { account, directory, binariesDirectory: await binariesDirectoryOf(data, account) };
}

/**
 * Removes what root keeps outside of a data directory for it, if anything. The data directory itself stays.
 *
 * For throw-away installations, such as those of tests; nothing may be running on the directory.
 */
export async function removeClusterHome(data: DataDirectory): Promise<void> {
  await rm(join(machineDirectory, data.id), { recursive: true, force: true });
  await rm(join(data.path, 'postgres'), { recursive: true, force: true });
}

async function existingHome(entry: string): Promise<string | undefined> {
  const found = await lstatIfAny(entry);
  if (!found) return undefined;
  const directory = await realpath(entry).catch((cause: unknown) => {
    throw new StartError(
      `The database of this data directory is missing: ${entry} leads nowhere that we can reach.`,
      {
        hint: 'Restore what it points to (ls -l shows where), or start as the user who made it. To begin with an empty database, use an empty data directory.',
        cause,
      },
    );
  });
  const target = await stat(directory);
  const euid = process.geteuid?.();
  if (euid !== 0 && target.uid !== euid) {
    throw new StartError(`The database in ${directory} belongs to uid ${target.uid}, this is uid ${euid}.`, {
      hint: 'Start Gatelodge as the user who made it (root, when root started it first).',
    });
  }
  // Whoever may write the data directory must not choose, by a link, whose files root hands to Postgres.
  if (found.isSymbolicLink() && found.uid !== 0 && found.uid !== target.uid) {
    throw new StartError(
      `${entry} is a symbolic link of uid ${found.uid} to a directory of uid ${target.uid}.`,
      {
        hint: 'Make the link and the directory belong to the same account.',
      },
    );
  }
  if (euid === 0 && target.uid === 0) {
    throw new StartError(
      `The database in ${directory} belongs to root, and Postgres refuses to run as root.`,
      {
        hint: `Give it to the account that shall run Postgres: chown -R gatelodge: ${directory}`,
      },
    );
  }
  return directory;
}

async function makeHome(data: DataDirectory, entry: string): Promise<string> {
  const dataOwner = (await stat(data.path)).uid;
  const account = await accountForPostgres(dataOwner);
  if (account.isSelf) {
    await mkdir(entry, { mode: 0o700 });
    return entry;
  }
  if (dataOwner === account.uid && (await canEnter(account, data.path))) {
    const made = await runAs(account, 'mkdir', ['-m', '700', '--', entry]);
    if (made.code !== 0) throw new Error(`mkdir ${entry}: ${made.stderr}`);
    return entry;
  }
  if (dataOwner === 0 && (await admit(data, account))) return makeOwned(entry, account);
  return makeHomeOutside(data, entry, account);
}

/** Lets the account pass through root's data directory; false when a directory above it stands in the way. */
async function admit(data: DataDirectory, account: Account): Promise<boolean> {
  if (!(await canEnter(account, dirname(data.path)))) return false;
  // Search for the account's group only: nobody else gets in, and the account can't list or write.
  await chown(data.path, 0, account.gid);
  await chmod(data.path, 0o710);
  return canEnter(account, data.path);
}

/** The directory may have been moved, or closed again, since the cluster was made. */
async function checkReach(data: DataDirectory, directory: string, account: Account): Promise<void> {
  if (await canEnter(account, directory)) return;
  if (
    (await stat(data.path)).uid === 0 &&
    (await admit(data, account)) &&
    (await canEnter(account, directory))
  )
    return;
  throw new StartError(
    `The account ${account.name}, which runs Postgres, can't reach the database in ${directory}.`,
    {
      hint: `Let it pass through the directories above (chmod o+x on each), or move the data directory to where it can, such as ${machineDirectory}.`,
    },
  );
}

async function makeHomeOutside(data: DataDirectory, entry: string, account: Account): Promise<string> {
  const outside = await openMachineDirectory(data, account);
  const home = join(outside, 'postgres');
  // Left by a start that was killed before it wrote the link.
  const left = await lstatIfAny(home);
  if (!left) await makeOwned(home, account);
  await symlink(home, entry);
  return home;
}

/** `/var/lib/gatelodge/<id>`, root's own, which the account may pass through. */
async function openMachineDirectory(data: DataDirectory, account: Account): Promise<string> {
  const directory = join(machineDirectory, data.id);
  try {
    await makeShared(machineDirectory);
    if ((await stat(machineDirectory)).uid !== 0)
      throw new Error(`${machineDirectory} does not belong to root`);
    await makeShared(directory);
    if (await canEnter(account, directory)) return directory;
    throw new Error(`${account.name} can't enter ${directory}`);
  } catch (cause) {
    throw new StartError(
      `Postgres must not run as root, and its account ${account.name} can reach neither ${data.path} nor ${machineDirectory} (${cause instanceof Error ? cause.message : String(cause)}).`,
      {
        hint: [
          'Do one of these:',
          '  name a data directory outside of private homes with GATELODGE_DATA_DIR;',
          `  make ${machineDirectory} possible (owner root, mode 755);`,
          '  run Gatelodge as an ordinary user;',
          '  set DATABASE_URL to a Postgres of your own.',
        ].join('\n'),
        cause,
      },
    );
  }
}

/** Copies are made by root, so they go where only root writes. */
async function binariesDirectoryOf(data: DataDirectory, account: Account): Promise<string> {
  if (account.isSelf) return join(data.path, 'postgres-binaries');
  const isInside = (await stat(data.path)).uid === 0 && (await canEnter(account, data.path));
  return join(isInside ? data.path : join(machineDirectory, data.id), 'postgres-binaries');
}

/** Whether the account can pass through a directory; tried rather than computed, so that ACLs count as well. */
async function canEnter(account: Account, directory: string): Promise<boolean> {
  const tried = await runAs(account, '/bin/sh', ['-c', 'cd -- "$1"', 'sh', directory]);
  return tried.code === 0;
}

/** Under a draft name until it belongs to the account, so that a kill in between leaves nothing half-made. */
async function makeOwned(directory: string, account: Account): Promise<string> {
  const draft = `${directory}.partial`;
  await rmdir(draft).catch(() => {});
  await mkdir(draft, { mode: 0o700 });
  await chown(draft, account.uid, account.gid);
  await rename(draft, directory);
  return directory;
}

/** 0711: to be passed through by those who know the (random) name of what is inside. */
async function makeShared(directory: string): Promise<void> {
  try {
    await mkdir(directory);
  } catch (error) {
    if (systemErrorCode(error) === 'EEXIST') return;
    throw error;
  }
  // After the mkdir rather than by its mode, which the umask would narrow.
  await chmod(directory, 0o711);
}

async function lstatIfAny(path: string) {
  try {
    return await lstat(path);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}
