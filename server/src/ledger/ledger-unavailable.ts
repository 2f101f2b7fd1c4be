/** A decision could not be put on record, so it must not be answered: 503. */
export class LedgerUnavailableError extends Error {
  override readonly name = 'LedgerUnavailableError';
  /** `ENOSPC`, `EIO`, `EROFS` … as the system has it; `closed`, or `full` when too many wait for a slow disk. */
  readonly reason: string;
  /** The disk failed in a way that leaves open whether the record comes back with the next start. */
  readonly mayBeCounted: boolean;

  constructor(
    reason: string,
    { mayBeCounted = false, cause }: { mayBeCounted?: boolean; cause?: unknown } = {},
  ) {
    super(`The ledger can't be written (${reason})`, cause === undefined ? undefined : { cause });
    this.reason = reason;
    this.mayBeCounted = mayBeCounted;
  }
}
