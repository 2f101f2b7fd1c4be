import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { StrangerTurns } from './stranger-turns.ts';

const read = () => sleep(2);
const settled = (calls: Promise<unknown>[]) =>
  Promise.all(
    calls.map((call) =>
      call.then(
        () => 'answered',
        (error: { code?: string }) => error.code,
      ),
    ),
  );

// Attack: made-up client ids at so many issuers that all room to wait is theirs.
test('a flood at 150 issuers of one account keeps nobody of another waiting', async () => {
  const turns = new StrangerTurns();
  const flood = Array.from({ length: 3_000 }, (_, n) =>
    turns.run({ accountId: 'acc_flood', issuerId: `i_${n % 150}` }, read),
  );
  const outcomes = settled(flood);
  const victims = Array.from({ length: 20 }, (_, n) =>
    turns.run({ accountId: `acc_${n}`, issuerId: 'i_victim' }, read),
  );
  expect(new Set(await settled(victims))).toEqual(new Set(['answered']));
  const ended = await outcomes;
  expect(new Set(ended)).toEqual(new Set(['answered', 'unavailable']));
});

// Attack: the same at one issuer, against another of the same account.
test('nor one at an issuer those of another of the account', async () => {
  const turns = new StrangerTurns();
  const flood = settled(
    Array.from({ length: 1_000 }, () => turns.run({ accountId: 'acc', issuerId: 'i_flood' }, read)),
  );
  const victim = turns.run({ accountId: 'acc', issuerId: 'i_victim' }, read);
  expect(await settled([victim])).toEqual(['answered']);
  await flood;
});

test('where an account has no more room, the issuer with the most waiting gives up places', async () => {
  const turns = new StrangerTurns();
  const calls = (issuerId: string, count: number) =>
    Array.from({ length: count }, () => turns.run({ accountId: 'acc', issuerId }, () => sleep(20)));
  const [one, two] = [settled(calls('i_1', 102)), settled(calls('i_2', 100))];
  const victim = settled(calls('i_victim', 1));
  expect(await victim).toEqual(['answered']);
  await Promise.all([one, two]);
});

test('no more than two at once, whoever asks', async () => {
  const turns = new StrangerTurns();
  let [running, most] = [0, 0];
  await Promise.all(
    Array.from({ length: 100 }, (_, n) =>
      turns.run({ accountId: `acc_${n % 7}`, issuerId: `i_${n % 11}` }, async () => {
        most = Math.max(most, ++running);
        await sleep(1);
        running--;
      }),
    ),
  );
  expect(most).toBe(2);
});
