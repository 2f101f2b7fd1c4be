import { spawn } from 'node:child_process';
import type { Account } from './account.ts';

/** What became of a short command. */
export type RunResult = { code: number | null; stdout: string; stderr: string };

const usualPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * The environment of everything that runs for the embedded Postgres: no PG* variable of the caller reaches it, and
 * its messages are the untranslated ones.
 */
export function commandEnvironment(): Record<string, string> {
  const path = process.env.PATH;
  return { PATH: path ? `${path}:${usualPath}` : usualPath, LC_ALL: 'C', TZ: 'UTC' };
}

/** uid and gid for node:child_process; empty when the account is the one that we run as. */
export function credentialsOf(account: Account): { uid?: number; gid?: number } {
  return account.isSelf ? {} : { uid: account.uid, gid: account.gid };
}

/**
 * Runs a short command as `account` to its end, from `/` (another account could not enter our working directory).
 *
 * Everything that happens inside directories of the account is done this way also by root, so that a symbolic link
 * planted there never leads root's own hand elsewhere. Never rejects: a command that could not be started has code
 * null and the reason in `stderr`.
 */
export function runAs(
  account: Account,
  command: string,
  args: readonly string[],
  input?: string,
): Promise<RunResult> {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      ...credentialsOf(account),
      cwd: '/',
      env: commandEnvironment(),
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    // A command that ends before reading its input is judged by its exit code.
    child.stdin.on('error', () => {});
    child.stdin.end(input ?? '');
    child.on('error', (error) => resolve({ code: null, stdout, stderr: error.message }));
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
}
