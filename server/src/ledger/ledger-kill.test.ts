import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { Random } from '../../test/harness/random.ts';
import { scaled } from '../../test/harness/scale.ts';
import { readLedger } from './fixtures/ledger-records.ts';

const program = fileURLToPath(new URL('fixtures/append-until-killed.ts', import.meta.url));
const callers = 32;

/** Runs the program until it has acknowledged so many records, kills it, and answers all that it acknowledged. */
async function appendAndKill(directory: string, from: number, enough: number): Promise<number[]> {
  const child = spawn(process.execPath, [program, directory, String(from)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const closed = once(child, 'close');
  const chunks: Buffer[] = [];
  let lines = 0;
  child.stdout.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    for (const byte of chunk) if (byte === 0x0a) lines++;
    if (lines >= enough) child.kill('SIGKILL');
  });
  await closed;
  const text = Buffer.concat(chunks).toString();
  return text.slice(0, text.lastIndexOf('\n')).split('\n').map(Number);
}

test('kill -9 at random points under load leaves every acknowledged record, each once, and only what was sent', async () => {
  const random = new Random();
  const directory = join(await mkdtemp(join(tmpdir(), 'gatelodge-ledger-kill-')), 'ledger');
  const acknowledged: number[] = [];
  const kills = scaled(4, 50);
  for (let kill = 0; kill < kills; kill++) {
    acknowledged.push(...(await appendAndKill(directory, kill * 1_000_000 + 1, 1 + random.int(8_000))));
  }
  const { numbers, ends, faults } = await readLedger(directory);
  const counted = new Set(numbers);
  expect(counted.size).toBe(numbers.length);
  expect(acknowledged.filter((number) => !counted.has(number))).toEqual([]);
  expect(acknowledged.length).toBeGreaterThan(kills);
  expect(counted.size - acknowledged.length).toBeLessThanOrEqual(kills * callers);
  expect(ends.filter(({ kind }) => kind !== 'end' && kind !== 'torn')).toEqual([]);
  expect(faults.filter((kind) => kind !== 'torn')).toEqual([]);
  await rm(join(directory, '..'), { recursive: true });
});
