import { sql } from 'kysely';
import type { NewEvent } from '../events/event.ts';
import type { Transaction } from '../postgres/database.ts';
import type { InstallationSecrets } from '../secrets/installation-secrets.ts';
import { insertIssuer } from './create-issuer.ts';
import { type IssuerRow, raiseVersion } from './issuer-store.ts';

/**
 * Finds the sandbox twin of a live issuer or makes it, with the live issuer's key profile, publishable scopes and login settings, and
 * without its plan: what limits live traffic says nothing about a sandbox. It may be put on one of its own.
 *
 * @param live locked by this transaction, so that two callers can't both find none
 */
export async function ensureSandboxTwin(
  tx: Transaction,
  secrets: InstallationSecrets,
  live: IssuerRow,
  { now, record }: { now: Date; record: (event: NewEvent) => Promise<void> },
): Promise<{ id: string; isNew: boolean }> {
  const existing = await tx
    .selectFrom('issuers')
    .select('id')
    .where('account_id', '=', live.account_id)
    .where('twin_of', '=', live.id)
    .executeTakeFirst();
  if (existing !== undefined) return { id: existing.id, isNew: false };
  const { profile } = await tx
    .selectFrom('key_profiles')
    .select('profile')
    .where('account_id', '=', live.account_id)
    .where('issuer_id', '=', live.id)
    .executeTakeFirstOrThrow();
  // Cut between two halves of a surrogate pair, a name would be no text that Postgres takes.
  const name = `${live.name.slice(0, 190).toWellFormed()} (sandbox)`;
  const id = await insertIssuer(
    tx,
    secrets,
    {
      accountId: live.account_id,
      name,
      environment: 'sandbox',
      publishableScopes: live.publishable_scopes,
      profile,
      twinOf: live.id,
    },
    now,
  );
  await sql`
    insert into login_settings (issuer_id, account_id, settings)
    select ${id}, account_id, settings from login_settings
    where account_id = ${live.account_id} and issuer_id = ${live.id}`.execute(tx);
  await raiseVersion(tx, live.account_id, live.id);
  await record({
    type: 'issuer.created',
    subject: { type: 'issuer', id },
    environment: 'sandbox',
    issuerId: id,
    data: { name, sandbox_of: live.id },
  });
  return { id, isNew: true };
}
