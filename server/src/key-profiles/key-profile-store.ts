import { AppError } from '../errors.ts';
import type { Transaction } from '../postgres/database.ts';

/**
 * The key profile of an issuer that was there a moment ago: each has one from its first moment.
 *
 * @throws not_found where the issuer has been deleted since
 */
export function findKeyProfile(tx: Transaction, accountId: string, issuerId: string) {
  return tx
    .selectFrom('key_profiles')
    .selectAll()
    .where('account_id', '=', accountId)
    .where('issuer_id', '=', issuerId)
    .executeTakeFirstOrThrow(() => new AppError('not_found'));
}
