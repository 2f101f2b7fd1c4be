const firstMs = 5_000;
const longestMs = 300_000;

/**
 * How long a mail waits after so many attempts in vain: twice as long each time, from 5 seconds up to 5 minutes, and up to a
 * fifth more or less, so that the mails of an outage do not all come back at once.
 *
 * @param attempts 1 or more
 * @param random of [0, 1)
 */
export function retryDelayMs(attempts: number, random = Math.random()): number {
  const usualMs = Math.min(firstMs * 2 ** Math.min(attempts - 1, 20), longestMs);
  return Math.round(usualMs * (0.8 + 0.4 * random));
}
