import type { ClientDirectory } from '../clients/client-directory.ts';
import type { ClientRecord } from '../clients/client-record.ts';
import type { EdgeRequest } from '../edge/edge-request.ts';
import { requestInfoOf } from '../edge/request-info.ts';
import { idPrefixes, isId } from '../ids/ids.ts';
import { noteOnRequest } from '../logs/request-note.ts';
import type { IssuerRecord } from '../verification/records.ts';
import { clientRefusals } from './client-refusals.ts';
import { parameter } from './form-body.ts';
import { OAuthError } from './oauth-answer.ts';

/** How a client shows who it is. */
interface Shown {
  clientId: string;
  secret: string | null;
}

const basicForm = /^basic +([A-Za-z0-9+/]+={0,2})$/i;

/**
 * The client that sends a form (RFC 6749 §2.3), as the library's endpoints take one: by Basic or in the body, and by its
 * id alone where it has no secret.
 *
 * @throws invalid_request (400), invalid_client (401)
 */
export async function authenticateClient(
  clients: ClientDirectory,
  issuer: Pick<IssuerRecord, 'id' | 'account'>,
  request: EdgeRequest,
  form: URLSearchParams,
): Promise<ClientRecord> {
  const { clientId, secret } = shownBy(request.headers.authorization, form);
  if (isId(idPrefixes.client, clientId)) noteOnRequest(requestInfoOf(request), { clientId });
  const client = await clients.find(issuer.id, clientId, issuer.account.id);
  if (client === null) throw invalidClient('client not found', clientRefusals.unknown);
  if (client.status !== 'active') throw invalidClient('the client is suspended', clientRefusals.unknown);
  if (!client.confidential && secret !== null)
    throw invalidClient('the client has no secret', clientRefusals.secretSent);
  if (client.confidential && secret === null) throw invalidClient('no secret', clientRefusals.secretMissing);
  if (client.confidential && secret !== null && !clients.verifySecret(client, secret))
    throw invalidClient('wrong secret', clientRefusals.wrongSecret);
  return client;
}

function shownBy(authorization: string | undefined, form: URLSearchParams): Shown {
  const clientId = parameter(form, 'client_id');
  const secret = parameter(form, 'client_secret');
  if (authorization === undefined) {
    if (clientId === null) throw invalidClient('no credentials');
    return { clientId, secret };
  }
  if (secret !== null)
    throw new OAuthError(
      400,
      'invalid_request',
      'client authentication must only be provided using one mechanism',
    );
  const basic = parseBasic(authorization);
  if (basic === null) throw invalidClient('malformed Authorization');
  if (clientId !== null && clientId !== basic.clientId)
    throw new OAuthError(400, 'invalid_request', 'client_id mismatch');
  return basic;
}

/** Both halves are form-encoded (RFC 6749 §2.3.1). */
function parseBasic(authorization: string): Shown | null {
  const bytes = Buffer.from(basicForm.exec(authorization)?.[1] ?? '', 'base64').toString();
  const colon = bytes.indexOf(':');
  if (colon < 1) return null;
  const clientId = decoded(bytes.slice(0, colon));
  const secret = decoded(bytes.slice(colon + 1));
  return clientId === null || secret === null || secret === '' ? null : { clientId, secret };
}

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text.replaceAll('+', '%20'));
  } catch {
    return null;
  }
}

function invalidClient(detail: string, description = 'client authentication failed'): OAuthError {
  const headers = { 'WWW-Authenticate': 'Basic realm="gatelodge"' };
  return new OAuthError(401, 'invalid_client', description, headers, detail);
}
