import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { replaceSecretFile } from './secret-json.ts';

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'gatelodge-secret-json-'));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

test('what is written only its owner can read, also in place of a file that all could', async () => {
  const path = join(directory, 'secret.json');
  await writeFile(path, 'old', { mode: 0o644 });
  await replaceSecretFile(path, { a: 1 });
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect(JSON.parse(await readFile(path, 'utf8'))).toEqual({ a: 1 });
  expect(await readdir(directory)).toEqual(['secret.json']);
});

test('whoever reads while it is replaced reads all of the old or all of the new', async () => {
  const path = join(directory, 'replaced.json');
  const text = 'x'.repeat(100_000);
  await replaceSecretFile(path, { version: 0, text });
  let isDone = false;
  const reading = (async () => {
    const seen: number[] = [];
    while (!isDone) seen.push((JSON.parse(await readFile(path, 'utf8')) as { version: number }).version);
    return seen;
  })();
  for (let version = 1; version <= 20; version++) await replaceSecretFile(path, { version, text });
  isDone = true;
  const seen = await reading;
  expect(seen.length).toBeGreaterThan(0);
  expect(seen.toSorted((a, b) => a - b)).toEqual(seen);
});

test('a directory that is not there is an error', async () => {
  await expect(replaceSecretFile(join(directory, 'none', 'x.json'), {})).rejects.toThrow();
});
