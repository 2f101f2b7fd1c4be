import type { Window } from './window.ts';

const windowOf = {
  second: 'second',
  minute: 'minute',
  hour: 'hour',
  day: 'day',
  month: 'month',
  quota: null,
  'quota-day': 'day',
  'quota-month': 'month',
} as const satisfies Record<Window, Window> & Record<string, Window | null>;

/** What a counter counts in: a window, or the time of a quota's credits, by how they are refilled. */
export type CounterPeriod = keyof typeof windowOf;

export const counterPeriods = Object.keys(windowOf) as readonly CounterPeriod[];

/** The window with whose end the period ends; null for credits that are not refilled. */
export function windowOfPeriod(period: CounterPeriod): Window | null {
  return windowOf[period];
}

export function isQuotaPeriod(period: CounterPeriod): boolean {
  return windowOf[period] !== period;
}
