import { expect, test } from 'vitest';
import { ConcurrencyLimit } from './concurrency-limit.ts';

/** Work that ends when it is told to. */
function started(limit: ConcurrencyLimit) {
  const work = { hasBegun: false, end: () => {} };
  const ended = new Promise<void>((resolve) => {
    work.end = resolve;
  });
  const outcome = limit.run(() => {
    work.hasBegun = true;
    return ended;
  });
  outcome.catch(() => {});
  return Object.assign(work, { outcome });
}

test('no more runs at once than may, the rest waits in the order it came', async () => {
  const limit = new ConcurrencyLimit({ concurrent: 2, waiting: 10, waitMs: 60_000 });
  const works = Array.from({ length: 5 }, () => started(limit));
  const begun = () => works.map(({ hasBegun }) => hasBegun);
  expect(begun()).toEqual([true, true, false, false, false]);
  works[1]!.end();
  await works[1]!.outcome;
  await Promise.resolve();
  expect(begun()).toEqual([true, true, true, false, false]);
  for (const { end } of works) end();
  await Promise.all(works.map(({ outcome }) => outcome));
  expect([begun(), limit.isIdle]).toEqual([Array(5).fill(true), true]);
});

test('what finds no room is turned away at once, and what gets no turn in time then', async () => {
  const limit = new ConcurrencyLimit({ concurrent: 1, waiting: 1, waitMs: 20 });
  const running = started(limit);
  const waiting = started(limit);
  await expect(started(limit).outcome).rejects.toMatchObject({
    code: 'unavailable',
    headers: { 'Retry-After': '1' },
  });
  await expect(waiting.outcome).rejects.toMatchObject({ code: 'unavailable' });
  running.end();
  await running.outcome;
  expect([waiting.hasBegun, limit.isIdle]).toEqual([false, true]);
});

test('work that fails gives its turn back', async () => {
  const limit = new ConcurrencyLimit({ concurrent: 1, waiting: 1, waitMs: 60_000 });
  const failing = limit.run(() => Promise.reject(new Error('failed')));
  const next = limit.run(() => Promise.resolve('next'));
  await expect(failing).rejects.toThrow('failed');
  expect(await next).toBe('next');
  await expect(limit.run(() => Promise.reject(new Error('again')))).rejects.toThrow('again');
  expect(limit.isIdle).toBe(true);
});
