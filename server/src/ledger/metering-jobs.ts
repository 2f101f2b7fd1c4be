import { Periodic } from '../jobs/periodic.ts';
import type { Log } from '../logs/log.ts';
import type { LedgerKeeper } from './ledger-keeper.ts';
import { type SweepOptions, sweepMetering } from './metering-sweep.ts';

const keepEveryMs = 300_000;
const sweepEveryMs = 3_600_000;

/** The job that looks after the ledger's files. */
export function createLedgerKeeping(keeper: LedgerKeeper, log: Log): Periodic {
  return new Periodic({
    name: 'ledger keeping',
    everyMs: keepEveryMs,
    log,
    async work() {
      await keeper.work();
      return false;
    },
  });
}

/** The job that deletes what is old of what metering has made; on every node, where the second finds nothing left. */
export function createMeteringSweep(options: SweepOptions, log: Log): Periodic {
  return new Periodic({
    name: 'metering sweep',
    everyMs: sweepEveryMs,
    log,
    async work(signal) {
      await sweepMetering(options, signal);
      return false;
    },
  });
}
