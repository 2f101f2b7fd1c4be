import { insertEvent } from '../events/event-store.ts';
import type { Database, Transaction } from '../postgres/database.ts';
import type { InstallationSecrets } from '../secrets/installation-secrets.ts';
import { defaultAlgorithm } from './signing-key.ts';
import { findSigningKeys, insertSigningKey, type KeyOwner, type SigningKeyRow } from './signing-key-store.ts';

const actor = { type: 'system', id: 'signing-keys', ip: null, user_agent: null } as const;

/** The first key of an issuer, in the transaction that makes the issuer. It signs at once; there is no older one. */
export function insertFirstSigningKey(
  tx: Transaction,
  secrets: InstallationSecrets,
  owner: KeyOwner,
  now: Date,
): Promise<SigningKeyRow> {
  const key = { algorithm: defaultAlgorithm, activatesAt: now, createdAt: now };
  return insertSigningKey(tx, secrets, owner, key);
}

/**
 * Makes the first key of an issuer that has none, as those have that an older build has made; once, however many nodes
 * find that out at the same time.
 *
 * @returns whether it has one now; false where the issuer is gone
 */
export function ensureSigningKey(
  database: Database,
  secrets: InstallationSecrets,
  owner: KeyOwner,
  now: Date,
): Promise<boolean> {
  return database.withAccount(owner.accountId, async (tx) => {
    const issuer = await tx
      .selectFrom('issuers')
      .select(['id', 'environment'])
      .where('account_id', '=', owner.accountId)
      .where('id', '=', owner.issuerId)
      .where('deleting', '=', false)
      .forUpdate()
      .executeTakeFirst();
    if (issuer === undefined) return false;
    if ((await findSigningKeys(tx, owner)).length > 0) return true;
    const key = await insertFirstSigningKey(tx, secrets, owner, now);
    await insertEvent(
      tx,
      { accountId: owner.accountId, actor, requestId: null },
      {
        type: 'signing-key.created',
        subject: { type: 'signing_key', id: key.id },
        environment: issuer.environment,
        issuerId: issuer.id,
        data: { algorithm: key.algorithm },
      },
    );
    return true;
  });
}
