import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { repositoryRoot } from './process.ts';

const directory = join(repositoryRoot, 'node_modules/.cache/gatelodge-gateways');
const run = promisify(execFile);

/** The gateways' programs, as Debian packs them, and what they have to be started with. */
export interface GatewayPrograms {
  readonly nginx: string;
  readonly caddy: string;
  readonly haproxy: string;
  readonly apache: string;
  readonly apacheModules: string;
  /** Directories of Lua 5.3: modules written in Lua, and compiled ones. */
  readonly lua: { readonly scripts: string; readonly libraries: string };
  readonly env: NodeJS.ProcessEnv;
}

/** Fetches the programs on first need, without root and without a change to the system; seconds, then nothing. */
export async function installGatewayPrograms(): Promise<GatewayPrograms> {
  const script = join(repositoryRoot, 'scripts/install-gateways.sh');
  await run('bash', [script, directory]).catch((error: Error & { stderr?: string }) => {
    throw new Error(error.stderr || error.message, { cause: error });
  });
  const libraries = libraryDirectory();
  return {
    nginx: join(directory, 'usr/sbin/nginx'),
    caddy: join(directory, 'usr/bin/caddy'),
    haproxy: join(directory, 'usr/sbin/haproxy'),
    apache: join(directory, 'usr/sbin/apache2'),
    apacheModules: join(directory, 'usr/lib/apache2/modules'),
    lua: { scripts: join(directory, 'usr/share/lua/5.3'), libraries: join(libraries, 'lua/5.3') },
    env: {
      PATH: process.env.PATH,
      // Some packages still have theirs in /lib, which is /usr/lib on an installed system.
      LD_LIBRARY_PATH: `${libraries}:${libraries.replace('/usr/lib/', '/lib/')}`,
    },
  };
}

/** Debian has a directory for each architecture: x86_64-linux-gnu, aarch64-linux-gnu. */
function libraryDirectory(): string {
  const below = join(directory, 'usr/lib');
  const architecture = readdirSync(below).find((name) => existsSync(join(below, name, 'lua')));
  if (architecture === undefined)
    throw new Error(`no libraries in ${below}; remove ${directory} and try again`);
  return join(below, architecture);
}
