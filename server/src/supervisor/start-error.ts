/**
 * Exit codes of the command line (sysexits.h), fixed because service managers act on them.
 *
 * - `configuration` (78): nothing changes until somebody changes something; don't restart.
 * - `unavailable` (69): something outside is in the way (a taken port, another process on the data directory,
 *   a full disk, a database that does not answer); a later start may succeed.
 */
export const exitCodes = { configuration: 78, unavailable: 69 } as const;

export type StartErrorOptions = {
  /** What the reader should do, as sentences of their own. */
  hint: string;
  /** Default: `exitCodes.configuration`. */
  exitCode?: number;
  cause?: unknown;
};

/**
 * A start that can't succeed, for a reason that the operator can mend.
 *
 * The message says what is wrong, and then what to do; the command line prints it on stderr without a stack and
 * exits with `exitCode`.
 */
export class StartError extends Error {
  override readonly name = 'StartError';
  readonly exitCode: number;
  readonly hint: string;

  constructor(what: string, options: StartErrorOptions) {
    super(`${what}\n${options.hint}`, options.cause === undefined ? undefined : { cause: options.cause });
    this.hint = options.hint;
    this.exitCode = options.exitCode ?? exitCodes.configuration;
  }
}

/** Says whether a child process that ended with `code` ended by a StartError. */
export function isStartErrorCode(code: number | null): code is number {
  return code === exitCodes.configuration || code === exitCodes.unavailable;
}

/** The `code` of an error of node:fs, node:net or pg (`ENOENT`, `EADDRINUSE`, `53100` …); undefined for any other. */
export function systemErrorCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
