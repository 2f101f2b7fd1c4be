import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { accountForPostgres, accountOfThisProcess } from './account.ts';
import { canBeOtherUser, otherUser } from './fixtures/helper-process.ts';
import { throwAwayDirectory } from './fixtures/throw-away-directory.ts';
import { runAs } from './run-as.ts';
import { StartError } from './start-error.ts';

const run = promisify(execFile);
const isRoot = process.geteuid?.() === 0;
const canMount = isRoot && (await runAs(accountOfThisProcess(), 'unshare', ['--mount', 'true'])).code === 0;
const isOtherUserPossible = await canBeOtherUser();

const script = `const { accountForPostgres } = await import(${JSON.stringify(new URL('./account.ts', import.meta.url).href)});
  await accountForPostgres(undefined).then((a) => console.log(a.uid), (e) => console.log(e.name, e.exitCode, e.message));`;
const asScript = ['--input-type=module', '--eval', script];

describe('the account that Postgres runs as', () => {
  it.skipIf(!isRoot)('is never root, and never the nobody that others share', async () => {
    const account = await accountForPostgres(undefined);
    expect(account.name).toBe('gatelodge');
    expect(account.uid).not.toBe(0);
    expect(account.uid).not.toBe(otherUser.uid);
    expect(await accountForPostgres(0)).toEqual(account);
  });

  it.skipIf(!isRoot)('is the owner of what exists, who must have a name', async () => {
    expect((await accountForPostgres(1)).uid).toBe(1);
    await expect(accountForPostgres(3_999_999)).rejects.toBeInstanceOf(StartError);
  });

  it.skipIf(!canMount)('says what to do when root can make none', async () => {
    await using directory = await throwAwayDirectory();
    const etc = `${directory.path}/etc`;
    await run('cp', ['-a', '/etc', etc]);
    await run('sed', ['-i', '/^gatelodge:/d', `${etc}/passwd`]);
    const inside = `mount --bind "$1" /etc && mount -o remount,ro,bind /etc && shift && exec "$@"`;
    const said = await run('unshare', [
      '--mount',
      'sh',
      '-c',
      inside,
      'sh',
      etc,
      process.execPath,
      ...asScript,
    ]);
    expect(said.stdout).toMatch(/^StartError 78 Postgres refuses to run as root/);
    for (const way of ['ordinary user', 'DATABASE_URL']) expect(said.stdout).toContain(way);
  });

  it.skipIf(!isOtherUserPossible)('is the user itself for an ordinary user', async () => {
    const said = await runAs(otherUser, process.execPath, asScript);
    expect(said.stdout.trim()).toBe(String(otherUser.uid));
  });

  it.skipIf(!isOtherUserPossible)('can’t be a user without a name, who is told so', async () => {
    const said = await runAs({ ...otherUser, uid: 3_999_999 }, process.execPath, asScript);
    expect(said.stdout).toMatch(/^StartError 78 .*has no name on this machine/);
  });
});
