import { stderrLog } from './log.ts';
import { readSettings } from './read-settings.ts';
import { stopSignal, surviveClosedOutput } from './stop-signal.ts';
import { runSupervisor } from './supervisor.ts';

/**
 * `gatelodge start`: everything on this machine, until a signal asks to stop.
 *
 * @returns the exit code
 * @throws {StartError} when something that the operator can mend is in the way
 */
export async function startCommand(demo: boolean): Promise<number> {
  surviveClosedOutput();
  const { signal } = stopSignal();
  const settings = readSettings({ withEnvironmentFile: true });
  return runSupervisor(settings, { demo, signal, log: await stderrLog(settings.logLevel) });
}
