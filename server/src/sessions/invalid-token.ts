import { AppError } from '../errors.ts';
import type { IssuerRecord } from '../verification/records.ts';

/** The one answer to every token that does not count, whatever is wrong with it. */
export function invalidToken(cause?: unknown): AppError {
  return new AppError('invalid_token', { cause });
}

/** @throws issuer_suspended, account_suspended (403); invalid_token where the account is being deleted */
export function requireInService(issuer: Pick<IssuerRecord, 'status' | 'account'>): void {
  if (issuer.account.status === 'deleting') throw invalidToken();
  if (issuer.account.status !== 'active') throw new AppError('account_suspended');
  if (issuer.status !== 'active') throw new AppError('issuer_suspended');
}
