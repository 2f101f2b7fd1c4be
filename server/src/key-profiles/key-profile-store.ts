import type { Transaction } from '../postgres/database.ts';

/** The key profile of an issuer that is known to exist: each has one from its first moment. */
export function findKeyProfile(tx: Transaction, accountId: string, issuerId: string) {
  return tx
    .selectFrom('key_profiles')
    .selectAll()
    .where('account_id', '=', accountId)
    .where('issuer_id', '=', issuerId)
    .executeTakeFirstOrThrow();
}
