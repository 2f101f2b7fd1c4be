import type { Transaction } from '../postgres/database.ts';
import type { ConsentGranted } from '../postgres/schema.ts';

/** Remembers what a user has allowed a client, in place of what it had before. */
export async function saveConsent(
  tx: Transaction,
  whose: { accountId: string; issuerId: string; userId: string; clientId: string },
  granted: ConsentGranted,
  now: Date,
): Promise<void> {
  const text = JSON.stringify(granted);
  await tx
    .insertInto('oidc_consents')
    .values({
      account_id: whose.accountId,
      issuer_id: whose.issuerId,
      user_id: whose.userId,
      client_id: whose.clientId,
      granted: text,
      updated_at: now,
    })
    .onConflict((conflict) =>
      conflict.columns(['issuer_id', 'user_id', 'client_id']).doUpdateSet({ granted: text, updated_at: now }),
    )
    .execute();
}
