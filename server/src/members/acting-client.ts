import { deviceCodeGrant, type GrantType } from '../clients/client-settings.ts';
import { readSettings } from '../clients/stored-settings.ts';
import { invalidField } from '../errors.ts';
import type { OrganizationPlace } from '../groups/group-store.ts';
import type { Transaction } from '../postgres/database.ts';
import { builtInClientId } from '../sessions/built-in-client.ts';
import type { ActingClient } from './explain-scope.ts';

/** Those by which users sign in; a refresh token comes of one of them. */
const grantsOfUsers: ReadonlySet<GrantType> = new Set(['authorization_code', deviceCodeGrant]);

/**
 * The client of an issuer that acts for a member, as far as it matters to scopes. The one client of every issuer, which
 * signs users in by a mailed code, takes them all.
 *
 * @throws invalid_request (422) at `client_id` where the issuer has no such client
 */
export async function requireActingClient(
  tx: Transaction,
  { account_id: accountId, issuer_id: issuerId }: OrganizationPlace,
  { clientId, userId, organizationId }: { clientId: string; userId: string; organizationId: string },
): Promise<ActingClient> {
  if (clientId === builtInClientId)
    return {
      status: 'active',
      signsUsersIn: true,
      organizationScopes: null,
      agreed: null,
      remembersConsent: true,
    };
  const row = await tx
    .selectFrom('clients')
    .select(['type', 'status', 'confidential', 'settings'])
    .where('account_id', '=', accountId)
    .where('issuer_id', '=', issuerId)
    .where('id', '=', clientId)
    .where('deleting', '=', false)
    .executeTakeFirst();
  if (row === undefined)
    throw invalidField('client_id', 'is not the id of a client of this issuer', 'unknown_client');
  const { status, type } = row;
  const { organization_scopes: organizationScopes, openid } = readSettings(row);
  const { remember_consent: remembersConsent } = openid;
  const signsUsersIn = openid.grant_types.some((grant) => grantsOfUsers.has(grant));
  const client = { status, signsUsersIn, organizationScopes, remembersConsent };
  if (type === 'first_party') return { ...client, agreed: null };
  const consent = await tx
    .selectFrom('oidc_consents')
    .select('granted')
    .where('account_id', '=', accountId)
    .where('issuer_id', '=', issuerId)
    .where('user_id', '=', userId)
    .where('client_id', '=', clientId)
    .executeTakeFirst();
  const granted = remembersConsent ? consent?.granted : undefined;
  // Allowed for others only.
  const isOfOthers = granted?.organizations?.includes(organizationId) === false;
  const agreed = isOfOthers ? [] : granted?.organization_scopes;
  return { ...client, agreed };
}
