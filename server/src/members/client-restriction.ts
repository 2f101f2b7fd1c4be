import { invalidField } from '../errors.ts';
import { builtInClientId } from '../sessions/built-in-client.ts';

/**
 * `organization_scopes` of a client of an issuer, null where it sets none. The one client of every issuer, which signs
 * users in by a mailed code, sets none.
 *
 * @throws invalid_request (422) at `client_id` where the issuer has no such client
 */
export function organizationScopesOf(clientId: string): readonly string[] | null {
  if (clientId === builtInClientId) return null;
  throw invalidField('client_id', 'is not the id of a client of this issuer', 'unknown_client');
}
