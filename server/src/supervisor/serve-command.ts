import { openDataDirectory } from './data-directory.ts';
import { lockDataDirectory } from './lock.ts';
import { readSettings } from './read-settings.ts';
import { readyMessage } from './server-process.ts';
import { stopSignal, surviveClosedOutput } from './stop-signal.ts';

/** A drain that takes longer is cut off. */
const drainMs = 10_000;

/**
 * `gatelodge serve`: the server alone, under a supervisor or, on a database that is migrated, without one.
 *
 * A signal or the end of the supervisor (its channel closes) drains it.
 *
 * @returns the exit code
 * @throws {StartError} when something that the operator can mend is in the way
 */
export async function serveCommand(demo: boolean): Promise<number> {
  surviveClosedOutput();
  const stop = stopSignal();
  const isSupervised = process.connected;
  process.once('disconnect', () => stop.abort(new Error('the supervisor is gone')));
  stop.signal.addEventListener('abort', () => {
    setTimeout(() => {
      process.stderr.write('The server did not drain within 10 s and is cut off.\n');
      process.exit(1);
    }, drainMs).unref();
  });
  // The supervisor has read .env and left out what the server must not hold, so it is not read again.
  const settings = readSettings({ withEnvironmentFile: !isSupervised });
  // The supervisor holds the lock for its server.
  if (!isSupervised) await lockDataDirectory(await openDataDirectory(settings.dataDir));

  const { serve } = await import('../serve.ts');
  const server = await serve(settings, { demo });
  process.send?.(readyMessage);
  if (!stop.signal.aborted) {
    await new Promise((resolve) => stop.signal.addEventListener('abort', resolve, { once: true }));
  }
  // Orphaned, its Postgres is going as well, and the next start waits for it: no time to linger then.
  await server.close(isSupervised && !process.connected ? { lingerMs: 0 } : {});
  return 0;
}
