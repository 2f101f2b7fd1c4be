import type { Transaction } from '../postgres/database.ts';
import type { EndedScope } from './session-store.ts';

/**
 * Makes sure that nobody ends this browser login before the transaction ends: whoever does waits, and then finds what has
 * come of it. Sessions are locked before their login, here as where they end.
 *
 * @returns whether it is there
 */
export async function holdBrowserLogin(
  tx: Transaction,
  { accountId, issuerId, loginUid }: { accountId: string; issuerId: string; loginUid: string },
): Promise<boolean> {
  const row = await tx
    .selectFrom('oidc_records')
    .select('login_uid')
    .where('account_id', '=', accountId)
    .where('issuer_id', '=', issuerId)
    .where('model', '=', 'Session')
    .where('login_uid', '=', loginUid)
    .forShare()
    .executeTakeFirst();
  return row !== undefined;
}

/**
 * Ends the browser logins that sessions came from: whoever holds the cookie of one has to sign in again. Of a user every
 * one, also one that no client has a session of yet, and one that has been answered and not begun: whoever has shown that
 * it is the user goes on with that for an hour.
 */
export async function endBrowserLogins(
  tx: Transaction,
  scope: EndedScope,
  ended: readonly { login_uid: string | null }[],
): Promise<void> {
  const records = (model: 'Session' | 'Interaction') =>
    tx
      .deleteFrom('oidc_records')
      .where('account_id', '=', scope.accountId)
      .where('issuer_id', '=', scope.issuerId)
      .where('model', '=', model);
  if ('userId' in scope) {
    for (const model of ['Session', 'Interaction'] as const)
      await records(model).where('user_id', '=', scope.userId).execute();
    return;
  }
  const uids = new Set(ended.map(({ login_uid: uid }) => uid).filter((uid) => uid !== null));
  if ('loginUid' in scope) uids.add(scope.loginUid);
  if (uids.size > 0)
    await records('Session')
      .where('login_uid', 'in', [...uids])
      .execute();
}
