import { setTimeout as sleep } from 'node:timers/promises';
import type { SupervisorLog } from './log.ts';
import { exitMembers } from './process-exit.ts';
import { restartDelayMs } from './restart-delay.ts';
import type { ServerProcess } from './server-process.ts';
import { isStartErrorCode } from './start-error.ts';

/**
 * Runs the server until `signal` asks to stop, starting it again whenever it ends by itself.
 *
 * Returns the exit code for the whole: 0 after a stop that was asked for. A server that has never come up and ends
 * with the code of a StartError has told the operator what to do, and starting it again would not help: its code is
 * returned. Every other end, also of a server that has never come up, is logged and tried again without end.
 */
export async function keepServer(options: {
  start: () => Promise<ServerProcess>;
  log: SupervisorLog;
  signal: AbortSignal;
}): Promise<number> {
  const { start, log, signal } = options;
  let failures = 0;
  let hasBeenReady = false;
  while (!signal.aborted) {
    const server = await start();
    const stop = () => void server.stop();
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
    const exit = await server.exited;
    signal.removeEventListener('abort', stop);
    if (signal.aborted) break;

    hasBeenReady ||= server.isReady();
    if (!hasBeenReady && isStartErrorCode(exit.code)) return exit.code;
    failures = server.isReady() ? 0 : failures + 1;
    const delayMs = restartDelayMs(failures);
    log.error({ ...exitMembers(exit), delay_ms: delayMs }, 'The server ended by itself; starting it again');
    await sleep(delayMs, undefined, { signal }).catch(() => {});
  }
  return 0;
}
