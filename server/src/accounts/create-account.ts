import { insertApiKey } from '../api-keys/create-api-key.ts';
import { idPrefixes, newId } from '../ids/ids.ts';
import type { Transaction } from '../postgres/database.ts';
import type { InstallationSecrets } from '../secrets/installation-secrets.ts';
import { turnToAccount } from './account-store.ts';

interface NewAccount {
  id?: string;
  name: string;
  ownerEmail: string;
  plan: string | null;
  isOperator: boolean;
  createdBy: { type: 'api_key' | 'system'; id: string };
}

/**
 * Inserts an account with its owner and its first key, which has every permission of it. Leaves the transaction turned
 * to the new account, for its event.
 */
export async function insertAccount(
  tx: Transaction,
  secrets: InstallationSecrets,
  account: NewAccount,
  now: Date,
): Promise<{ accountId: string; key: { id: string; secret: string } }> {
  const accountId = account.id ?? newId(idPrefixes.account);
  await turnToAccount(tx, accountId);
  await tx
    .insertInto('accounts')
    .values({ id: accountId, name: account.name, plan: account.plan, is_operator: account.isOperator })
    .execute();
  await tx
    .insertInto('account_members')
    .values({ account_id: accountId, email: account.ownerEmail, role: 'owner' })
    .execute();
  const { row, secret } = await insertApiKey(
    tx,
    secrets,
    {
      place: { accountId, issuer: null, organizationId: null },
      profile: null,
      name: 'first key',
      kind: 'secret',
      environment: 'live',
      scopes: null,
      expiresAt: null,
      createdBy: account.createdBy,
    },
    now,
  );
  return { accountId, key: { id: row.id, secret } };
}
