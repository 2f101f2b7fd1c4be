import { setTimeout as sleep } from 'node:timers/promises';
import type { DataDirectory } from './data-directory.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from './embedded-postgres.ts';
import type { SupervisorLog } from './log.ts';
import { exitMembers } from './process-exit.ts';
import { restartDelayMs } from './restart-delay.ts';

/** The embedded Postgres, kept running. */
export type KeptPostgres = {
  readonly ownerUrl: string;
  readonly appUrl: string;
  /** Ends it and everything that would bring it back. */
  stop(): Promise<void>;
};

/**
 * Starts the embedded Postgres and starts it again whenever it ends by itself, on the same socket, so that the URLs
 * stay good and the server's pool finds its way back.
 *
 * @throws {StartError} when the first start fails; later failures are logged and tried again without end
 */
export async function keepPostgres(options: {
  dataDirectory: DataDirectory;
  log: SupervisorLog;
  signal: AbortSignal;
}): Promise<KeptPostgres> {
  const stopping = new AbortController();
  const signal = AbortSignal.any([options.signal, stopping.signal]);
  let current = await startEmbeddedPostgres({ ...options, signal });
  const { ownerUrl, appUrl } = current;
  const keeping = keep(current, { ...options, signal: stopping.signal }, (next) => {
    current = next;
  });
  return {
    ownerUrl,
    appUrl,
    stop: async () => {
      stopping.abort();
      await current.stop();
      await keeping;
      // Another one may have come up in between.
      await current.stop();
    },
  };
}

async function keep(
  first: EmbeddedPostgres,
  options: { dataDirectory: DataDirectory; log: SupervisorLog; signal: AbortSignal },
  onRestart: (next: EmbeddedPostgres) => void,
): Promise<void> {
  const { log, signal } = options;
  const { socketDirectory } = first;
  let running: EmbeddedPostgres | undefined = first;
  let failures = 0;
  while (!signal.aborted) {
    if (running) {
      const exit = await running.exited;
      if (signal.aborted) return;
      log.error(exitMembers(exit), 'Postgres ended by itself; starting it again');
      running = undefined;
    }
    await sleep(restartDelayMs(failures), undefined, { signal }).catch(() => {});
    if (signal.aborted) return;
    try {
      running = await startEmbeddedPostgres({ ...options, socketDirectory });
      onRestart(running);
      failures = 0;
      log.info({ pid: running.pid }, 'Postgres is back');
    } catch (error) {
      if (signal.aborted) return;
      failures++;
      log.error(
        { reason: error instanceof Error ? error.message : String(error) },
        'Postgres does not come back yet',
      );
    }
  }
}
