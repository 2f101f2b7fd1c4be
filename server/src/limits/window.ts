/** How long a limit counts before it starts anew, from the shortest to the longest. */
export const windows = ['second', 'minute', 'hour', 'day', 'month'] as const;
export type Window = (typeof windows)[number];

/** One window: from `start` on, until before `end`, in Unix seconds. */
export interface WindowSpan {
  readonly start: number;
  readonly end: number;
}

/** Unix time has no leap seconds, so that all windows but the month are the same multiple of it everywhere. */
const fixedSeconds = { second: 1, minute: 60, hour: 3600, day: 86_400 } as const;

/**
 * The window that a moment lies in. Windows are fixed and aligned in UTC: a day begins at midnight, a month on its first
 * day, and where one ends the next begins.
 *
 * @param timeMs milliseconds since 1970
 */
export function windowAt(window: Window, timeMs: number): WindowSpan {
  if (window === 'month') return monthAt(timeMs);
  const seconds = fixedSeconds[window];
  const start = Math.floor(timeMs / (seconds * 1000)) * seconds;
  return { start, end: start + seconds };
}

function monthAt(timeMs: number): WindowSpan {
  const time = new Date(timeMs);
  const [year, month] = [time.getUTCFullYear(), time.getUTCMonth()];
  // The thirteenth month is the first of the next year.
  return { start: Date.UTC(year, month) / 1000, end: Date.UTC(year, month + 1) / 1000 };
}

/** How long the window is that ends then, in seconds: always the same but for months. */
export function lengthOf(window: Window, endSeconds: number): number {
  if (window !== 'month') return fixedSeconds[window];
  return endSeconds - monthAt((endSeconds - 1) * 1000).start;
}
