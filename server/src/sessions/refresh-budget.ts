import { AppError } from '../errors.ts';
import { refusals } from '../verification/refusals.ts';

/**
 * How often one session may be refreshed within an hour. The shortest access token lives a minute, so nobody needs more;
 * each refresh leaves a row behind that stays as long as the session might.
 */
export const refreshesAtMost = 60;
export const refreshWindowMs = 3_600_000;

/** How a session stands with its budget. */
export interface RefreshCount {
  refreshes: number;
  refreshes_since: Date;
}

/** Whether the session has had all of an hour's refreshes. */
export function hasSpentRefreshes({ refreshes, refreshes_since: since }: RefreshCount, now: Date): boolean {
  return refreshes >= refreshesAtMost && now.getTime() - since.getTime() < refreshWindowMs;
}

/** The refusal (429), with the seconds after which the next refresh passes. */
export function tooManyRefreshes({ refreshes_since: since }: RefreshCount, now: Date): AppError {
  const waitMs = since.getTime() + refreshWindowMs - now.getTime();
  const retryAfterSeconds = Math.max(1, Math.ceil(waitMs / 1000));
  return new AppError('rate_limited', {
    detail: refusals.rate_limited.describe({ retryAfterSeconds }),
    headers: { 'Retry-After': String(retryAfterSeconds) },
  });
}
