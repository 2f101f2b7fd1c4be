/**
 * Milliseconds to wait before the next start of a process that ended by itself.
 *
 * One that had come up is back almost at once, and at the slowest every second; one that keeps failing to come up is
 * tried less and less often, and never given up.
 *
 * @param failures how many times in a row it ended before coming up (0: it had been up)
 */
export function restartDelayMs(failures: number): number {
  if (failures <= 0) return quickestMs;
  return Math.min(quickestMs * 2 ** failures, slowestMs);
}

const quickestMs = 50;
const slowestMs = 10_000;
