import { expect, test } from 'vitest';
import { Lanes } from './lanes.ts';

function lanes(most: number, mostOfAccount: number) {
  let wakings = 0;
  const made = new Lanes({ most, mostOfAccount, onFree: () => wakings++ });
  const ends: (() => void)[] = [];
  const start = (account: string) =>
    made.start(account, () => new Promise<void>((resolve) => ends.push(resolve)));
  /** Ends the work that was started as the nth. */
  const end = async (nth: number) => {
    ends[nth]!();
    await new Promise(setImmediate);
  };
  return { made, start, end, wakings: () => wakings };
}

test('tells whose work is under way and how much more may be', async () => {
  const { made, start, end } = lanes(4, 2);
  start('a');
  start('b');
  start('a');
  expect([made.free, made.accounts]).toEqual([1, ['a', 'b', 'a']]);
  await end(0);
  expect([made.free, made.accounts]).toEqual([2, ['b', 'a']]);
});

test('says when a lane is free that some work has waited for, and only then', async () => {
  const { start, end, wakings } = lanes(3, 2);
  start('a');
  await end(0);
  expect(wakings()).toBe(0);
  // All that its account may have.
  start('b');
  start('b');
  await end(1);
  expect(wakings()).toBe(1);
  await end(2);
  expect(wakings()).toBe(1);
  // All that there are.
  for (const account of ['a', 'b', 'c']) start(account);
  await end(3);
  expect(wakings()).toBe(2);
});

test('is settled once the slowest has ended', async () => {
  const { made, start, end } = lanes(3, 2);
  let isSettled = false;
  start('a');
  start('b');
  const settled = made.settled().then(() => {
    isSettled = true;
  });
  await end(0);
  expect(isSettled).toBe(false);
  await end(1);
  await settled;
  expect(made.free).toBe(3);
});
