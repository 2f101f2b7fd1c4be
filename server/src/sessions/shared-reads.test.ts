import { expect, test } from 'vitest';
import { SharedReads } from './shared-reads.ts';

/** Reads of a value that ends when it is told to. */
function slowReads() {
  const reads = new SharedReads<string>();
  const begun: { end: () => void; fail: () => void }[] = [];
  let value = 'old';
  const read = () =>
    reads.read('key', (begins) => {
      begins();
      const seen = value;
      return new Promise((resolve, reject) => {
        begun.push({ end: () => resolve(seen), fail: () => reject(new Error('failed')) });
      });
    });
  const change = () => {
    value = 'new';
  };
  return { read, begun, change };
}
const settle = () => new Promise((resolve) => setImmediate(resolve));

// Attack: one user asks without end, and the other users of its account wait for what is left.
test('whoever comes while a read is under way shares the next one, which sees what has changed by then', async () => {
  const { read, begun, change } = slowReads();
  const first = read();
  await settle();
  change();
  const later = Array.from({ length: 50 }, read);
  await settle();
  expect(begun.length).toBe(1);
  begun[0]!.end();
  await settle();
  expect(begun.length).toBe(2);
  begun[1]!.end();
  expect([await first, ...(await Promise.all(later))]).toEqual(['old', ...Array(50).fill('new')]);
  const last = read();
  await settle();
  begun[2]!.end();
  expect(await last).toBe('new');
});

test('one that fails does so for its own alone', async () => {
  const { read, begun } = slowReads();
  const first = read();
  await settle();
  const second = read();
  begun[0]!.fail();
  await expect(first).rejects.toThrow('failed');
  await settle();
  begun[1]!.end();
  expect(await second).toBe('old');
});
