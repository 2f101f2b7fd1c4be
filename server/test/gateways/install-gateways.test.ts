import { execFile } from 'node:child_process';
import { access, mkdir, mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { installGatewayPrograms } from '../harness/gateway-programs.ts';
import { repositoryRoot } from '../harness/process.ts';

const run = promisify(execFile);
const script = join(repositoryRoot, 'scripts/install-gateways.sh');

describe('scripts/install-gateways.sh', () => {
  test('has installed the programs with their versions, and leaves them be the next time', async () => {
    const { nginx, caddy, haproxy, apache } = await installGatewayPrograms();
    for (const program of [nginx, caddy, haproxy, apache]) await access(program);
    const directory = join(repositoryRoot, 'node_modules/.cache/gatelodge-gateways');
    const installed = await readFile(join(directory, 'installed'), 'utf8');
    for (const name of [
      'nginx',
      'caddy',
      'haproxy',
      'apache2-bin',
      'libapache2-mod-auth-openidc',
      'lua-socket',
    ]) {
      expect(installed).toMatch(new RegExp(`^${name} \\d`, 'm'));
    }
    // Without apt it could not do anything.
    await withPrograms(['bash', 'basename', 'dirname', 'head', 'mkdir'], async (path) => {
      await run('bash', [script, directory], { env: { PATH: path } });
    });
  });

  test('says what to do where there is no apt', async () => {
    await withPrograms(['bash', 'basename', 'dirname', 'head', 'mkdir'], async (path, directory) => {
      const ended = await run('bash', [script, join(directory, 'gateways')], { env: { PATH: path } }).then(
        () => ({ stderr: 'it ended well' }),
        (error: { stderr: string }) => error,
      );
      expect(ended.stderr).toContain('there is no apt-get');
      expect(ended.stderr).toContain('npx vitest run --exclude');
      await expect(access(join(directory, 'gateways'))).rejects.toThrow();
    });
  });

  test('asks for a directory', async () => {
    await expect(run('bash', [script])).rejects.toMatchObject({ stderr: expect.stringContaining('<dir>') });
  });
});

/** Runs `use` with a PATH on which these programs are and no others. */
async function withPrograms(
  names: readonly string[],
  use: (path: string, directory: string) => Promise<void>,
): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'gatelodge-path-'));
  const path = join(directory, 'bin');
  await mkdir(path);
  try {
    for (const name of names) {
      const { stdout } = await run('bash', ['-c', `command -v ${name}`]);
      await symlink(stdout.trim(), join(path, name));
    }
    await use(path, directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
