import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createSecretFile, readSecretFile, renameSecretFile, SecretFileError } from './secret-file.ts';

let directory: string;
let path: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'gatelodge-secret-file-'));
  path = join(directory, 'made', 'secret');
});
afterEach(() => rm(directory, { recursive: true, force: true }));

test('is made with its directory, for its owner only, under any umask', async () => {
  const umask = process.umask(0);
  try {
    expect(await createSecretFile(path, 'text')).toBe('text');
  } finally {
    process.umask(umask);
  }
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect((await stat(join(directory, 'made'))).mode & 0o777).toBe(0o700);
  expect(await readFile(path, 'utf8')).toBe('text\n');
  expect(await readdir(join(directory, 'made'))).toEqual(['secret']);
});

test('is never replaced', async () => {
  await createSecretFile(path, 'first');
  expect(await createSecretFile(path, 'second')).toBe('first');
});

// Attack on ourselves: two processes start at once, each makes a key, and one goes on with a key that is not on disk.
test('of 50 that make it at once one wins and all return its text', async () => {
  const texts = await Promise.all(
    Array.from({ length: 50 }, (_, index) => createSecretFile(path, `text ${index}`)),
  );
  expect(new Set(texts).size).toBe(1);
  expect(await readSecretFile(path)).toBe(texts[0]);
  expect(await readdir(join(directory, 'made'))).toEqual(['secret']);
});

test('that is not there is undefined', async () => {
  expect(await readSecretFile(path)).toBeUndefined();
});

describe('is refused', () => {
  // Attack: another user of the machine reads a key that was copied with the wrong mode.
  test.each([0o640, 0o604, 0o660, 0o610])('with mode %o, saying chmod 600', async (mode) => {
    await createSecretFile(path, 'canary');
    await chmod(path, mode);
    const error = await readSecretFile(path).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(SecretFileError);
    expect(String(error)).toContain(`chmod 600 ${path}`);
    expect(String(error)).not.toContain('canary');
    await expect(createSecretFile(path, 'other')).rejects.toThrow(SecretFileError);
  });

  test('when it is a directory', async () => {
    await mkdir(path, { recursive: true });
    await expect(readSecretFile(path)).rejects.toThrow(SecretFileError);
  });

  test('when a link leads round in circles', async () => {
    await mkdir(join(directory, 'made'));
    await symlink(path, path);
    await expect(readSecretFile(path)).rejects.toThrow(/cannot be read \(ELOOP\)/);
  });

  test('when its directory cannot be made, without leaving anything', async () => {
    await writeFile(join(directory, 'made'), 'a file');
    await expect(createSecretFile(path, 'text')).rejects.toThrow(SecretFileError);
    expect(await readdir(directory)).toEqual(['made']);
  });
});

test('is renamed once', async () => {
  await createSecretFile(path, 'text');
  expect(await renameSecretFile(path, join(directory, 'other'))).toBe(true);
  expect(await renameSecretFile(path, join(directory, 'other'))).toBe(false);
  expect(await readSecretFile(join(directory, 'other'))).toBe('text');
});
