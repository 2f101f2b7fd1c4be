import { chmod, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openDataDirectory } from './data-directory.ts';
import { canBeOtherUser, otherUser } from './fixtures/helper-process.ts';
import { throwAwayDirectory } from './fixtures/throw-away-directory.ts';
import { runAs } from './run-as.ts';
import { exitCodes, StartError } from './start-error.ts';

const isOtherUserPossible = await canBeOtherUser();

async function failureOf(path: string): Promise<StartError> {
  const failure = await openDataDirectory(path).catch((error: unknown) => error);
  if (!(failure instanceof StartError)) throw new Error(`no StartError but ${String(failure)}`);
  return failure;
}

async function openAsOtherUser(path: string): Promise<string> {
  const script = `const { openDataDirectory } = await import(${JSON.stringify(import.meta.resolve('./data-directory.ts'))});
    await openDataDirectory(process.argv[1]).then(() => console.log('opened'), (e) => console.log(e.name, e.message));`;
  return (await runAs(otherUser, process.execPath, ['--input-type=module', '--eval', script, path])).stdout;
}

describe('the data directory', () => {
  it('is made for its owner alone, and keeps one random id', async () => {
    await using directory = await throwAwayDirectory();
    const path = join(directory.path, 'a', 'data');
    const [first, second] = await Promise.all([openDataDirectory(path), openDataDirectory(path)]);
    expect(first.id).toMatch(/^[0-9a-f]{32}$/);
    expect(second).toEqual(first);
    expect(await openDataDirectory(path)).toEqual(first);
    expect((await stat(path)).mode & 0o777).toBe(0o700);
    expect((await stat(join(path, 'installation-id'))).mode & 0o777).toBe(0o600);
    const other = await openDataDirectory(join(directory.path, 'other'));
    expect(other.id).not.toBe(first.id);
  });

  it('is closed to others when it is empty or ours', async () => {
    await using directory = await throwAwayDirectory();
    const path = join(directory.path, 'data');
    for (const round of ['empty', 'ours']) {
      await mkdir(path, { recursive: true });
      await chmod(path, 0o777);
      await openDataDirectory(path);
      expect([round, (await stat(path)).mode & 0o777]).toEqual([round, 0o700]);
    }
  });

  // A mistyped setting, started as root: a chmod of /tmp would take it from everybody.
  it('is never a directory that others share', async () => {
    await using directory = await throwAwayDirectory();
    const shared = join(directory.path, 'shared');
    await mkdir(shared);
    await writeFile(join(shared, 'file-of-somebody'), '');
    for (const mode of [0o1777, 0o777]) {
      await chmod(shared, mode);
      expect((await failureOf(shared)).message).toContain('GATELODGE_DATA_DIR');
      expect((await stat(shared)).mode & 0o7777).toBe(mode);
    }
  });

  it('that is a file is refused, and so is a path through a file', async () => {
    await using directory = await throwAwayDirectory();
    const file = join(directory.path, 'file');
    await writeFile(file, 'kept');
    for (const path of [file, join(file, 'data')]) {
      const failure = await failureOf(path);
      expect(failure.message).toContain('is not a directory');
      expect(failure.exitCode).toBe(exitCodes.configuration);
    }
    expect(await readFile(file, 'utf8')).toBe('kept');
  });

  // The attack: the id becomes part of a path that root works in.
  it('with an id file of any other form is refused', async () => {
    await using directory = await throwAwayDirectory();
    const { path } = await directory.open();
    for (const text of ['', '../../etc', `${'a'.repeat(32)}/x`, 'A'.repeat(32)]) {
      await writeFile(join(path, 'installation-id'), text);
      expect((await failureOf(path)).message).toContain('does not hold an installation id');
    }
  });

  it.skipIf(!isOtherUserPossible)('that can’t be written says so and what to do', async () => {
    await using directory = await throwAwayDirectory();
    await chmod(directory.path, 0o755);
    const said = await openAsOtherUser(join(directory.path, 'data'));
    expect(said).toMatch(/^StartError .*can't be written/);
    expect(said).toContain('GATELODGE_DATA_DIR');
  });

  it.skipIf(!isOtherUserPossible)('of another user is refused', async () => {
    await using directory = await throwAwayDirectory();
    const { path } = await directory.open();
    expect(await openAsOtherUser(path)).toMatch(/^StartError .*belongs to another user/);
  });
});
