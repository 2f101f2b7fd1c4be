import { StartError } from './start-error.ts';

/**
 * Writes why a command failed on stderr, and returns the exit code for it.
 *
 * What the operator can mend is told in its own words, without a stack; a fault of ours with everything we know.
 */
export function reportFailure(error: unknown): number {
  if (error instanceof StartError) {
    process.stderr.write(`\n${error.message}\n`);
    return error.exitCode;
  }
  process.stderr.write(`\n${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  return 1;
}
