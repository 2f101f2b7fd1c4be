import { Periodic } from '../jobs/periodic.ts';
import type { Log } from '../logs/log.ts';
import type { Database } from '../postgres/database.ts';
import { countWaitingMails, sweepMails } from './mail-store.ts';

/** How long the mails of a sandbox issuer can be read. */
export const keptHours = 24;

const everyMs = 15_000;
const rowsAtOnce = 1_000;

/** What a look at the table told last. */
export interface WaitingMails {
  count: number;
  oldestSeconds: number;
}

/** From here on mails of sandbox issuers are still kept. */
export function keptSince(now: Date): Date {
  return new Date(now.getTime() - keptHours * 3_600_000);
}

/**
 * The job that deletes what was kept for long enough, and counts what waits, for the metrics.
 *
 * @param waiting what it counts is written here
 */
export function createMailSweep(
  { database, log, now }: { database: Database; log: Log; now: () => Date },
  waiting: WaitingMails,
  atOnce = rowsAtOnce,
): Periodic {
  return new Periodic({
    name: 'mail sweep',
    everyMs,
    log,
    async work() {
      Object.assign(waiting, await countWaitingMails(database.lookups, now()));
      return (await sweepMails(database.lookups, keptSince(now()), atOnce)) >= atOnce;
    },
  });
}
