import type { Settings } from '../settings.ts';

/**
 * What the supervisor needs of a logger; a pino logger is one.
 *
 * Fields come first, the sentence second. Fields are named as `logs/log-members.ts` lists them (others are left out of
 * the line), and none ever holds a secret or a connection string.
 */
export type SupervisorLog = {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
};

/** A log that says nothing, for tests and for commands whose output is the answer. */
export const silentLog: SupervisorLog = { debug() {}, info() {}, warn() {}, error() {} };

/**
 * The supervisor's log: the server's, but on stderr, so that stdout stays with what `start` prints for people.
 *
 * @param level least level that is written
 */
export async function stderrLog(level: Settings['logLevel']): Promise<SupervisorLog> {
  const [{ createLog }, { pino }] = await Promise.all([import('../logs/log.ts'), import('pino')]);
  // Written at once: the last line before an exit is the one that matters.
  const log: SupervisorLog = createLog(level, pino.destination({ fd: 2, sync: true }));
  return log;
}
