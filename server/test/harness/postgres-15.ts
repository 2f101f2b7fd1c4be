import { execFile } from 'node:child_process';
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { PostgresBinaries } from '../../src/supervisor/binaries.ts';
import { repositoryRoot } from './process.ts';

const run = promisify(execFile);

/**
 * Fetches the oldest Postgres that works as DATABASE_URL on first need, without root and without a change to the system.
 *
 * @param directory where its files are put for the account that Postgres runs as, which may not be able to read ours
 */
export async function openPostgres15(
  directory: string,
): Promise<{ binaries: PostgresBinaries; settings: Record<string, string> }> {
  const unpacked = join(repositoryRoot, 'node_modules/.cache/gatelodge-postgres-15');
  const script = join(repositoryRoot, 'scripts/install-postgres-15.sh');
  await run('bash', [script, unpacked]).catch((error: Error & { stderr?: string }) => {
    throw new Error(error.stderr || error.message, { cause: error });
  });
  const [tree, bin] = [join(directory, 'postgres-15'), join(directory, 'postgres-15-bin')];
  await cp(unpacked, tree, { recursive: true, verbatimSymlinks: true });
  await mkdir(bin);
  // One directory for each architecture: x86_64-linux-gnu, aarch64-linux-gnu.
  const libraries = `'${tree}'/usr/lib/*-linux-gnu '${tree}'/lib/*-linux-gnu`;
  const [postgres, initdb] = await Promise.all(
    ['postgres', 'initdb'].map(async (program) => {
      const path = join(bin, program);
      const lines = [
        '#!/bin/sh',
        `for below in ${libraries}; do LD_LIBRARY_PATH=$below:$LD_LIBRARY_PATH; done`,
        'export LD_LIBRARY_PATH',
        `exec '${join(tree, 'usr/lib/postgresql/15/bin', program)}' "$@"`,
      ];
      await writeFile(path, `${lines.join('\n')}\n`, { mode: 0o755 });
      return path;
    }),
  );
  // The access files of the embedded Postgres say what Postgres 16 was the first to understand. Nobody else gets to the socket.
  const accessFile = join(directory, 'pg_hba.conf');
  await writeFile(accessFile, 'local all all trust\n', { mode: 0o644 });
  return {
    binaries: { postgres: postgres!, initdb: initdb!, major: '15' },
    settings: { hba_file: accessFile },
  };
}
