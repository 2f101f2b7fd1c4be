import { afterEach, expect, test } from 'vitest';
import { createLog } from '../logs/log.ts';
import { Periodic } from './periodic.ts';

const lines: string[] = [];
const log = createLog('debug', { write: (line: string) => void lines.push(line) });
const open: Periodic[] = [];
afterEach(async () => {
  for (const periodic of open.splice(0)) await periodic.close();
  lines.length = 0;
});

/** Far longer than a test: only waking makes it run. */
const never = 3_600_000;

function periodic(everyMs: number, work: (signal: AbortSignal) => Promise<boolean>): Periodic {
  const made = new Periodic({ name: 'of the tests', everyMs, log, work });
  open.push(made);
  return made;
}

const eventually = (value: () => unknown) => expect.poll(value, { timeout: 10_000, interval: 2 });

test('runs again and again', async () => {
  let runs = 0;
  periodic(1, async () => {
    runs++;
    return false;
  }).start();
  await eventually(() => runs).toBeGreaterThan(3);
});

test('runs soon when it is woken, also if it was never started', async () => {
  let runs = 0;
  const woken = periodic(never, async () => {
    runs++;
    return false;
  });
  woken.wake();
  await eventually(() => runs).toBe(1);
  woken.start();
  woken.wake();
  await eventually(() => runs).toBe(2);
});

test('goes on at once while there is more to do', async () => {
  let left = 5;
  periodic(never, async () => --left > 0).wake();
  await eventually(() => left).toBe(0);
});

test('never runs twice at the same time, however often it is woken', async () => {
  let running = 0;
  let most = 0;
  let runs = 0;
  const busy = periodic(1, async () => {
    most = Math.max(most, ++running);
    await new Promise((resolve) => setTimeout(resolve, 3));
    running--;
    runs++;
    return false;
  });
  busy.start();
  for (let index = 0; index < 50; index++) {
    busy.wake();
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await eventually(() => runs).toBeGreaterThan(5);
  expect(most).toBe(1);
});

test('woken while it runs it runs once more: what woke it may have come too late to be seen', async () => {
  let runs = 0;
  let finish = () => {};
  const woken = periodic(never, async () => {
    runs++;
    if (runs === 1) await new Promise<void>((resolve) => (finish = resolve));
    return false;
  });
  woken.wake();
  await eventually(() => runs).toBe(1);
  woken.wake();
  woken.wake();
  finish();
  await eventually(() => runs).toBe(2);
});

test('a failure is logged and tried again', async () => {
  let runs = 0;
  periodic(1, async () => {
    if (++runs === 1) throw new Error('out of luck');
    return false;
  }).start();
  await eventually(() => runs).toBeGreaterThan(1);
  const logged = lines.map((line) => JSON.parse(line));
  expect(logged).toMatchObject([
    { level: 'warn', component: 'of the tests', err: { message: 'out of luck' } },
  ]);
});

test('closing waits for what is under way, and tells it to hurry', async () => {
  let isDone = false;
  let hasBegun = false;
  const slow = periodic(never, async (signal) => {
    hasBegun = true;
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => setTimeout(resolve, 5)));
    isDone = true;
    return true;
  });
  slow.wake();
  await eventually(() => hasBegun).toBe(true);
  await slow.close();
  expect(isDone).toBe(true);
});

test('closed it runs no more, woken or not', async () => {
  let runs = 0;
  const closed = periodic(1, async () => {
    runs++;
    await new Promise((resolve) => setTimeout(resolve, 1));
    return true;
  });
  closed.start();
  await eventually(() => runs).toBeGreaterThan(0);
  await closed.close();
  const before = runs;
  closed.wake();
  closed.start();
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(runs).toBe(before);
});
