import { randomBytes } from 'node:crypto';
import { readdir, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { accountOfThisProcess } from './account.ts';
import type { PostgresBinaries } from './binaries.ts';
import type { ClusterHome } from './cluster-home.ts';
import { runAs } from './run-as.ts';
import { exitCodes, StartError } from './start-error.ts';

/** The superuser of the embedded cluster; migrations and the service never use it. */
export const superuserRole = 'gatelodge_root';

/**
 * Makes the cluster of a home where it has none yet, and returns its path.
 *
 * initdb works under a draft name and the result is renamed: a kill in between leaves no half-made cluster.
 * The C locale orders text by bytes on every machine, so an index survives a move to another operating system.
 *
 * @throws {StartError} when initdb fails, or the cluster is of another major version of Postgres
 */
export async function openCluster(home: ClusterHome, binaries: PostgresBinaries): Promise<string> {
  const cluster = join(home.directory, 'cluster');
  const major = await readFile(join(cluster, 'PG_VERSION'), 'utf8').catch(() => undefined);
  if (major === undefined) await initialize(home, binaries, cluster);
  else checkMajor(cluster, major.trim(), binaries.major);
  await writeAccessFiles(home, cluster);
  return cluster;
}

function checkMajor(cluster: string, found: string, ours: string): void {
  if (found === ours) return;
  throw new StartError(
    `The database in ${cluster} was made by Postgres ${found}, and this Gatelodge brings Postgres ${ours}.`,
    {
      hint: `Start the Gatelodge version that made it and move the data over with pg_dump, or run a Postgres ${found} on it and set DATABASE_URL.`,
    },
  );
}

async function initialize(home: ClusterHome, binaries: PostgresBinaries, cluster: string): Promise<void> {
  const leftovers = (await readdir(home.directory)).filter((name) => name.startsWith('cluster.partial-'));
  for (const name of leftovers) await runAs(home.account, 'rm', ['-rf', '--', join(home.directory, name)]);
  const draft = `${cluster}.partial-${randomBytes(4).toString('hex')}`;
  const made = await runAs(home.account, binaries.initdb, [
    `--pgdata=${draft}`,
    `--username=${superuserRole}`,
    '--auth-local=peer',
    '--auth-host=reject',
    '--encoding=UTF8',
    '--locale=C',
    '--data-checksums',
    '--no-instructions',
  ]);
  if (made.code !== 0) {
    await runAs(home.account, 'rm', ['-rf', '--', draft]);
    throw explainInitdb(home, made.stderr.trim().split('\n'));
  }
  await rename(draft, cluster);
}

function explainInitdb(home: ClusterHome, said: string[]): StartError {
  const full = said.find(saysDiskFull);
  const told = full === undefined ? said.slice(-5).join('\n') : full;
  return new StartError(`The embedded database could not be made in ${home.directory}:\n${told}`, {
    hint:
      full === undefined
        ? 'Mend what initdb complains about, or set DATABASE_URL to a Postgres of your own.'
        : 'Make room on that disk, or name a data directory on another one with GATELODGE_DATA_DIR.',
    exitCode: full === undefined ? exitCodes.configuration : exitCodes.unavailable,
  });
}

/** Whether a line that Postgres wrote is about a full disk. */
export function saysDiskFull(line: string): boolean {
  return /no space left|free disk space|disk quota exceeded/i.test(line);
}

/**
 * Who may connect: over the socket, the operating system's user that runs Gatelodge, as any role, checked by the
 * kernel (peer); nobody else, Postgres' own account included. Written at every start, because that user may change.
 */
async function writeAccessFiles(home: ClusterHome, cluster: string): Promise<void> {
  const user = accountOfThisProcess().name.replaceAll('"', '""');
  const note = '# Written by Gatelodge at every start.\n';
  await writeAs(home, join(cluster, 'pg_hba.conf'), `${note}local all all peer map=gatelodge\n`);
  await writeAs(home, join(cluster, 'pg_ident.conf'), `${note}gatelodge "${user}" all\n`);
}

async function writeAs(home: ClusterHome, file: string, text: string): Promise<void> {
  if ((await readFile(file, 'utf8').catch(() => undefined)) === text) return;
  const script = 'umask 077 && cat > "$1.new" && mv -f -- "$1.new" "$1"';
  const written = await runAs(home.account, '/bin/sh', ['-c', script, 'sh', file], text);
  if (written.code === 0) return;
  throw new StartError(`${file} can't be written: ${written.stderr.trim()}`, {
    hint: `Make room on its disk, and make ${home.directory} writable for the account ${home.account.name}.`,
  });
}
