import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FairLimit } from './fair-limit.ts';

const usual = { concurrent: 1, waitingOfGroup: 10, waiting: 100, waitMs: 5_000 };

/** Work that goes on until it is told to end. */
function held() {
  let end = () => {};
  const work = new Promise<void>((resolve) => {
    end = resolve;
  });
  return { work: () => work, end };
}

// The attack: one network sends a flood, and everybody else's requests stand in line behind it.
test('groups take turns, so the flood of one is another’s wait for one piece of work', async () => {
  const limit = new FairLimit(usual);
  const first = held();
  const order: string[] = [];
  const under = (group: string, name: string) => limit.run(group, async () => void order.push(name));
  const all = [limit.run('flood', first.work)];
  for (let count = 1; count <= 5; count++) all.push(under('flood', `flood ${count}`));
  all.push(under('one', 'one 1'), under('one', 'one 2'), under('other', 'other 1'));
  first.end();
  await Promise.all(all);
  expect(order).toEqual(['flood 1', 'one 1', 'other 1', 'flood 2', 'one 2', 'flood 3', 'flood 4', 'flood 5']);
  expect(limit.isIdle).toBe(true);
});

// The attack: requests of one caller that stand at a lock take every turn, and nobody else has one to wait for.
test('a group that may not have every turn leaves one, however slow what it runs', async () => {
  const limit = new FairLimit({ ...usual, concurrent: 2 });
  const first = held();
  let running = 0;
  const begin = () => {
    running++;
    return first.work();
  };
  const stuck = Array.from({ length: 5 }, () => limit.run('stuck', begin, 1));
  expect(running).toBe(1);
  expect(await limit.run('other', async () => 'served', 1)).toBe('served');
  expect(await Promise.all([1, 2, 3].map((name) => limit.run('third', async () => name)))).toEqual([1, 2, 3]);
  expect(running).toBe(1);
  first.end();
  await Promise.all(stuck);
  expect(running).toBe(5);
  expect(limit.isIdle).toBe(true);
});

test('never do more run at once than may, of a group or in all, and everything has its turn', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 4 }),
      fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.integer({ min: 0, max: 4 })), { maxLength: 40 }),
      async (concurrent, pieces) => {
        const limit = new FairLimit({ ...usual, concurrent, waitingOfGroup: 40 });
        const atMost: Record<string, number> = { a: 1, b: 2, c: 4 };
        const running: Record<string, number> = { a: 0, b: 0, c: 0 };
        const work = (group: string, ticks: number) => async () => {
          running[group]!++;
          expect(running[group]).toBeLessThanOrEqual(atMost[group]!);
          expect(running.a! + running.b! + running.c!).toBeLessThanOrEqual(concurrent);
          for (let tick = 0; tick < ticks; tick++) await Promise.resolve();
          running[group]!--;
        };
        await Promise.all(
          pieces.map(([group, ticks]) => limit.run(group, work(group, ticks), atMost[group])),
        );
        expect(limit.isIdle).toBe(true);
      },
    ),
    { numRuns: 200 },
  );
});

test('of a group so many wait, of the others as many as before', async () => {
  const limit = new FairLimit({ ...usual, waitingOfGroup: 2 });
  const first = held();
  const all = [
    limit.run('flood', first.work),
    limit.run('flood', first.work),
    limit.run('flood', first.work),
  ];
  await expect(limit.run('flood', first.work)).rejects.toMatchObject({ code: 'unavailable' });
  all.push(limit.run('other', first.work));
  first.end();
  await Promise.all(all);
});

test('where all room to wait is taken, the longest queue gives up its last place, to nobody who has as many', async () => {
  const limit = new FairLimit({ ...usual, waiting: 3 });
  const first = held();
  const running = limit.run('flood', first.work);
  const waiting = [1, 2, 3].map((name) => limit.run('flood', async () => name));
  const outcomes = Promise.allSettled(waiting);
  const other = limit.run('other', async () => 'other');
  const third = limit.run('third', async () => 'third');
  await expect(limit.run('fourth', async () => 'fourth')).rejects.toMatchObject({ code: 'unavailable' });
  first.end();
  await running;
  expect((await outcomes).map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected']);
  expect(await Promise.all([other, third])).toEqual(['other', 'third']);
  expect(limit.isIdle).toBe(true);
});

test('who gets no turn in time is turned away, and takes nobody’s turn afterwards', async () => {
  const limit = new FairLimit({ ...usual, waitMs: 20 });
  const first = held();
  const running = limit.run('one', first.work);
  await expect(limit.run('one', first.work)).rejects.toMatchObject({ code: 'unavailable' });
  first.end();
  await running;
  expect(await limit.run('other', async () => 'served')).toBe('served');
  expect(limit.isIdle).toBe(true);
});

test('work that fails passes its turn on', async () => {
  const limit = new FairLimit(usual);
  const failing = limit.run('one', async () => {
    throw new Error('failed');
  });
  const next = limit.run('other', async () => 'served');
  await expect(failing).rejects.toThrow('failed');
  expect(await next).toBe('served');
});
