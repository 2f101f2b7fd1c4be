import { expect, it } from 'vitest';
import { restartDelayMs } from './restart-delay.ts';

it('starts again almost at once what had been up, and ever more slowly what never comes up', () => {
  expect(restartDelayMs(0)).toBeLessThanOrEqual(100);
  const delays = Array.from({ length: 12 }, (_, failures) => restartDelayMs(failures));
  expect(delays).toEqual(delays.toSorted((a, b) => a - b));
  expect(restartDelayMs(1000)).toBe(10_000);
});
