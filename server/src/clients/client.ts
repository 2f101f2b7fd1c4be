import { type FieldError, invalidField, invalidFields } from '../errors.ts';
import { findOidcSettingsRow } from '../oidc/oidc-settings.ts';
import type { OutboundClient } from '../outbound/outbound-client.ts';
import type { Transaction } from '../postgres/database.ts';
import { problemsOfClient } from './client-rules.ts';
import { mostSecrets } from './client-secret.ts';
import { type ClientFacts, withDefaults } from './client-settings.ts';
import type { ClientRow, ClientSecretRow } from './client-store.ts';
import { readSettings } from './stored-settings.ts';

/** A client as it is answered, with those of its secrets that work now, newest first. */
export function toClientResource(row: ClientRow, secrets: readonly ClientSecretRow[], now: Date) {
  return {
    id: row.id,
    issuer_id: row.issuer_id,
    name: row.name,
    type: row.type,
    confidential: row.confidential,
    settings: readSettings(row),
    metadata: row.metadata,
    status: row.status,
    secrets: secrets
      .filter((secret) => isUsable(secret, now))
      .slice(0, mostSecrets)
      .map(({ id, hint, created_at, expires_at }) => ({
        id,
        hint,
        created_at: created_at.toISOString(),
        expires_at: expires_at?.toISOString() ?? null,
      })),
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
  };
}

export function isUsable({ expires_at }: Pick<ClientSecretRow, 'expires_at'>, now: Date): boolean {
  return expires_at === null || expires_at > now;
}

/**
 * A client as it is stored, of what somebody has sent.
 *
 * @throws invalid_request (422) that names every member that does not go with the others, and the fix
 */
export function resolveClient(given: Parameters<typeof withDefaults>[0]): ClientFacts {
  const client = withDefaults(given);
  const problems: FieldError[] = problemsOfClient(client);
  if (problems.length > 0) throw invalidFields(problems.slice(0, maxProblems));
  return client;
}

const maxProblems = 50;

/**
 * Makes sure that a client's back channel is somewhere that the server calls. What its name leads to is looked at again at
 * each call.
 *
 * @throws invalid_request (422)
 */
export function requireCallable({ settings }: ClientFacts, outbound: Pick<OutboundClient, 'checkUrl'>): void {
  const { backchannel_logout_uri: uri } = settings.openid;
  const check = uri === null ? null : outbound.checkUrl(uri);
  if (check?.ok === false) throw invalidField('settings.openid.backchannel_logout_uri', check.message);
}

/**
 * Makes sure that a client whose tokens have to be bound to a key can have such: without, it would get none.
 *
 * @throws invalid_request (422)
 */
export async function requireBindable(
  tx: Transaction,
  { account_id, id }: { account_id: string; id: string },
  { settings }: ClientFacts,
): Promise<void> {
  if (!settings.openid.dpop_bound_access_tokens) return;
  const { settings: oidc } = await findOidcSettingsRow(tx, { id, account: { id: account_id } });
  if (!oidc.dpop)
    throw invalidField(
      'settings.openid.dpop_bound_access_tokens',
      'needs `dpop` in the issuer’s OIDC settings; turn that on first, or make this false',
    );
}
