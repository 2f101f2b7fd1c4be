import { execFile } from 'node:child_process';
import { access, mkdtemp, readFile, rm, stat, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { installMailServer } from '../harness/mail-server.ts';
import { repositoryRoot } from '../harness/process.ts';

const run = promisify(execFile);
const script = join(repositoryRoot, 'scripts/install-mail-server.sh');

describe('scripts/install-mail-server.sh', () => {
  test('has installed the program with its version, as nobody’s but its user’s', async () => {
    const program = await installMailServer();
    const installed = await readFile(join(program, '../../../installed'), 'utf8');
    expect(installed).toMatch(/^exim4-daemon-light \d/m);
    // Debian installs it setuid root.
    expect((await stat(program)).mode & 0o6000).toBe(0);
  });

  test('says what to do where there is no apt', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'gatelodge-path-'));
    try {
      for (const name of ['bash', 'basename', 'dirname', 'head', 'mkdir'])
        await symlink((await run('bash', ['-c', `command -v ${name}`])).stdout.trim(), join(directory, name));
      const ended = await run('bash', [script, join(directory, 'exim')], { env: { PATH: directory } }).then(
        () => ({ stderr: 'it ended well' }),
        (error: { stderr: string }) => error,
      );
      expect(ended.stderr).toContain('install-mail-server: there is no apt-get');
      expect(ended.stderr).toContain('npx vitest run --exclude "server/test/mail/**"');
      await expect(access(join(directory, 'exim'))).rejects.toThrow();
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });

  test('asks for a directory', async () => {
    await expect(run('bash', [script])).rejects.toMatchObject({ stderr: expect.stringContaining('<dir>') });
  });
});
