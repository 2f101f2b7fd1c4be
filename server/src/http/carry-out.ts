import pg from 'pg';
import { AppError } from '../errors.ts';
import type { Database, Transaction, TransactionOptions } from '../postgres/database.ts';

const foreignKeyViolation = '23503';
const deadlockDetected = '40P01';
const maxAttempts = 3;

/**
 * Carries a request out in one transaction of its account, and again from the start where Postgres has chosen it to
 * end a deadlock: nothing of it was done, and whom it stood against has gone on.
 *
 * @param work may run several times; what it does outside of `tx` has to wait for the commit
 * @throws not_found where what the request hangs something under was deleted while it ran
 */
export function carryOut<T>(
  database: Database,
  accountId: string,
  work: (tx: Transaction) => Promise<T>,
  options?: TransactionOptions,
): Promise<T> {
  return carryOutStatement(() => database.withAccount(accountId, work, options));
}

/**
 * As `carryOut`, for a statement that is a transaction of its own.
 *
 * @throws not_found where what it hangs something under was deleted while it ran
 */
export async function carryOutStatement<T>(run: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await run();
    } catch (error) {
      const state = error instanceof pg.DatabaseError ? error.code : undefined;
      if (state === foreignKeyViolation) throw new AppError('not_found', { cause: error });
      if (state !== deadlockDetected || attempt === maxAttempts) throw error;
    }
  }
}
