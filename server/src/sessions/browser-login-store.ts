import type { Transaction } from '../postgres/database.ts';
import type { EndedScope } from './session-store.ts';

/**
 * Ends the browser logins that sessions came from: whoever holds the cookie of one has to sign in again. Of a user every
 * one, also one that no client has a session of yet.
 */
export async function endBrowserLogins(
  tx: Transaction,
  scope: EndedScope,
  ended: readonly { login_uid: string | null }[],
): Promise<void> {
  const logins = tx
    .deleteFrom('oidc_records')
    .where('account_id', '=', scope.accountId)
    .where('issuer_id', '=', scope.issuerId)
    .where('model', '=', 'Session');
  if ('userId' in scope) {
    await logins.where('user_id', '=', scope.userId).execute();
    return;
  }
  const uids = new Set(ended.map(({ login_uid: uid }) => uid).filter((uid) => uid !== null));
  if ('loginUid' in scope) uids.add(scope.loginUid);
  if (uids.size > 0) await logins.where('login_uid', 'in', [...uids]).execute();
}
